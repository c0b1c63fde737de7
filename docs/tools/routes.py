"""docs/reference/routes.md: every service's routes, from the OpenAPI document it serves."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from fastapi import FastAPI

import auth_svc.app
import catalog_svc.app
import order_svc.app
import payment_svc.app
from auth_svc.settings import AuthSettings
from catalog_svc.settings import CatalogSettings
from chassis.clock import SystemClock
from chassis.db import Store
from chassis.runtime import Environment
from chassis.settings import ServiceSettings
from chassis.transport.memory import MemoryBroker, MemoryTransport
from order_svc.settings import OrderSettings
from payment_svc.settings import PaymentSettings

HEAD: Final = """# Routes of each service

<!-- Made by `python -m docs.tools` from the services' OpenAPI documents; change the routes. -->

The whole documents, with schemas, are served by the services: `/orders/openapi.json` for machines, `/orders/docs` to
read, and likewise for the other three. What all share (problems, idempotency, tokens) is in [HTTP](../http.md).
"""

SERVICES: Final[Mapping[type[ServiceSettings], Callable[[Any, Environment], FastAPI]]] = MappingProxyType(
    {
        AuthSettings: auth_svc.app.build,
        CatalogSettings: catalog_svc.app.build,
        OrderSettings: order_svc.app.build,
        PaymentSettings: payment_svc.app.build,
    }
)


def routes_page() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as folder:
        documents = [_document(settings, build, Path(folder)) for settings, build in SERVICES.items()]
    return "\n".join([HEAD, *(_section(document) for document in documents)]).rstrip() + "\n"


def _document(settings: type[ServiceSettings], build: Callable[[Any, Environment], FastAPI], folder: Path) -> Any:
    """What the service would serve; nothing is started and the store stays empty."""
    values = settings.model_validate({"database_url": f"sqlite+aiosqlite:///{folder / settings.service}.db"})
    clock = SystemClock()
    transport = MemoryTransport(MemoryBroker(clock=clock), settings.service)
    return build(values, Environment(store=Store(values.database_url), transport=transport)).openapi()


def _section(document: Mapping[str, Any]) -> str:
    rows = [f"## {document['info']['title']}\n"]
    rows += ["| route | who | what |", "|---|---|---|"]
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            who = "with a token" if route.get("security") else "anybody"
            text = " ".join((route.get("description") or route.get("summary") or "").split()).replace("|", r"\|")
            rows.append(f"| `{method.upper()} {path}` | {who} | {text} |")
    return "\n".join(rows) + "\n"
