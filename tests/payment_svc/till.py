"""Payments with only the writer at work: nothing happens unless the test makes it happen, one step at a time."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID, uuid4

import sqlalchemy as sa
from fastapi import FastAPI

from chassis.clock import Clock
from chassis.context import MessageContext
from chassis.figures import Cut
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.jobs import InboxEvent
from contracts.envelope import Event, decode
from contracts.money import Money
from contracts.order import OrderCancelled, OrderConfirmed, OrderPaymentRequested
from contracts.registry import typed
from payment_svc.audit import Audit, OrderFigures, audit, order_page
from payment_svc.commands import Begun, FinishPayment, StartPayment
from payment_svc.consumers import SUBSCRIPTIONS
from payment_svc.domain.ledger import Account
from payment_svc.domain.operation import Operation, OperationKind, OperationState
from payment_svc.domain.payment import Payment
from payment_svc.handlers import start_payment
from payment_svc.providers.cards import Card
from payment_svc.providers.simulated import SimulatedProvider
from payment_svc.results import finish_payment
from payment_svc.runtime import PaymentRuntime
from payment_svc.store import operation_of_row, payment_of_row
from payment_svc.tables import RUNTIME, operations, payments
from tests.support.clocks import ManualClock

PRICE = Money(amount=1999, currency="EUR")


@dataclass
class AnOrder:
    """What order_svc says about one order; `payment_id` is the one the test will pay with."""

    order_id: UUID = field(default_factory=uuid4)
    user_id: UUID = field(default_factory=uuid4)
    payment_id: UUID = field(default_factory=uuid4)
    amount: Money = PRICE

    def requested(self, clock: Clock) -> OrderPaymentRequested:
        return OrderPaymentRequested(
            order_id=self.order_id, user_id=self.user_id, amount=self.amount, pay_by=clock.now() + timedelta(minutes=15)
        )

    def confirmed(self) -> OrderConfirmed:
        return OrderConfirmed(order_id=self.order_id, payment_id=self.payment_id)

    def cancelled(self) -> OrderCancelled:
        return OrderCancelled(order_id=self.order_id, reason="customer")


class Till:
    """The service's insides. A `provider` outlives the service, as a real one would."""

    def __init__(self, app: FastAPI, clock: ManualClock, provider: SimulatedProvider) -> None:
        self.app = app
        self.runtime: PaymentRuntime = app.state.runtime
        self.clock = clock
        self.provider = provider

    async def send(self, event: Event, *, id: UUID | None = None) -> None:
        """Hand an event in, as the consumer does; under a new id unless one is given."""
        order_id = event.conversation or uuid4()
        await self.runtime.writer.handle(
            InboxEvent(id or uuid4(), event), SUBSCRIPTIONS[type(event)], MessageContext(order_id)
        )

    async def begin(self, order: AnOrder, card: str = Card.VISA, *, key: str = "") -> Begun | StoredResponse:
        """The first transaction of POST /payments."""
        command = StartPayment(order.payment_id, order.order_id, order.user_id, card, self.request(order, key))
        return await self.runtime.writer.execute(start_payment, command)

    async def pay(self, order: AnOrder, card: str = Card.VISA) -> Payment:
        """Begin, call and finish, as the route does."""
        begun = await self.begin(order, card)
        assert isinstance(begun, Begun)
        assert begun.operation is not None
        answered = await self.runtime.courier.call(begun.operation)
        finish = FinishPayment(order.payment_id, answered, self.request(order), lambda _: StoredResponse(201, b"{}"))
        await self.runtime.writer.run_now(lambda uow: finish_payment(finish, uow))
        return await self.payment(order.payment_id)

    async def an_authorized(self, card: str = Card.VISA) -> AnOrder:
        order = AnOrder()
        await self.send(order.requested(self.clock))
        await self.pay(order, card)
        return order

    async def a_captured(self, card: str = Card.VISA) -> AnOrder:
        order = await self.an_authorized(card)
        await self.send(order.confirmed())
        await self.work_off()
        return order

    def request(self, order: AnOrder, key: str = "") -> IdempotentRequest:
        return IdempotentRequest(order.user_id, "POST /payments", key or str(order.payment_id), "f" * 64)

    async def pending(self, order: AnOrder | None = None) -> list[Operation]:
        condition = operations.c.state == OperationState.PENDING.value
        if order is not None:
            condition = sa.and_(condition, operations.c.order_id == order.order_id)
        rows = await self.runtime.reader.all(sa.select(operations).where(condition).order_by(operations.c.created_at))
        return [operation_of_row(row) for row in rows]

    async def answer(self, order: AnOrder, *kinds: OperationKind) -> None:
        """Let the provider answer the order's pending operations of these kinds, all without any."""
        for operation in await self.pending(order):
            if not kinds or operation.kind in kinds:
                await self.runtime.courier.run(operation)

    async def work_off(self, order: AnOrder | None = None) -> None:
        """Ask the provider until nothing is pending, as the sweeps do in time."""
        for _ in range(20):
            waiting = await self.pending(order)
            if not waiting:
                return
            for operation in waiting:
                await self.runtime.courier.run(operation)
        raise AssertionError(f"still pending: {[operation.id for operation in waiting]}")

    async def payment(self, payment_id: UUID) -> Payment:
        row = await self.runtime.reader.first(sa.select(payments).where(payments.c.id == payment_id))
        assert row is not None
        return payment_of_row(row)

    async def audit(self) -> Audit:
        """The books, and that they are sound."""
        report = await audit(self.runtime)
        assert report.breaches == []
        for accounts in report.ledger.values():
            assert sum(accounts.values()) == 0
        return report

    async def figures(self, order: AnOrder) -> OrderFigures:
        return next(figure for figure in await self.orders() if figure.order_id == order.order_id)

    async def orders(self) -> list[OrderFigures]:
        """The money of every order; of each payment the ledger says the same."""
        page = await order_page(self.runtime.reader, Cut(None, None, 1_000))
        assert page.next is None, "more orders than this looks at"
        assert not any(payment.ledger for order in page.items for payment in order.payments)
        return page.items

    async def balance(self, account: Account) -> int:
        return (await self.audit()).ledger.get("EUR", {}).get(account.value, 0)

    async def emitted(self, order: AnOrder | None = None) -> list[Event]:
        statement = sa.select(RUNTIME.outbox.c.body).order_by(RUNTIME.outbox.c.id)
        if order is not None:
            statement = statement.where(RUNTIME.outbox.c.correlation_id == order.order_id)
        return [typed(decode(row["body"].encode())) for row in await self.runtime.reader.all(statement)]

    async def emitted_names(self, order: AnOrder | None = None) -> list[str]:
        return [event.wire_name.split(".")[1] for event in await self.emitted(order)]

    def taken(self) -> tuple[int, int, int]:
        """The provider's books: captures made, captured, refunded."""
        intents = self.provider.intents
        return (
            sum(intent.captures for intent in intents),
            sum(intent.captured for intent in intents),
            sum(intent.refunded for intent in intents),
        )
