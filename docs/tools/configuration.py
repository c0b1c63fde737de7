"""docs/configuration.md, made from the settings classes, the launcher, the Caddyfile and compose.yaml."""

import ast
import inspect
import re
import textwrap
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import ops.config
from auth_svc.settings import AuthSettings
from catalog_svc.settings import CatalogSettings
from chassis.settings import SHARED, ServiceSettings, demo_only_fields
from ops.auditor.settings import AuditorSettings
from ops.config import Ports
from order_svc.settings import OrderSettings
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings
from payment_svc.settings import PaymentSettings

ROOT: Final = Path(__file__).resolve().parents[2]

TEXTS: Final = MappingProxyType(
    {
        "profile": "`production` refuses secrets that everybody knows, marks cookies `Secure` and sends HSTS",
        "log_level": "what is logged",
        "log_format": "`auto`: colours on a terminal, JSON lines otherwise",
        "database_url": "`sqlite+aiosqlite:///PATH` or `postgresql+asyncpg://USER:PASSWORD@HOST/DATABASE`",
        "amqp_url": "where RabbitMQ is, with this service's login; of a cluster several, with commas between",
        "host": "the address to listen on",
        "port": "the TCP port to listen on",
        "auth_jwks_url": "where to ask for a signing key that no event has brought yet; without it, nowhere",
        "forwarded_allow_ips": "whose `X-Forwarded-For` is believed (the edge's address); `*`: anybody's",
        "shutdown_seconds": "how long requests may take to end when the service is told to stop",
        "argon2_memory_kib": "password hashing: memory",
        "argon2_passes": "password hashing: passes over it",
        "argon2_threads": "password hashing: lanes",
        "operator_password": "the first operator's password; changing it later here changes nothing",
    }
)
"""For settings whose own docstring is missing. A setting with neither stops the page from being made."""

SHOP_TEXTS: Final = MappingProxyType(
    {
        "RUN_DIR": ("`.run`", "where a local shop keeps its stores, its broker and its secrets"),
        "AMQP_URL": ("none", "a broker of yours instead of a private one; the shop declares what it needs on it"),
        "EMBEDDED": ("`0`", "`1`: the four services in one process and a broker in its memory; needs no RabbitMQ"),
        "DEMO": ("`1`", "`0`: no demo books and no demo customer"),
        "AUDIT_SECONDS": ("`300`", "how long from one audit to the next; `0`: only when an operator asks for one"),
        "PROVIDER": ("`simulated`", "`remote`: the payment provider is a process of its own, with a ledger and faults"),
    }
)

HEAD: Final = """# Configuration

<!-- Made by `python -m docs.tools` from the settings, ops/config.py, edge/Caddyfile, compose.yaml; change it there. -->

Everything is an environment variable. A service reads its own prefix (`ORDER_PORT` for order_svc). The names marked
*shared* also work without the prefix, for all services at once (`LOG_LEVEL=debug`); with the prefix they win. A value
that cannot be used stops the service at once with the name of the setting, exit status 2. `.env` files are read by
Docker Compose only.
"""

TRACES: Final = """## Traces

With `TRACES=otlp` OpenTelemetry's own variables count; these are the ones most often wanted ([traces](tracing.md)).

| variable | default | |
|---|---|---|
| `OTEL_EXPORTER_OTLP_ENDPOINT` | `http://localhost:4318` | the collector: OTLP over HTTP, `/v1/traces` is added |
| `OTEL_EXPORTER_OTLP_HEADERS` | none | `name=value,…` for a collector that wants a login |
| `OTEL_SERVICE_NAME` | `auth`, `catalog`, `order`, `payment` | only where a service has an environment of its own |
| `OTEL_TRACES_SAMPLER` | `parentbased_always_on` | `parentbased_traceidratio`: a share of the traces |
| `OTEL_TRACES_SAMPLER_ARG` | `1.0` | the share |
| `OTEL_BSP_MAX_QUEUE_SIZE` | `2048` | spans that may wait to be sent; more are dropped |
"""

TAIL: Final = """## Tests

| variable | default | |
|---|---|---|
| `TEST_POSTGRES_URL` | none | test on this server (`postgresql+asyncpg://USER@HOST:PORT`), not a private one |
| `CI` | none | set: a server that is missing fails the tests that need it instead of skipping them |
| `FAILPOINT` | none | `order.relay.after_publish:kill@2`: die (or `raise`) at a named point, as CONTRIBUTING.md says |
| `FAILPOINT_TRACE` | none | a file to note in which points were reached and which struck |
| `EVERY_FAILPOINT` | none | set: the whole cross product of points, services, ways and hits (`make failpoints`) |
| `RACE_ROUNDS`, `RACE_SEED` | none, `1` | so many rounds of 200 buyers for 50 units, from this seed on (`make race`) |
| `BROKER_DEATHS` | `2` | how often the broker is killed in a row |
"""


def configuration_page() -> str:
    """The whole page.

    Raises:
        KeyError: a setting has no description.
    """
    own: list[type[ServiceSettings]] = [AuthSettings, CatalogSettings, OrderSettings, PaymentSettings]
    parts = [
        HEAD,
        _chassis_section(),
        *(_service_section(settings) for settings in own),
        _simulator_section(),
        _shop_section(),
        _auditor_section(),
        _edge_section(),
        _compose_section(),
    ]
    return "\n".join([*parts, TRACES, TAIL]).rstrip() + "\n"


