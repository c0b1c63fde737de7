"""The HTTP door of order_svc: body → command → writer → answer."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from chassis.auth import AnyUser, Customer, Operator, Principal
from chassis.body import json_body
from chassis.direct import DirectRoute
from chassis.fields import PathUuid
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.idempotency_key import idempotent, stored_answer
from chassis.runtime import Runtime
from order_svc import handlers, queries, streams
from order_svc.commands import CancelOrder, FulfilOrder
from order_svc.domain.order import Order, OrderStatus
from order_svc.feed import ChangeFeed
from order_svc.queries import OrderFilter
from order_svc.schemas import OrderPage, OrderView, PlaceOrderBody, Timeline, order_view
from order_svc.settings import OrderSettings
from order_svc.store import OrderUnitOfWork

MAX_WAIT_SECONDS: Final = 30

router = APIRouter(prefix="/orders", tags=["orders"], route_class=DirectRoute)


class Context:
    """What this service's routes stand on."""

    def __init__(self, runtime: Runtime[OrderUnitOfWork], feed: ChangeFeed, settings: OrderSettings) -> None:
        self.runtime = runtime
        self.writer = runtime.writer
        self.reader = runtime.reader
        self.feed = feed
        self.settings = settings
        self.streams = streams.Streams()


async def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(_context)]


@router.post("", status_code=201, response_model=OrderView)
async def place_order(
    principal: Customer,
    once: Annotated[IdempotentRequest, idempotent("POST /orders")],
    body: Annotated[PlaceOrderBody, json_body(PlaceOrderBody)],
    ctx: Ctx,
) -> Response:
    """Place an order. It is `pending` until the stock is held; follow it by `Location`, `?wait=`, or its events."""
    place = partial(handlers.place_order, stock_within=ctx.settings.stock_within)
    stored = await ctx.writer.execute_once(once, place, body.command(principal.user_id), _created)
    return stored_answer(stored)


@router.get("")
async def list_orders(
    principal: AnyUser,
    ctx: Ctx,
    status: OrderStatus | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=64)] = None,
) -> OrderPage:
    """Your orders, newest first; an operator sees everybody's."""
    return await queries.list_orders(ctx.reader, OrderFilter(_scope(principal), status, limit, cursor))


@router.get("/{order_id}")
async def get_order(
    order_id: PathUuid,
    principal: AnyUser,
    ctx: Ctx,
    request: Request,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT_SECONDS)] = 0,
    until: OrderStatus | None = None,
) -> OrderView:
    """One order. With `wait` (seconds) the answer comes once it changed; with `until`, once it is there or ended."""
    if not wait:
        return await queries.find_order(ctx.reader, order_id, _scope(principal))
    return await streams.wait_for(
        ctx.reader,
        ctx.feed,
        request.app.state.stopping,
        order_id,
        _scope(principal),
        seconds=wait,
        until=until,
    )


@router.get("/{order_id}/timeline")
async def get_timeline(order_id: PathUuid, principal: AnyUser, ctx: Ctx) -> Timeline:
    """Everything that happened to the order, oldest first."""
    await queries.find_order(ctx.reader, order_id, _scope(principal))
    return Timeline(items=await queries.timeline_of(ctx.reader, order_id))


@router.get("/{order_id}/events", response_class=StreamingResponse)
async def stream_events(
    order_id: PathUuid,
    principal: AnyUser,
    ctx: Ctx,
    request: Request,
    last_event_id: Annotated[int, Header(ge=0, le=1_000_000)] = 0,
) -> StreamingResponse:
    """The timeline as server-sent events, from `Last-Event-ID` on."""
    await queries.find_order(ctx.reader, order_id, _scope(principal))
    ctx.streams.take(principal.user_id)
    events = streams.event_stream(
        ctx.reader,
        ctx.feed,
        request.app.state.stopping,
        order_id,
        after=last_event_id,
        max_seconds=streams.MAX_STREAM_SECONDS,
    )
    return _EventStream(events, on_end=partial(ctx.streams.release, principal.user_id))


@router.post("/{order_id}/cancel")
async def cancel_order(order_id: PathUuid, principal: AnyUser, ctx: Ctx) -> OrderView:
    """Cancel before payment, or after it and before the goods left for a refund. Repeating it changes nothing."""
    order = await ctx.writer.execute(handlers.cancel_order, CancelOrder(order_id, _scope(principal)))
    return order_view(order)


@router.post("/{order_id}/fulfil")
async def fulfil_order(order_id: PathUuid, principal: Operator, ctx: Ctx) -> OrderView:
    """The goods left the house. Repeating it changes nothing."""
    return order_view(await ctx.writer.execute(handlers.fulfil_order, FulfilOrder(order_id)))


class _EventStream(StreamingResponse):
    """Server-sent events; `on_end` is called however it ends, also for a reader who left before the first byte."""

    def __init__(self, events: AsyncIterator[bytes], on_end: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _scope(principal: Principal) -> UUID | None:
    """Whose orders the caller may see: their own, or everybody's."""
    return None if principal.is_operator else principal.user_id


def _created(order: Order) -> StoredResponse:
    return StoredResponse(201, order_view(order).model_dump_json().encode(), {"Location": f"/orders/{order.id}"})
