"""The order: its life as a transition table, and what each fact from outside means in each state.

Facts arrive late, twice and in any order. In every state each of them is a move, a compensation, or a note on the
timeline that says why nothing changed; none is ignored silently and none is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from chassis.seedwork import AggregateRoot, DomainError, ErrorKind, IllegalTransitionError, Transitions
from contracts.catalog import Shortage
from contracts.money import Money, total
from contracts.order import (
    OrderCancelled,
    OrderConfirmed,
    OrderFulfilled,
    OrderPaid,
    OrderPaymentRequested,
    OrderPlaced,
    OrderRefunded,
    OrderRejected,
)
from contracts.order import OrderLine as PublishedLine


class OrderStatus(StrEnum):
    PENDING = "pending"
    AWAITING_PAYMENT = "awaiting_payment"
    CONFIRMED = "confirmed"
    PAID = "paid"
    FULFILLED = "fulfilled"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    REFUNDING = "refunding"
    REFUNDED = "refunded"


S = OrderStatus

TRANSITIONS: Transitions[OrderStatus] = Transitions(
    {
        S.PENDING: {S.AWAITING_PAYMENT, S.REJECTED, S.CANCELLED},
        S.AWAITING_PAYMENT: {S.CONFIRMED, S.CANCELLED},
        S.CONFIRMED: {S.PAID, S.CANCELLED},
        S.PAID: {S.FULFILLED, S.REFUNDING, S.REFUNDED},
        S.FULFILLED: {S.REFUNDED},
        S.REFUNDING: {S.REFUNDED},
        S.REJECTED: set(),
        S.CANCELLED: set(),
        S.REFUNDED: set(),
    }
)


class Actor(StrEnum):
    """Who brought a fact: one of the services, or a person."""

    AUTH = "auth"
    CATALOG = "catalog"
    ORDER = "order"
    PAYMENT = "payment"


@dataclass(frozen=True, slots=True)
class Line:
    """One product as it was when it was ordered."""

    sku: str
    title: str
    quantity: int
    unit_price: Money

    @property
    def total(self) -> Money:
        return self.unit_price * self.quantity


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """What happened to an order: entry `seq` (1, 2, 3 …), and the status the order had after it."""

    seq: int
    at: datetime
    service: Actor
    event: str
    status: OrderStatus
    text: str


class AmountMismatchError(DomainError):
    """The payment is not about the order's total. Somebody has to look: the event goes to the dead queue."""

    def __init__(self) -> None:
        super().__init__("amount-mismatch", ErrorKind.INVALID, "The payment's amount is not the order's total.")


