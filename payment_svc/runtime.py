"""payment_svc at work: the chassis' runtime and the courier, started and stopped in the right order."""

from datetime import timedelta
from functools import partial
from uuid import UUID

from chassis.housekeeping import prune
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.sweeps import Sweep
from chassis.token_feed import TokenFeed
from payment_svc.arrivals import Arrivals
from payment_svc.consumers import PROJECTIONS, subscriptions
from payment_svc.courier import Courier
from payment_svc.domain.operation import Operation
from payment_svc.providers.port import PaymentProvider
from payment_svc.prunes import PRUNES
from payment_svc.reconciler import Reconciler
from payment_svc.settings import PaymentSettings
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import RUNTIME


class PaymentRuntime(Runtime[PaymentUnitOfWork]):
    """The courier works while the writer does: it starts after it and stops before it."""

    def __init__(
        self, settings: PaymentSettings, environment: Environment, provider: PaymentProvider, tokens: TokenFeed
    ) -> None:
        definition = ServiceDefinition(
            "payment",
            RUNTIME,
            partial(PaymentUnitOfWork, offer=self._offer, heard=self._heard),
            subscriptions(tokens),
            PROJECTIONS,
        )
        super().__init__(definition, environment)
        self.settings = settings
        self.arrivals = Arrivals(self.reader, self.hints)
        self.courier = Courier(
            provider,
            writer=self.writer,
            reader=self.reader,
            clock=self.clock,
            failpoints=self.failpoints,
            tracer=self.tracer,
            call_seconds=settings.call_seconds,
        )
        self.add_sweep(Sweep("provider_operations", timedelta(seconds=settings.sweep_seconds), self.courier.sweep))
        self.reconciler = Reconciler(
            provider,
            writer=self.writer,
            reader=self.reader,
            clock=self.clock,
        )
        self.add_sweep(
            Sweep("provider_books", timedelta(seconds=settings.reconcile_seconds), self.reconciler.read_books)
        )
        self.add_sweep(Sweep("provider_discrepancies", timedelta(seconds=settings.sweep_seconds), self.reconciler.look))
        for what in PRUNES:
            self.add_sweep(prune(what, timedelta(days=settings.keep_answered_days), self.writer, self.clock))
        for sweep in tokens.sweeps(self.writer):
            self.add_sweep(sweep)
        self.on_start(tokens.load)
        self.on_start(self.courier.start)

    async def stop(self) -> None:
        await self.arrivals.stop()
        await self.courier.stop()
        await super().stop()
        await self.courier.provider.close()

    def _offer(self, operation: Operation) -> None:
        self.courier.offer(operation)

    def _heard(self, order_id: UUID, user_id: UUID) -> None:
        self.arrivals.heard(order_id, user_id)
