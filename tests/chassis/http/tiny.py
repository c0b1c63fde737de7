"""The smallest service with every kind of route, to throw bad requests at."""

from typing import Annotated, Any
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Query, Request
from pydantic import Field
from sqlalchemy.exc import OperationalError
from starlette.responses import JSONResponse, Response

from chassis.app import create_app
from chassis.auth import AnyUser, Customer, Operator, TokenVerifier
from chassis.body import json_body
from chassis.clock import SystemClock
from chassis.conditional import IfMatch, check_if_match, etag_of, is_unchanged, not_modified
from chassis.db import Store
from chassis.fields import Answer, Body, CanonicalUuid, PathUuid, Text
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.idempotency_key import idempotent, stored_answer
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.seedwork import DomainError, ErrorKind
from chassis.telemetry import Metrics
from chassis.token_feed import TokenFeed, token_tables
from chassis.transport.memory import MemoryBroker, MemoryTransport
from chassis.unit_of_work import UnitOfWork, runtime_tables


class Line(Body):
    sku: Annotated[str, Text(40)]
    quantity: Annotated[int, Field(ge=1, le=999)]


class Place(Body):
    id: CanonicalUuid
    lines: Annotated[list[Line], Field(min_length=1, max_length=100)]
    note: Annotated[str, Text(20)] | None = None


class Placed(Answer):
    id: UUID


ETAG = etag_of("thing", 1)


def routes() -> APIRouter:
    router = APIRouter(prefix="/things", tags=["things"])

    @router.post("", status_code=201)
    async def place(principal: Customer, body: Annotated[Place, json_body(Place)]) -> Placed:
        return Placed(id=body.id)

    @router.post("/once")
    async def place_once(
        principal: Customer,
        once: Annotated[IdempotentRequest, idempotent("POST /things/once")],
        body: Annotated[Place, json_body(Place)],
        request: Request,
    ) -> Response:
        async def handle(command: Place, uow: UnitOfWork) -> UUID:
            return uow.new_id()

        def respond(made: UUID) -> StoredResponse:
            return StoredResponse(201, Placed(id=made).model_dump_json().encode())

        return stored_answer(await request.app.state.runtime.writer.execute_once(once, handle, body, respond))

    @router.get("")
    async def browse(limit: Annotated[int, Query(ge=1, le=100)] = 20) -> dict[str, int]:
        return {"limit": limit}

    @router.get("/cached")
    async def cached(request: Request) -> Response:
        if is_unchanged(request, ETAG):
            return not_modified(ETAG, "public, max-age=30")
        return JSONResponse({}, headers={"ETag": ETAG, "Cache-Control": "public, max-age=30"})

    @router.patch("/cached")
    async def change(given: IfMatch) -> dict[str, str]:
        check_if_match(given, ETAG)
        return {}

    @router.get("/me")
    async def me(principal: AnyUser) -> dict[str, str]:
        return {"user": str(principal.user_id)}

    @router.get("/admin")
    async def admin(principal: Operator) -> dict[str, str]:
        return {}

    @router.get("/refused/{kind}")
    async def refused(kind: ErrorKind) -> None:
        raise DomainError("price-changed", kind, "The total is another now.")

    @router.get("/broken")
    async def broken() -> None:
        raise RuntimeError("secret-canary")

    @router.get("/stuck")
    async def stuck() -> None:
        raise OperationalError("SELECT secret_canary", {}, Exception("database is locked"))

    @router.get("/{thing_id}")
    async def one(thing_id: PathUuid) -> dict[str, str]:
        return {"id": str(thing_id)}

    return router


def tiny_app(path: str) -> tuple[FastAPI, Runtime[Any], TokenVerifier]:
    """The app on a store of its own and a broker in memory; tables are made, nothing is started."""
    metadata = sa.MetaData()
    tables, tokens = runtime_tables(metadata), token_tables(metadata)
    store, verifier, metrics = Store(f"sqlite+aiosqlite:///{path}"), TokenVerifier(SystemClock()), Metrics()
    engine = sa.create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    feed = TokenFeed(tokens, verifier, store.reader, SystemClock())
    definition = ServiceDefinition("order", tables, UnitOfWork, feed.subscriptions)
    environment = Environment(store, MemoryTransport(MemoryBroker(), "order"), observer=metrics)
    runtime = Runtime(definition, environment)
    runtime.on_start(feed.load)
    for sweep in feed.sweeps(runtime.writer):
        runtime.add_sweep(sweep)
    return create_app(runtime, [routes()], title="Things", prefix="/things", verifier=verifier), runtime, verifier
