"""The HTTP door of a service: its routes, and around them what all have: health, metrics, documents, errors."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from chassis.auth import TokenVerifier
from chassis.edge import EdgeMiddleware
from chassis.openapi import docs_page, install_openapi
from chassis.operations import readiness
from chassis.operator_api import operator_routes
from chassis.problems import install_problem_handlers, problem_response
from chassis.runtime import Runtime
from chassis.telemetry import Metrics

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"

NEEDED_FOR_REQUESTS = frozenset({"runtime", "tokens"})
"""The checks without which no request can be answered. The others hold up events, which wait."""


def create_app(
    runtime: Runtime[Any],
    routers: Iterable[APIRouter],
    *,
    title: str,
    prefix: str,
    verifier: TokenVerifier,
    metrics: Metrics | None = None,
    description: str = "",
    hsts: bool = False,
) -> FastAPI:
    """The service's app; its lifespan starts and stops `runtime`.

    Routers bring their full prefix themselves. `prefix` (`/orders`) is where the operators' routes are, and where the
    documents appear a second time, for readers who come through the edge. `app.state` holds `runtime`, `verifier` and
    `stopping`, an event that is set when the server begins to stop and that endless answers should watch.
    """
    metrics = metrics or (runtime.observer if isinstance(runtime.observer, Metrics) else Metrics())

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await runtime.start()
        try:
            yield
        finally:
            app.state.stopping.set()
            await runtime.stop()

    app = FastAPI(
        title=title,
        description=description,
        lifespan=lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # chassis.tracing and chassis.telemetry tell
    )
    app.state.runtime = runtime
    app.state.verifier = verifier
    app.state.stopping = asyncio.Event()
    for router in (operator_routes(prefix), *routers):  # the house's first: `/orders/{id}` would match them, too
        app.router.routes.extend(router.routes)  # as they are: matching through an included router costs more
    install_problem_handlers(app)
    install_openapi(app)
    app.add_middleware(HouseRoutes, prefix=prefix, metrics=metrics)
    app.add_middleware(EdgeMiddleware, ids=runtime.ids, metrics=metrics, tracer=runtime.tracer, hsts=hsts)
    return app


class HouseRoutes:
    """What every service answers beside its own routes; found by one look-up, before any route is matched."""

    def __init__(self, app: ASGIApp, *, prefix: str, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics
        self._routes: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._exposition,
            "/openapi.json": self._openapi,
            f"{prefix}/openapi.json": self._openapi,
            "/docs": self._docs,
            f"{prefix}/docs": self._docs,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._routes.get(scope["path"]) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        scope["route"] = _House(scope["path"])
        if scope["method"] == "GET":
            response = await answer(Request(scope))
        else:
            response = problem_response(405, "method-not-allowed", headers={"Allow": "GET"})
        await response(scope, receive, send)

    async def _healthz(self, request: Request) -> Response:
        return JSONResponse({"status": "alive"})

    async def _readyz(self, request: Request) -> Response:
        failing = readiness(request.app)
        if request.query_params.get("for") == "requests":  # what a load balancer wants to know
            failing = {check: why for check, why in failing.items() if check in NEEDED_FOR_REQUESTS}
        status = {"status": "not ready" if failing else "ready", "failing": failing}
        return JSONResponse(status, 503 if failing else 200)

    async def _exposition(self, request: Request) -> Response:
        return Response(await self._metrics.exposition(request.app.state.runtime), media_type=METRICS_TYPE)

    async def _openapi(self, request: Request) -> Response:
        return JSONResponse(request.app.openapi())

    async def _docs(self, request: Request) -> Response:
        return docs_page(request.app.openapi())


@dataclass(frozen=True, slots=True)
class _House:
    """Names a route for the metrics."""

    path: str
