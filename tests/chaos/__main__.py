"""`python -m tests.chaos kills`: spoil a running shop under load and say whether it kept its promises. `make chaos`."""

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from ops.config import SERVICES
from tests.chaos.page import page
from tests.chaos.plan import MODES, Config
from tests.chaos.run import run
from tests.chaos.shop import keep_logs, supervised_shop
from tests.chaos.summary import Document
from tests.fixtures.broker import RabbitNode, private_cluster_of_nodes, private_node
from tests.support.postgres import on_server, private_cluster

OF_MODE: Final[dict[str, dict[str, Any]]] = {
    "replicas": {"replicas": 2, "store": "postgresql"},
    "cluster": {"nodes": 3},
}
"""What a mode makes no sense without, unless told otherwise."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, write the report, and say where it is; 0 if every promise was kept."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # also when told to stop: end the shop and the broker
    options = _options(arguments)
    out: Path = options.out or Path(".run") / "chaos" / f"{datetime.now(UTC):%Y-%m-%d-%H%M}-{options.mode}"
    out.mkdir(parents=True, exist_ok=True)
    document = _run(_config(options), out)
    (out / "report.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "report.html").write_text(page(document))
    sys.stdout.write(_in_short(document) + f"\nreport: {out / 'report.html'}\n")
    return 0 if document["passed"] else 1


def _run(config: Config, out: Path) -> Document:
    with (
        tempfile.TemporaryDirectory(prefix="orderflow-chaos-") as temporary,
        _broker(Path(temporary) / "broker", config.nodes) as node,
        _stores(config.store) as stores,
    ):
        folder = Path(temporary) / "shop"
        folder.mkdir()
        with supervised_shop(
            node, folder, pay_within=config.pay_within, stores=stores, replicas=config.replicas
        ) as shop:
            try:
                return uvloop.run(run(config, shop, out))
            finally:
                keep_logs(shop, out / "logs")


def _broker(folder: Path, nodes: int) -> AbstractContextManager[RabbitNode]:
    return private_node(folder) if nodes == 1 else private_cluster_of_nodes(folder, nodes)


@contextmanager
def _stores(kind: str) -> Iterator[str]:
    """The URL of a PostgreSQL server with an empty database for each service; nothing for SQLite."""
    if kind == "sqlite":
        yield ""
        return
    with private_cluster() as url:
        asyncio.run(on_server(url, [f"CREATE DATABASE chaos_{service}" for service in SERVICES]))
        yield url


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    defaults = Config("kills")
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("mode", nargs="?", default="kills", choices=list(MODES))
    parser.add_argument("--minutes", type=float, default=defaults.minutes, help="of kills, mix and rolling")
    parser.add_argument("--rate", type=float, default=defaults.rate, help="orders per second that come")
    parser.add_argument("--kill-every", type=float, default=defaults.kill_every, help="seconds between kills")
    parser.add_argument("--steady", type=float, default=defaults.steady, help="seconds before the first fault")
    parser.add_argument("--fault-seconds", type=float, default=defaults.fault_seconds, help="of broker, services")
    parser.add_argument("--recovery-seconds", type=float, default=defaults.recovery_seconds, help="after each")
    parser.add_argument("--only", default=defaults.only, help="of broker, services: those with this in their name")
    parser.add_argument("--pay-within", type=float, default=defaults.pay_within, help="deadline of the shop, seconds")
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--store", choices=["sqlite", "postgresql"])
    parser.add_argument("--replicas", type=int, help="processes of each service (mode replicas: 2)")
    parser.add_argument("--nodes", type=int, help="nodes of the broker (mode cluster: 3)")
    parser.add_argument("--out", type=Path, default=None, help="folder of the report (.run/chaos/…)")
    return parser.parse_args(arguments)


def _config(options: argparse.Namespace) -> Config:
    given = {name: value for name, value in vars(options).items() if name != "out" and value is not None}
    config = Config(**{**OF_MODE.get(options.mode, {}), **given})
    if config.replicas > 1 and config.store == "sqlite":
        raise SystemExit("Several processes of a service need --store postgresql: a SQLite file has one writer.")
    return config


def _in_short(document: Document) -> str:
    counts, verdict = document["counts"], document["verdict"]
    lines = [f"{'PASSED' if document['passed'] else 'FAILED'}: {counts['accepted']} of {counts['offered']} accepted"]
    lines += [f"  {name}: {len(found)}  {found[:3]}" for name, found in verdict.items() if found]
    for phase in document["phases"]:
        lines.append(
            f"  {phase['name']}: {phase['accepted']}/{phase['offered']} accepted, {phase['accepted_at_once']} at once,"
            f" place p99 {phase['place'].get('p99', '-')} ms"
        )
    for fault in document["faults"]:
        if "recovered_after" in fault:
            lines.append(
                f"  {fault['name']}: backlog gone after {fault['recovered_after']} s,"
                f" no order paid for {fault['nothing_paid']} s ({fault['note']})"
            )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
