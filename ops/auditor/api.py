"""What operators are told over HTTP: the last audit, and that one shall run now. Everybody else is refused."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from chassis.problems import problem_response
from contracts.claims import MAX_TOKEN_BYTES, OPERATOR
from ops.auditor.desk import AuditDesk

ASK_SECONDS: Final = 3.0
_PRIVATE: Final = {"Cache-Control": "no-store"}


class AuditorApi:
    """`GET /audit` and `POST /audit/runs`. Who asks is auth_svc's to say: it gets the caller's token to judge.

    `GET /healthz` is for whoever starts it again: 503 if nobody is at the desk any more. The edge does not pass it on.
    """

    def __init__(self, desk: AuditDesk, auth: httpx.AsyncClient) -> None:
        self._desk = desk
        self._auth = auth
        self._work: asyncio.Task[None] | None = None

    def app(self) -> Starlette:
        """The app; while it runs, so does the desk."""
        routes = [
            Route("/audit", self._last),
            Route("/audit/runs", self._run, methods=["POST"]),
            Route("/healthz", self._healthz),
        ]
        return Starlette(routes=routes, lifespan=self._working)

    @asynccontextmanager
    async def _working(self, app: Starlette) -> AsyncIterator[None]:
        self._work = work = asyncio.create_task(self._desk.work(), name="audit desk")
        try:
            yield
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _healthz(self, request: Request) -> Response:
        alive = self._work is not None and not self._work.done()
        return JSONResponse({"status": "alive" if alive else "dead"}, 200 if alive else 503, headers=_PRIVATE)

    async def _last(self, request: Request) -> Response:
        return await self._refusal(request) or JSONResponse(self._desk.told(), headers=_PRIVATE)

    async def _run(self, request: Request) -> Response:
        if refused := await self._refusal(request):
            return refused
        self._desk.ask()
        return JSONResponse(self._desk.told(), 202, headers=_PRIVATE)

    async def _refusal(self, request: Request) -> Response | None:
        """What to answer to somebody who is no operator; None for one who is."""
        given = request.headers.get("authorization", "")
        if not given or len(given) > MAX_TOKEN_BYTES + len("Bearer "):
            return problem_response(401, "unauthenticated", headers={"WWW-Authenticate": "Bearer", **_PRIVATE})
        try:
            answer = await self._auth.get("/auth/me", headers={"Authorization": given}, timeout=ASK_SECONDS)
            if answer.status_code == httpx.codes.UNAUTHORIZED:
                return problem_response(401, "unauthenticated", headers={"WWW-Authenticate": "Bearer", **_PRIVATE})
            if OPERATOR in answer.raise_for_status().json()["roles"]:
                return None
        except (httpx.HTTPError, ValueError, KeyError, TypeError):
            detail = "auth_svc cannot say whether you are an operator; repeat it when it is back."
            return problem_response(503, "unknown-caller", detail=detail, headers={"Retry-After": "2", **_PRIVATE})
        return problem_response(403, "forbidden", headers=_PRIVATE)
