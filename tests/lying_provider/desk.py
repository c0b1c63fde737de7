"""Plays order_svc on a real broker: asks for payments, answers what payment_svc tells, and keeps books of its own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from chassis.topology import EVENTS, inbox_queue
from chassis.transport import Outcome, OutgoingMessage, Transport
from contracts.envelope import Envelope, Event, decode, encode
from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from contracts.payment import (
    PaymentAuthorized,
    PaymentCaptured,
    PaymentCaptureFailed,
    PaymentRefunded,
    PaymentVoided,
)
from contracts.registry import typed
from tests.support.waiting import wait_until

AT_ONCE: Final = 100


@dataclass
class Sale:
    """An order as order_svc would have it. `fate`: what its customer does about it."""

    amount: Money
    fate: str
    id: UUID = field(default_factory=uuid4)
    user_id: UUID = field(default_factory=uuid4)
    status: str = "awaiting_payment"
    payment_id: UUID | None = None
    captured: int = 0
    refunded: int = 0
    version: int = 0

    @property
    def at_rest(self) -> bool:
        """Nothing is to be expected any more."""
        if self.status == "cancelled":
            return self.captured == self.refunded
        return self.status == "paid" and self.captured == self.amount.amount


class Desk:
    """Every fact may come twice and in any order; the first of each decides."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._inbox = self._transport.subscribe(inbox_queue("order"), prefetch=AT_ONCE)
        self._task: asyncio.Task[None] | None = None
        self.sales: dict[UUID, Sale] = {}

    async def start(self) -> None:
        await self._transport.start()
        self._task = asyncio.create_task(self._work())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._transport.stop()

    async def ask_for_payment(self, sale: Sale) -> None:
        self.sales[sale.id] = sale
        pay_by = datetime.now(UTC) + timedelta(hours=1)
        await self.tell(
            sale, OrderPaymentRequested(order_id=sale.id, user_id=sale.user_id, amount=sale.amount, pay_by=pay_by)
        )

    async def cancel(self, sale: Sale) -> None:
        """The customer does not want it any more, paid or not."""
        if sale.status in {"awaiting_payment", "paid"}:
            await self._cancel(sale, "customer")

    async def tell(self, sale: Sale, event: Event) -> None:
        """Publish a fact of the order, until the broker has it."""
        sale.version += 1
        await self.publish(event, sale.id, "/order", sale.version)

    async def publish(self, event: Event, conversation: UUID, source: str, version: int = 1) -> None:
        envelope = Envelope(
            id=uuid4(),
            source=source,
            type=event.wire_name,
            subject=event.subject,
            time=datetime.now(UTC),
            correlationid=conversation,
            aggregateversion=version,
            data=event.model_dump(mode="json"),
        )
        message = OutgoingMessage(EVENTS, envelope.type, encode(envelope), str(envelope.id), type=envelope.type)

        async def published() -> bool:
            return (await self._transport.publish([message]))[0].outcome is Outcome.ACK

        await wait_until(published, timeout=60, message="the broker takes nothing")

    async def _work(self) -> None:
        while True:
            deliveries = await self._inbox.receive(AT_ONCE)
            events: Sequence[Event] = [typed(decode(delivery.body)) for delivery in deliveries]
            await asyncio.gather(*(self._hear(event) for event in events))
            await self._inbox.ack(deliveries)

    async def _hear(self, event: Event) -> None:
        sale = self.sales.get(getattr(event, "order_id", UUID(int=0)))
        if sale is None:
            return
        match event:
            case PaymentAuthorized() if sale.status == "awaiting_payment":
                await self._confirm(sale, event.payment_id)
            case PaymentCaptured():
                await self._captured(sale, event)
            case PaymentCaptureFailed() | PaymentVoided() if sale.status == "confirmed":
                if event.payment_id == sale.payment_id:
                    await self._cancel(sale, "payment_lost")
            case PaymentRefunded():
                sale.refunded = max(sale.refunded, event.total.amount)

    async def _captured(self, sale: Sale, event: PaymentCaptured) -> None:
        sale.captured = event.amount.amount
        if sale.status == "awaiting_payment":
            await self._confirm(sale, event.payment_id)
        if sale.status != "confirmed":
            return
        sale.status = "paid"
        if sale.fate == "cancel when paid":
            await self._cancel(sale, "customer")

    async def _confirm(self, sale: Sale, payment_id: UUID) -> None:
        sale.status, sale.payment_id = "confirmed", payment_id
        await self.tell(sale, OrderConfirmed(order_id=sale.id, payment_id=payment_id))

    async def _cancel(self, sale: Sale, reason: str) -> None:
        refund, sale.status = sale.status == "paid", "cancelled"
        await self.tell(sale, OrderCancelled(order_id=sale.id, reason=reason, refund=refund))
