"""Every generated page of docs/ and how to make it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from bench.page import performance_page, performance_picture
from bench.results import newest_soak
from bench.soak.picture import soak_picture
from docs.tools.commands import commands_page
from docs.tools.configuration import configuration_page
from docs.tools.metrics import metrics_page
from docs.tools.problems import http_page
from docs.tools.routes import routes_page
from docs.tools.sequence import order_picture
from ops.docs import asyncapi_text, events_page

DOCS: Final = Path(__file__).resolve().parents[1]

PAGES: Final[Mapping[Path, Callable[[], str]]] = MappingProxyType(
    {
        DOCS / "events.md": events_page,
        DOCS / "asyncapi.json": asyncapi_text,
        DOCS / "configuration.md": configuration_page,
        DOCS / "metrics.md": metrics_page,
        DOCS / "reference" / "cli.md": commands_page,
        DOCS / "reference" / "routes.md": routes_page,
        DOCS / "explanation" / "order.svg": order_picture,
        DOCS / "performance.md": lambda: performance_page((DOCS / "performance.md").read_text()),
        DOCS / "images" / "performance.svg": performance_picture,
        DOCS / "images" / "soak.svg": lambda: soak_picture((newest_soak() or ("", None))[1]),
        DOCS / "http.md": lambda: http_page((DOCS / "http.md").read_text()),
    }
)
