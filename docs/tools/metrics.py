"""docs/metrics.md: every metric of every service, from the registry they are declared in."""

from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from chassis.clock import SystemClock
from chassis.db import Store
from chassis.telemetry import Metrics
from order_svc.figures import figures

SUFFIXES: Final = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_count", "_sum")}

HEAD: Final = """# Metrics

<!-- Made by `python -m docs.tools` from chassis/telemetry.py and order_svc/figures.py; change it there. -->

Each service tells these at its own port under `/metrics`, in Prometheus' text format; the edge does not pass it on.
Times are in seconds. Counters and histograms begin at zero with the process; gauges are looked up when asked for, those
of the outbox and of orders in the store. `route` is the template (`/orders/{order_id}`), never a path, and `type`
an event type of ours or `unknown`: no label has as many values as somebody likes to send. On Linux there are
`process_cpu_seconds_total`, `process_resident_memory_bytes`, `process_open_fds` and their like as well.
"""

TAIL: Final = """## Prometheus and Grafana

| file | what it is |
|---|---|
| `ops/observe/prometheus/prometheus.yml` | finds the services of `compose.yaml`, however many of each run |
| `ops/observe/prometheus/local.yml` | the same for `make run` on its usual ports |
| `ops/observe/prometheus/rules.yml` | recorded rates, and alerts; each says what to do |
| `ops/observe/grafana/dashboards/orderflow.json` | the dashboard; `ops/observe/grafana/provisioning` installs it |

With Prometheus installed (Debian: `prometheus`) and a shop running:

```bash
prometheus --config.file=ops/observe/prometheus/local.yml \\
  --storage.tsdb.path=.run/prometheus --web.listen-address=127.0.0.1:9090
```

`promtool check rules ops/observe/prometheus/rules.yml` checks the rules; a test does, and also that every metric and
label that rules and dashboard name is one of this page. On what alerts fire is told by `tests/observe/rules_test.yml`
(`promtool test rules`). `dead_letters_waiting` is asked of RabbitMQ by each process of a service about the one queue
they share: take the `max`, not the sum.
"""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric; `series` are the names it is asked for by."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...]
    everywhere: bool

    @property
    def series(self) -> tuple[str, ...]:
        return tuple(self.name + suffix for suffix in SUFFIXES[self.kind])


def declared() -> list[Metric]:
    """Every metric, in the order they are declared; those of order_svc last."""
    metrics = Metrics()
    chassis = _wrappers(metrics.registry)
    for figure in figures(Store("sqlite+aiosqlite:///:memory:").reader, SystemClock()):
        metrics.declare(figure)
    return [
        Metric(m._name, str(m._type), m._documentation, tuple(m._labelnames), m in chassis)
        for m in _wrappers(metrics.registry)
    ]


def metrics_page() -> str:
    """The whole page."""
    rows = [HEAD, "| metric | kind | labels | service | |", "|---|---|---|---|---|"]
    for metric in declared():
        name = f"{metric.name}_total" if metric.kind == "counter" else metric.name
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        rows.append(
            f"| `{name}` | {metric.kind} | {labels} | {'each' if metric.everywhere else 'order'} | {metric.text} |"
        )
    return "\n".join([*rows, "", TAIL])


def _wrappers(registry: CollectorRegistry) -> list[MetricWrapperBase]:
    """The registry's own metrics; what it tells of the process comes from elsewhere."""
    return [m for m in registry._collector_to_names if isinstance(m, MetricWrapperBase)]
