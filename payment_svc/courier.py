"""The courier: carries operations to the provider and its answers back, outside of any transaction.

Every operation is a row before the provider hears of it, so a crash anywhere leaves something to go on with: the sweep
finds it and asks again with the same key. Nothing is ever guessed.
"""

import asyncio
from datetime import timedelta
from typing import Any, Final, TypeVar, assert_never

import sqlalchemy as sa
import structlog

from chassis.clock import Clock
from chassis.context import MessageContext, enter_context
from chassis.db import Reader
from chassis.failpoints import Failpoints
from chassis.tracing import Tracer
from chassis.writer import Handler, Writer
from payment_svc.commands import Answered
from payment_svc.domain.operation import LEASE, Operation, OperationKind, OperationState
from payment_svc.providers.port import AuthorizeRequest, Declined, Missing, PaymentProvider, Refused, Result, Unknown
from payment_svc.results import apply_answer
from payment_svc.store import PaymentUnitOfWork, operation_of_row
from payment_svc.tables import operations

log = structlog.get_logger()

CommandT = TypeVar("CommandT")
ResultT = TypeVar("ResultT")

AT_ONCE: Final = 32
MAX_WAITING: Final = 2_000
SWEEP_BATCH: Final = 200

KEYS_LIVE: Final = timedelta(hours=12)
"""How long any provider surely remembers a key; Stripe does for a day."""

_NOT_REPEATABLE: Final = frozenset({OperationKind.AUTHORIZE, OperationKind.REFUND})
_DUE = (
    sa.select(operations)
    .where(operations.c.state == OperationState.PENDING.value, operations.c.next_at <= sa.bindparam("now"))
    .order_by(operations.c.next_at)
    .limit(SWEEP_BATCH)
)


class Courier:
    """Calls the provider. `offer` starts one call in the background, `sweep` all that are due, `call` just calls."""

    def __init__(
        self,
        provider: PaymentProvider,
        *,
        writer: Writer[Any],
        reader: Reader,
        clock: Clock,
        failpoints: Failpoints,
        tracer: Tracer,
        call_seconds: float = 10.0,
    ) -> None:
        if call_seconds >= LEASE.total_seconds():
            raise ValueError("a call must end before its operation's lease does")
        self.provider = provider
        self._writer = writer
        self._reader = reader
        self._clock = clock
        self._failpoints = failpoints
        self._tracer = tracer
        self._call_seconds = call_seconds
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._running: dict[str, asyncio.Task[None]] = {}
        self._started = False

    @property
    def busy(self) -> int:
        """How many operations are under way in the background."""
        return len(self._running)

    async def start(self) -> None:
        self._started = True

    async def stop(self) -> None:
        """Drop what is under way: its rows stay, and it is asked again after the next start."""
        self._started = False
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def offer(self, operation: Operation) -> None:
        """Deal with a committed operation in the background; when there are too many, the sweep will later."""
        if not self._started or operation.id in self._running or len(self._running) >= MAX_WAITING:
            return
        task = asyncio.create_task(self._deal_with(operation), name=f"courier:{operation.id}")
        self._running[operation.id] = task
        task.add_done_callback(lambda _: self._running.pop(operation.id, None))

    async def sweep(self) -> int:
        """Start everything that is due; how much that is."""
        rows = await self._reader.all(_DUE, {"now": self._clock.now()})
        for row in rows:
            self.offer(operation_of_row(row))
        return len(rows)

    async def run(self, operation: Operation) -> None:
        """One try: ask the provider, then take its answer in."""
        answered = await self.call(operation)
        await self.take_in(apply_answer, answered)

    async def call(self, operation: Operation) -> Answered:
        """Ask the provider. Trouble on the way is an unknown outcome, not an error: it may have happened."""
        self._failpoints.hit("provider.before_call")
        with self._tracer.call(f"{self.provider.name}_provider", operation.kind.value) as span:
            result = await self._ask_in_time(operation)
            span.settled(type(result).__name__.lower())
            if isinstance(result, Unknown):
                span.failed("no answer")
        self._failpoints.hit("provider.after_call")
        return Answered(operation, result)

    async def _ask_in_time(self, operation: Operation) -> Result:
        try:
            async with asyncio.timeout(self._call_seconds):
                return await self._ask(operation)
        except TimeoutError:
            return Unknown(f"no answer within {self._call_seconds:g} s")
        except Exception as error:
            log.exception("courier.call_failed", operation=operation.id)
            return Unknown(f"{type(error).__name__} in the provider's adapter")

    async def take_in(self, handler: Handler[CommandT, PaymentUnitOfWork, ResultT], command: CommandT) -> ResultT:
        """Run the transaction an answer ends in."""

        async def work(uow: PaymentUnitOfWork) -> ResultT:
            taken = await handler(command, uow)
            self._failpoints.hit("provider.before_result")
            return taken

        return await self._writer.run_now(work, command)

    async def _deal_with(self, operation: Operation) -> None:
        enter_context(MessageContext(operation.order_id, operation.causation_id, operation.traceparent))
        try:
            async with self._slots:
                await self.run(operation)
        except Exception as error:
            log.warning("courier.failed", operation=operation.id, error=type(error).__name__)

    async def _ask(self, operation: Operation) -> Result:
        """Make the call. One so old that its key may be forgotten is looked up first: it would be done once more."""
        provider, key, reference = self.provider, operation.id, operation.reference or ""
        if operation.kind in _NOT_REPEATABLE and self._clock.now() - operation.created_at > KEYS_LIVE:
            match await provider.find(key):
                case Missing():
                    pass
                case Refused(code) if operation.kind is OperationKind.AUTHORIZE:
                    return Declined(code)
                case found:
                    return found
        match operation.kind:
            case OperationKind.AUTHORIZE:
                request = AuthorizeRequest(
                    operation.payment_id, operation.order_id, operation.amount, operation.payment_method or ""
                )
                return await provider.authorize(key, request)
            case OperationKind.CONFIRM:
                return await provider.confirm(key, reference)
            case OperationKind.CAPTURE:
                return await provider.capture(key, reference, operation.amount)
            case OperationKind.VOID:
                return await provider.void(key, reference)
            case OperationKind.REFUND:
                return await provider.refund(key, reference, operation.amount)
            case OperationKind.RETRIEVE:
                return await provider.retrieve(reference)
            case unreachable:
                assert_never(unreachable)
