"""The HTTP door of a service: its routes, and around them what all have: health, metrics, documents, errors."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import JSONResponse, Response

from chassis.auth import TokenVerifier
from chassis.edge import EdgeMiddleware
from chassis.openapi import docs_page, install_openapi
from chassis.problems import install_problem_handlers
from chassis.runtime import Runtime
from chassis.telemetry import Metrics

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"


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

    Routers bring their full prefix themselves. `prefix` (`/orders`) is where the documents appear a second time, for
    readers who come through the edge. `app.state` holds `runtime`, `verifier` and `stopping`, an event that is set
    when the server begins to stop and that endless answers should watch.
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
    )
    app.state.runtime = runtime
    app.state.verifier = verifier
    app.state.stopping = asyncio.Event()
    app.include_router(_house_routes(prefix, metrics))
    for router in routers:
        app.include_router(router)
    install_problem_handlers(app)
    install_openapi(app)
    app.add_middleware(EdgeMiddleware, ids=runtime.ids, metrics=metrics, hsts=hsts)
    return app


def readiness(app: FastAPI) -> dict[str, str]:
    """What keeps the service from doing its work, by check; empty when it is ready."""
    failing = dict(app.state.runtime.readiness())
    if not app.state.verifier.ready:
        failing["tokens"] = "no signing key is known yet, so no access token can be verified"
    if app.state.stopping.is_set():
        failing["runtime"] = "stopping"
    return failing


def _house_routes(prefix: str, metrics: Metrics) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/healthz")
    async def healthz() -> Response:
        return JSONResponse({"status": "alive"})

    @router.get("/readyz")
    async def readyz(request: Request) -> Response:
        failing = readiness(request.app)
        status = {"status": "not ready" if failing else "ready", "failing": failing}
        return JSONResponse(status, 503 if failing else 200)

    @router.get("/metrics")
    async def prometheus(request: Request) -> Response:
        return Response(await metrics.exposition(request.app.state.runtime), media_type=METRICS_TYPE)

    @router.get("/openapi.json")
    @router.get(f"{prefix}/openapi.json")
    async def openapi(request: Request) -> Response:
        return JSONResponse(request.app.openapi())

    @router.get("/docs")
    @router.get(f"{prefix}/docs")
    async def docs(request: Request) -> Response:
        return docs_page(request.app.openapi())

    return router
