"""A unit of work of all services over a state in memory: what handlers may ask, answered from dictionaries."""

from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Generic, TypeVar
from uuid import UUID

import sqlalchemy as sa

from catalog_svc.domain.reservation import Reservation
from catalog_svc.domain.stock import StockItem
from catalog_svc.store import Policy
from chassis.context import MessageContext
from chassis.seedwork import AggregateRoot, NotFoundError
from contracts.envelope import Event
from payment_svc.domain.operation import Operation
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment
from payment_svc.domain.refund import Refund, RefundState
from tests.simulation.one_order.state import ORDER_ID, READERS, SKU, Message, State

KeyT = TypeVar("KeyT")
AggregateT = TypeVar("AggregateT", bound=AggregateRoot)
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """A handler's result: on this stage it never waits."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    raise AssertionError("a handler waits for something that is not there")


class Rows(Generic[KeyT, AggregateT]):
    """A repository on a dictionary."""

    def __init__(self, rows: dict[KeyT, AggregateT], key: str) -> None:
        self._rows = rows
        self._key = key

    async def find(self, key: KeyT) -> AggregateT | None:
        return self._rows.get(key)

    async def get(self, key: KeyT) -> AggregateT:
        if key not in self._rows:
            raise NotFoundError("row")
        return self._rows[key]

    def add(self, aggregate: AggregateT) -> None:
        self._rows[getattr(aggregate, self._key)] = aggregate

    def all(self) -> list[AggregateT]:
        return list(self._rows.values())


class Reservations(Rows[UUID, Reservation]):
    async def of_order(self, order_id: UUID) -> Reservation:
        return self._rows.setdefault(order_id, Reservation(order_id))


class Payables(Rows[UUID, Payable]):
    async def of_order(self, order_id: UUID) -> Payable:
        return self._rows.setdefault(order_id, Payable(order_id))


class Payments(Rows[UUID, Payment]):
    async def of_order(self, order_id: UUID) -> list[Payment]:
        """All are of the one order."""
        return self.all()


class Refunds(Rows[UUID, Refund]):
    async def select(self, condition: object) -> list[Refund]:
        """The one question handlers ask with a condition: which automatic ones were refused?"""
        return [refund for refund in self.all() if refund.automatic and refund.state is RefundState.FAILED]


class FreshKey:
    """An idempotency key that was never used."""

    async def find(self, request: object, now: object) -> None:
        return None

    def begin(self, request: object, resource_id: UUID, now: object) -> None:
        """Whoever repeats a key is answered before any handler: that is not played here."""


class Stage:
    """One transaction: change the state by a handler, then `close` sends on what was recorded."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.now = state.now
        self.policy = Policy()
        self.context = MessageContext(ORDER_ID)
        self.idempotency = FreshKey()
        self.orders = Rows({ORDER_ID: state.order}, "id")
        self.reservations = Reservations(state.reservations, "order_id")
        self.payables = Payables(state.payables, "order_id")
        self.payments = Payments(state.payments, "id")
        self.operations = Rows(state.operations, "id")
        self.refunds = Refunds(state.refunds, "id")
        self._published: list[Event] = []

    async def shelf(self, lines: Iterable[Any]) -> Mapping[str, StockItem]:
        return {SKU: self.state.item}

    def journal(self, movements: Iterable[object], **about: object) -> None:
        """The ledger is summed up by others."""

    def new_id(self) -> UUID:
        self.state.made += 1
        return UUID(int=(100 + self.state.made))

    def hand_over(self, operation: Operation) -> None:
        """Every pending operation may be asked at any time."""

    def arrived(self, order_id: UUID, user_id: UUID) -> None:
        """Nobody waits for an order here."""

    def publish(self, event: Event, version: int = 1) -> None:
        self._published.append(event)

    async def flush(self) -> None:
        """There is nothing to write."""

    async def fetch(self, statement: sa.Select[Any]) -> list[dict[str, Any]]:
        """The one question handlers ask in SQL: whose payment is it?"""
        return [{"order_id": ORDER_ID}]

    def close(self, copies: int) -> State:
        """Every recorded event flies to each of its readers, `copies` times."""
        events = [event for aggregate in self.state.aggregates() for event, _ in aggregate.pull_events()]
        for event in [*events, *self._published]:
            text = f"{event.wire_name} {event.model_dump_json()}"
            for reader in READERS[type(event)]:
                message = Message(reader, text, event)
                self.state.flying[message] = self.state.flying.get(message, 0) + copies
        return self.state