class Order(AggregateRoot):
    """One customer's order. order_svc alone decides its state, here."""

    def __init__(
        self,
        *,
        id: UUID,
        user_id: UUID,
        lines: Sequence[Line],
        placed_at: datetime,
        status: OrderStatus = S.PENDING,
        status_reason: str | None = None,
        payment_id: UUID | None = None,
        captured: int = 0,
        refunded: int = 0,
        deadline_at: datetime | None = None,
        version: int = 0,
        entries: int = 0,
    ) -> None:
        super().__init__(version)
        self.id = id
        self.user_id = user_id
        self.lines = tuple(lines)
        self.total = total(line.total for line in self.lines)
        self.placed_at = placed_at
        self.status = status
        self.status_reason = status_reason
        self.payment_id = payment_id
        self.captured = captured
        self.refunded = refunded
        self.deadline_at = deadline_at
        self.entries = entries
        self._new_entries: list[TimelineEntry] = []

    @classmethod
    def place(
        cls, *, id: UUID, user_id: UUID, lines: Sequence[Line], now: datetime, stock_within: timedelta
    ) -> "Order":
        """A new order; unless its stock is held within `stock_within`, it is cancelled."""
        order = cls(id=id, user_id=user_id, lines=lines, placed_at=now, deadline_at=now + stock_within)
        published = [PublishedLine(sku=line.sku, quantity=line.quantity, unit_price=line.unit_price) for line in lines]
        order.record(
            OrderPlaced(order_id=id, user_id=user_id, lines=published, total=order.total, reserve_by=now + stock_within)
        )
        order._note(now, Actor.ORDER, "order.placed", "Order placed.")
        return order

    def pull_entries(self) -> list[TimelineEntry]:
        """The timeline entries made since the last call."""
        entries, self._new_entries = self._new_entries, []
        return entries

    @property
    def cancellable(self) -> bool:
        """Whether its customer may cancel it now."""
        return self.status in {S.PENDING, S.AWAITING_PAYMENT, S.PAID}

    # What catalog tells.

    def stock_reserved(self, now: datetime, pay_within: timedelta) -> None:
        if self.status is not S.PENDING:
            return self._late(now, Actor.CATALOG, "stock.reserved")
        self.deadline_at = now + pay_within
        self._move(S.AWAITING_PAYMENT)
        self.record(
            OrderPaymentRequested(order_id=self.id, user_id=self.user_id, amount=self.total, pay_by=self.deadline_at)
        )
        self._note(now, Actor.CATALOG, "stock.reserved", "Every item is held for you. Waiting for payment.")

    def stock_rejected(self, now: datetime, shortages: Sequence[Shortage]) -> None:
        """Before any hold: the order ends. After one (it had expired, and the units went elsewhere): undo the order."""
        match self.status:
            case S.PENDING:
                self._end(S.REJECTED, "out_of_stock")
                self.record(OrderRejected(order_id=self.id, reason="out_of_stock", shortages=list(shortages)))
                self._note(now, Actor.CATALOG, "stock.rejected", "Not enough in stock.")
            case S.AWAITING_PAYMENT | S.CONFIRMED:
                self._cancel(now, "stock_lost", Actor.CATALOG, "stock.rejected", "The items are no longer available.")
            case S.PAID:
                self._refund(now, "stock_lost", Actor.CATALOG, "stock.rejected", "The items are no longer available.")
            case _:
                self._late(now, Actor.CATALOG, "stock.rejected")

    def stock_released(self, now: datetime, reason: str) -> None:
        if self.status is S.AWAITING_PAYMENT:
            return self._cancel(now, "stock_expired", Actor.CATALOG, "stock.released", "The hold on the items ran out.")
        if self.status in {S.CANCELLED, S.REFUNDING, S.REFUNDED}:
            return self._note(now, Actor.CATALOG, "stock.released", "The items are back in stock.")
        # Confirmed or paid: catalog takes the stock again, or says stock.rejected. Pending: it overtook stock.reserved.
        return self._late(now, Actor.CATALOG, "stock.released")

    def stock_committed(self, now: datetime) -> None:
        if self.status in {S.CONFIRMED, S.PAID, S.FULFILLED}:
            return self._note(now, Actor.CATALOG, "stock.committed", "The items are yours.")
        return self._late(now, Actor.CATALOG, "stock.committed")

    # What payment tells.

    def payment_authorized(self, now: datetime, payment_id: UUID, amount: Money) -> None:
        self._check_amount(amount)
        if self.status is not S.AWAITING_PAYMENT:
            return self._late(now, Actor.PAYMENT, "payment.authorized")
        self._confirm(payment_id)
        self._note(now, Actor.PAYMENT, "payment.authorized", "Payment authorised. Order confirmed.")

    def payment_declined(self, now: datetime, code: str) -> None:
        if self.status is not S.AWAITING_PAYMENT:
            return self._late(now, Actor.PAYMENT, "payment.declined")
        return self._note(now, Actor.PAYMENT, "payment.declined", f"Payment declined ({code}). You can try again.")

    def payment_captured(self, now: datetime, payment_id: UUID, amount: Money) -> None:
        """The money is taken. A capture that overtook its authorisation confirms the order as well."""
        self._check_amount(amount)
        self.captured = amount.amount
        if self.status is S.AWAITING_PAYMENT:
            self._confirm(payment_id)
        if self.status is not S.CONFIRMED:
            return self._late(now, Actor.PAYMENT, "payment.captured")
        self._move(S.PAID)
        self.record(OrderPaid(order_id=self.id, user_id=self.user_id, payment_id=payment_id, amount=amount))
        self._note(now, Actor.PAYMENT, "payment.captured", "Paid.")
        return self._finish_refund(now)

    def payment_capture_failed(self, now: datetime, payment_id: UUID, code: str) -> None:
        if self.status is not S.CONFIRMED or payment_id != self.payment_id:
            return self._late(now, Actor.PAYMENT, "payment.capture_failed")
        return self._cancel(
            now, "capture_failed", Actor.PAYMENT, "payment.capture_failed", f"The money could not be taken ({code})."
        )

    def payment_voided(self, now: datetime, payment_id: UUID) -> None:
        """The hold is gone. That of another attempt than the one the order stands on is no loss."""
        match self.status:
            case S.CONFIRMED if payment_id == self.payment_id:
                self._cancel(now, "payment_voided", Actor.PAYMENT, "payment.voided", "The authorisation is gone.")
            case S.CANCELLED:
                self._note(now, Actor.PAYMENT, "payment.voided", "The authorisation is released; nothing was taken.")
            case _:
                self._late(now, Actor.PAYMENT, "payment.voided")

    def payment_refunded(self, now: datetime, refunded_so_far: Money) -> None:
        """`refunded_so_far` is the sum of all refunds, so a repeated or overtaken event changes nothing."""
        if refunded_so_far.amount <= self.refunded:
            return self._late(now, Actor.PAYMENT, "payment.refunded")
        self.refunded = refunded_so_far.amount
        self._note(now, Actor.PAYMENT, "payment.refunded", "Money went back to you.")
        return self._finish_refund(now)

    # What people and the clock do.

    def cancel(self, now: datetime) -> None:
        """The customer cancels: before payment for nothing, after it (and before the goods left) for the money back.

        Doing it again changes nothing.

        Raises:
            IllegalTransitionError: the order is being charged right now, has left the house, or was rejected.
        """
        match self.status:
            case S.PENDING | S.AWAITING_PAYMENT:
                self._cancel(now, "customer", Actor.ORDER, "order.cancelled", "You cancelled the order.")
            case S.PAID:
                self._refund(now, "customer", Actor.ORDER, "order.cancelled", "You cancelled the order.")
            case S.CANCELLED | S.REFUNDING | S.REFUNDED:
                pass
            case _:
                raise IllegalTransitionError(self.status, S.CANCELLED)

    def expire(self, now: datetime) -> None:
        """Its deadline has passed, if it has; called for any order at any time."""
        if self.deadline_at is None or now < self.deadline_at:
            return
        match self.status:
            case S.PENDING:
                text = "The items could not be held in time."
                self._cancel(now, "stock_timeout", Actor.ORDER, "order.cancelled", text)
            case S.AWAITING_PAYMENT:
                self._cancel(now, "payment_timeout", Actor.ORDER, "order.cancelled", "The time to pay ran out.")
            case _:
                self.deadline_at = None

    def fulfil(self, now: datetime) -> None:
        """The goods leave the house. Doing it again changes nothing.

        Raises:
            IllegalTransitionError: the order is not paid.
        """
        if self.status is S.FULFILLED:
            return
        self._move(S.FULFILLED)
        self.record(OrderFulfilled(order_id=self.id))
        self._note(now, Actor.ORDER, "order.fulfilled", "On its way to you.")

    # How.

    def _confirm(self, payment_id: UUID) -> None:
        self._move(S.CONFIRMED)
        self.payment_id = payment_id
        self.deadline_at = None
        self.record(OrderConfirmed(order_id=self.id, payment_id=payment_id))

    def _cancel(self, now: datetime, reason: str, service: Actor, event: str, text: str) -> None:
        self._end(S.CANCELLED, reason)
        self.record(OrderCancelled(order_id=self.id, reason=reason, refund=False))
        self._note(now, service, event, f"{text} Order cancelled.")

    def _refund(self, now: datetime, reason: str, service: Actor, event: str, text: str) -> None:
        self._end(S.REFUNDING, reason)
        self.record(OrderCancelled(order_id=self.id, reason=reason, refund=True))
        self._note(now, service, event, f"{text} Your money is on its way back.")
        self._finish_refund(now)

    def _finish_refund(self, now: datetime) -> None:
        """All of the money is back: then that is the order's end, whoever asked for the refund."""
        if self.refunded < self.total.amount or not TRANSITIONS.allows(self.status, S.REFUNDED):
            return
        self._move(S.REFUNDED)
        self.record(OrderRefunded(order_id=self.id, amount=self.total))
        self._note(now, Actor.ORDER, "order.refunded", "Refunded in full.")

    def _end(self, status: OrderStatus, reason: str) -> None:
        self._move(status)
        self.status_reason = reason
        self.deadline_at = None

    def _move(self, status: OrderStatus) -> None:
        self.status = TRANSITIONS.move(self.status, status)

    def _check_amount(self, amount: Money) -> None:
        if amount != self.total:
            raise AmountMismatchError

    def _late(self, now: datetime, service: Actor, event: str) -> None:
        self._note(now, service, event, f"late: {event} while {self.status.value}, nothing to do")

    def _note(self, now: datetime, service: Actor, event: str, text: str) -> None:
        self.entries += 1
        self._new_entries.append(TimelineEntry(self.entries, now, service, event, self.status, text))