def _chassis_section() -> str:
    rows = ["## Every service\n", "`<SVC>` is `AUTH`, `CATALOG`, `ORDER` or `PAYMENT`.\n", *_TABLE]
    docs = _docstrings(ServiceSettings)
    for name, field in ServiceSettings.model_fields.items():
        shared = ", *shared*" if name in SHARED else ""
        default = {"database_url": "SQLite in `.run/data/`", "port": "see below"}.get(name) or _default(field)
        rows.append(f"| `<SVC>_{name.upper()}` | {_type(field)}{shared} | {default} | {_describe(name, docs)} |")
    return "\n".join(rows) + "\n"


def _service_section(settings: type[ServiceSettings]) -> str:
    prefix = settings.service.upper()
    rows = [f"## {settings.service}_svc\n", *_TABLE]
    docs, demo_only = _docstrings(settings), demo_only_fields(settings)
    for name, field in settings.model_fields.items():
        if name in ServiceSettings.model_fields and name != "port":
            continue
        default = _default(field)
        if name in demo_only:
            default = "a public one, refused in production"
        rows.append(f"| `{prefix}_{name.upper()}` | {_type(field)} | {default} | {_describe(name, docs)} |")
    return "\n".join(rows) + "\n"


def _simulator_section() -> str:
    rows = [
        "## The payment provider as a process\n",
        "`python -m payment_svc.providers.simulator`, which `make run PROVIDER=remote` starts. Shares are of all calls;"
        " `PUT /admin/faults` changes the faults while it runs.\n",
        *_TABLE,
    ]
    for settings in (SimulatorSettings, FaultSettings):
        docs = _docstrings(settings)
        for name, field in settings.model_fields.items():
            default = "required" if field.is_required() else _default(field)
            rows.append(f"| `SIMULATOR_{name.upper()}` | {_type(field)} | {default} | {docs[name]} |")
    return "\n".join(rows) + "\n"


def _shop_section() -> str:
    rows = ["## `make run` and `./shop`\n", "| variable | default | |", "|---|---|---|"]
    rows += [f"| `{name}` | {' | '.join(SHOP_TEXTS[name])} |" for name in _shop_variables()]
    rows += [f"| `{name.upper()}` | `{getattr(Ports(), name)}` | TCP port |" for name in Ports.__slots__]
    return "\n".join(rows) + "\n"


def _auditor_section() -> str:
    rows = [
        "## The auditor in containers\n",
        "`python -m ops.auditor.remote`, in containers. What `make run` starts is told by the table above.\n",
        *_TABLE,
    ]
    docs = _docstrings(AuditorSettings)
    for name, field in AuditorSettings.model_fields.items():
        default = "required" if field.is_required() else _default(field)
        rows.append(f"| `AUDITOR_{name.upper()}` | {_type(field)} | {default} | {docs[name]} |")
    return "\n".join(rows) + "\n"


def _edge_section() -> str:
    text = (ROOT / "edge" / "Caddyfile").read_text()
    rows = ["## The edge (edge/Caddyfile)\n", "| variable | default |", "|---|---|"]
    rows += [
        f"| `{name}` | {f'`{default}`' if default else 'none'} |"
        for name, default in re.findall(r"\{\$([A-Z_]+):([^}]*)\}", text)
    ]
    return "\n".join(rows) + "\n"


def _compose_section() -> str:
    text = (ROOT / "compose.yaml").read_text()
    found = dict(sorted(re.findall(r"\$\{([A-Z_]+):([-?][^}]*)\}", text)))
    rows = [
        "## docker compose\n",
        "`sh ops/compose/secrets.sh` writes all of them to `.env`.\n",
        "| variable | default |",
        "|---|---|",
    ]
    rows += [
        f"| `{name}` | {f'`{rest[1:]}`' if rest[0] == '-' and rest[1:] else 'none'} |" for name, rest in found.items()
    ]
    return "\n".join(rows) + "\n"


def _shop_variables() -> list[str]:
    """The names ops/config.py looks up in the environment, ports aside."""
    source = inspect.getsource(ops.config)
    found = re.findall(r'env\.get\("([A-Z_]+)"|_(?:flag|choice|seconds)\(env, "([A-Z_]+)"', source)
    return list(dict.fromkeys(first or second for first, second in found))


def _docstrings(settings: type[BaseSettings]) -> dict[str, str]:
    """The string below each field, as one sentence without its full stop."""
    texts: dict[str, str] = {}
    for owner in reversed(settings.__mro__):
        if owner is BaseSettings or not issubclass(owner, BaseSettings):
            continue
        body = next(
            n.body for n in ast.parse(textwrap.dedent(inspect.getsource(owner))).body if isinstance(n, ast.ClassDef)
        )
        for field, text in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                texts[ast.unparse(field.target)] = " ".join(str(text.value.value).split()).rstrip(".")
    return texts


def _describe(name: str, docs: dict[str, str]) -> str:
    return docs[name] if name in docs else TEXTS[name]


def _type(field: FieldInfo) -> str:
    annotation: Any = field.annotation
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in get_args(annotation))
    if annotation is SecretStr:
        return "secret"
    names = {int: "integer", float: "number", str: "text"}
    name = names.get(annotation, "text")
    limits = [_limit(mark) for mark in field.metadata]
    return f"{name} {', '.join(filter(None, limits))}".strip()


def _limit(mark: object) -> str:
    for attribute, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<")):
        if (value := getattr(mark, attribute, None)) is not None:
            return f"{sign} {value}"
    return ""


def _default(field: FieldInfo) -> str:
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return "none" if value in {None, ""} else f"`{value}`"


_TABLE: Final = ("| variable | type | default | |", "|---|---|---|---|")
