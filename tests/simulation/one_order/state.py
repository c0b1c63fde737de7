"""All there is of one order, in all places at once: aggregates, the provider's books, and what is on its way."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar
from uuid import UUID

from catalog_svc.domain.reservation import Reservation
from catalog_svc.domain.stock import StockItem
from chassis.seedwork import AggregateRoot
from contracts.envelope import Event
from contracts.money import Money
from contracts.registry import SERVICES
from order_svc.domain.order import Line, Order
from payment_svc.domain.operation import Operation
from payment_svc.domain.payable import Payable
from payment_svc.domain.payment import Payment
from payment_svc.domain.refund import Refund
from payment_svc.providers.port import Result

KeyT = TypeVar("KeyT")
AggregateT = TypeVar("AggregateT", bound=AggregateRoot)

START: Final = datetime(2026, 1, 1, tzinfo=UTC)
HOUR: Final = timedelta(hours=1)
"""Longer than any deadline of the order."""

SKU: Final = "BOOK"
PRICE: Final = Money(amount=500, currency="EUR")
ORDER_ID: Final = UUID(int=1)
CUSTOMER: Final = UUID(int=2)

READERS: Final = {
    event: tuple(name for name, contract in SERVICES.items() if event in contract.reads)
    for contract in SERVICES.values()
    for event in contract.publishes
}

_UNSEEN: Final = frozenset({"version", "entries", "next_at", "attempts", "created_at", "done_at", "last_error"})
"""What two states may differ in and still have the same future."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment in the provider's books."""

    status: str
    captured: int = 0
    refunded: int = 0
    captures: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """An event on its way to one reader. `text` identifies it."""

    reader: str
    text: str
    event: Event = field(compare=False)

    def __str__(self) -> str:
        return f"{self.event.wire_name} → {self.reader}"


@dataclass(frozen=True)
class Budget:
    """What may yet happen that nobody has to do."""

    payments: int = 1
    cancellations: int = 1
    hold_expiries: int = 1
    rivals: int = 1
    second_askings: int = 0
    lost_answers: int = 0
    notices: int = 0
    captures_elsewhere: int = 0
    hours: int = 2

    def spend(self, name: str) -> "Budget":
        return replace(self, **{name: getattr(self, name) - 1})


@dataclass
class State:
    """`flying` tells how often each message will still be delivered; `answers` are the provider's, not heard yet."""

    order: Order
    item: StockItem
    budget: Budget
    card: str
    reservations: dict[UUID, Reservation] = field(default_factory=dict)
    payables: dict[UUID, Payable] = field(default_factory=dict)
    payments: dict[UUID, Payment] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    refunds: dict[UUID, Refund] = field(default_factory=dict)
    intents: dict[str, Intent] = field(default_factory=dict)
    told: dict[str, Result] = field(default_factory=dict)
    flying: dict[Message, int] = field(default_factory=dict)
    answers: tuple[tuple[str, Result], ...] = ()
    hour: int = 0
    made: int = 0

    @property
    def now(self) -> datetime:
        return START + self.hour * HOUR

    def copy(self) -> "State":
        """To be changed without changing this one: aggregates are copied, the rest is immutable."""
        return replace(
            self,
            order=_copied(self.order),
            item=_copied(self.item),
            reservations=_copies(self.reservations),
            payables=_copies(self.payables),
            payments=_copies(self.payments),
            operations=_copies(self.operations),
            refunds=_copies(self.refunds),
            intents=dict(self.intents),
            told=dict(self.told),
            flying=dict(self.flying),
        )

    def aggregates(self) -> Iterator[AggregateRoot]:
        yield self.order
        yield self.item
        yield from self.reservations.values()
        yield from self.payables.values()
        yield from self.payments.values()
        yield from self.operations.values()
        yield from self.refunds.values()

    def key(self) -> tuple[Any, ...]:
        """Equal for states with the same future."""
        return (
            self.budget,
            self.hour,
            tuple(tuple(seen(aggregate)) for aggregate in self.aggregates()),
            tuple(self.intents.items()),
            frozenset(self.flying.items()),
            frozenset((id, repr(result)) for id, result in self.answers),
        )


def seen(aggregate: AggregateRoot) -> Iterator[Any]:
    """What of an aggregate matters for what comes."""
    for name, value in vars(aggregate).items():
        if name not in _UNSEEN and not isinstance(value, list):
            yield tuple(sorted(value.items())) if isinstance(value, dict) else value


def placed(card: str, budget: Budget, units: int) -> State:
    """A customer has ordered one unit of `units`."""
    order = Order.place(
        id=ORDER_ID, user_id=CUSTOMER, lines=[Line(SKU, "A book", 1, PRICE)], now=START, stock_within=HOUR / 2
    )
    order.pull_entries()
    return State(order, StockItem(SKU, on_hand=units, received=units), budget, card)


def _copies(group: dict[KeyT, AggregateT]) -> dict[KeyT, AggregateT]:
    return {key: _copied(aggregate) for key, aggregate in group.items()}


def _copied(aggregate: AggregateT) -> AggregateT:
    new = copy.copy(aggregate)
    for name, value in vars(new).items():
        if isinstance(value, list):
            setattr(new, name, [])
    return new
