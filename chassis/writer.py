"""The writer: every change of a service's state, from either door, goes through one task that batches transactions.

It takes what is waiting (up to `MAX_BATCH` jobs), runs the handlers one after another in one transaction, flushes once,
commits once, then answers all of them. If a job raises, the transaction is rolled back and the others run again without
it, so that a refused or poisonous one touches only itself. Inside a service nothing races.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import structlog
from sqlalchemy.exc import DBAPIError

from chassis.clock import Clock
from chassis.context import MessageContext, current_context, enter_context, leave_context
from chassis.db import Store
from chassis.failpoints import Failpoints
from chassis.idempotency import IdempotentRequest, Interrupted, StoredResponse
from chassis.ids import Ids
from chassis.inbox import claim
from chassis.jobs import InboxEvent, Job, OverloadedError, StoreUnavailableError, UowT, refuse_stale
from chassis.observer import Observer
from chassis.outbox import OutboxWriter
from chassis.sessions import WriteSession, is_store_trouble
from chassis.unit_of_work import ConcurrencyError, RuntimeTables, Transaction

log = structlog.get_logger()

CommandT = TypeVar("CommandT")
ResultT = TypeVar("ResultT")

Handler = Callable[[CommandT, UowT], Awaitable[ResultT]]
EventHandler = Callable[[Any, UowT], Awaitable[None]]

MAX_BATCH = 64
MAX_WAITING = 1_024
MAX_WAIT_SECONDS = 3.0
"""How long a request may wait for its turn. Whoever waited longer is about to give up and to ask again: working it off
keeps those behind it waiting just as long, until everything that is answered is answered to nobody."""
MAX_APART = 4
"""How many raising jobs a batch is done again without; with more of them, one by one is cheaper."""
CONFLICT_TRIES = 5
# PostgreSQL: serialization failure, deadlock; and a unique violation, because two processes that both found no row both
# insert one: the second, done again, finds the first's.
_RETRYABLE_SQLSTATES = {"40001", "40P01", "23505"}


class Writer(Generic[UowT]):
    """One per store. `execute` and `handle` return after the commit, or raise and nothing has changed."""

    def __init__(
        self,
        store: Store,
        tables: RuntimeTables,
        make_uow: Callable[[Transaction], UowT],
        *,
        source: str,
        clock: Clock,
        ids: Ids,
        failpoints: Failpoints,
        observer: Observer,
    ) -> None:
        self._store = store
        self._tables = tables
        self._make_uow = make_uow
        self._clock = clock
        self._ids = ids
        self._outbox = OutboxWriter(source, ids)
        self._failpoints = failpoints
        self._observer = observer
        self._queue: asyncio.Queue[Job[UowT]] = asyncio.Queue(MAX_WAITING)
        self._session: WriteSession | None = None
        self._task: asyncio.Task[None] | None = None
        self.trouble = ""
        """Why the store could not be written, since when; empty when it can be, as far as was tried."""
        self._running: Job[UowT] | None = None
        self._committing = False
        self.on_emitted: Callable[[], None] = lambda: None
        """Called after a commit that left events in the outbox; the relay sets it to its wake-up."""

    async def execute(self, handler: Handler[CommandT, UowT, ResultT], command: CommandT) -> ResultT:
        """Run a use case in a transaction of its batch and return its result after the commit.

        Raises:
            DomainError: what the handler raised, or `StoreUnavailableError`, or `OverloadedError`: at once when too
                many wait, and unbegun after `MAX_WAIT_SECONDS`.
        """
        job = self._job(lambda uow: handler(command, uow), command)
        return cast("ResultT", await self._submit_or_refuse(job))

    async def execute_once(
        self,
        request: IdempotentRequest,
        handler: Handler[CommandT, UowT, ResultT],
        command: CommandT,
        respond: Callable[[ResultT], StoredResponse],
    ) -> StoredResponse:
        """Run a use case under an idempotency key: the first answer is stored with its effect and repeated after.

        Raises:
            DomainError: as `execute`; also `idempotency-key-reused` and `idempotency-in-progress`.
        """

        async def run(uow: UowT) -> StoredResponse:
            known = await uow.idempotency.find(request, uow.now)
            if isinstance(known, StoredResponse):
                return known
            if isinstance(known, Interrupted):
                raise RuntimeError("a request that finishes in its own transaction cannot be interrupted")
            response = respond(await handler(command, uow))
            uow.idempotency.store(request, response, uow.now)
            return response

        return cast("StoredResponse", await self._submit_or_refuse(self._job(run, command, request=request)))

    async def handle(self, event: InboxEvent, handler: EventHandler[UowT], context: MessageContext) -> bool:
        """Run an event's handler once for its id, ever; False if it was handled before. Waits when the queue is full.

        Raises:
            Exception: whatever the handler raised; the id is then not taken.
        """
        job = self._job(lambda uow: handler(event.event, uow), event.event, event=event, context=context)
        await self._queue.put(job)
        return cast("bool", await job.done)

    async def run_now(self, work: Callable[[UowT], Awaitable[ResultT]], subject: object = None) -> ResultT:
        """Run work that nobody's request waits for (marks, prunes, answers of others) through the same queue.

        Waits when it is full. `subject` is what the work is about, for `UnitOfWork.preload`.
        """
        job = self._job(work, subject)
        await self._queue.put(job)
        return cast("ResultT", await job.done)

    async def probe(self) -> int:
        """After trouble: write a row and take it away, to see whether the store can be written again; 1 if it can.

        Raises:
            StoreUnavailableError: not yet.
        """
        if not self.trouble:
            return 0
        table, probe_id = self._tables.attempts, self._ids.new()

        async def write(uow: UowT) -> None:
            await uow.execute(table.insert().values(event_id=probe_id, attempts=0))
            await uow.execute(table.delete().where(table.c.event_id == probe_id))

        await self.run_now(write)
        self.trouble = ""
        return 1

    @property
    def waiting(self) -> int:
        """How many jobs wait for a transaction."""
        return self._queue.qsize()

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="writer")

    async def stop(self) -> None:
        """Finish what is waiting, then close. Call it after both doors are shut."""
        if self._task is None:
            return
        await self._queue.join()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        await self._close_session()

    def _job(
        self,
        run: Callable[[UowT], Awaitable[Any]],
        subject: object,
        *,
        event: InboxEvent | None = None,
        request: IdempotentRequest | None = None,
        context: MessageContext | None = None,
    ) -> Job[UowT]:
        context = context or current_context() or MessageContext(correlation_id=self._ids.new())
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        return Job(run, subject, context, done, event, request)

    async def _submit_or_refuse(self, job: Job[UowT]) -> Any:
        job.stale_at = asyncio.get_running_loop().time() + MAX_WAIT_SECONDS
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise OverloadedError from None
        return await job.done

    async def _run(self) -> None:
        while True:
            jobs = [await self._queue.get()]
            while len(jobs) < MAX_BATCH and not self._queue.empty():
                jobs.append(self._queue.get_nowait())
            refuse_stale(jobs)
            try:
                await self._settle([job for job in jobs if not job.done.done()])
            except Exception:
                log.exception("writer.bug")
                for job in jobs:
                    job.fail(StoreUnavailableError())
            finally:
                for _ in jobs:
                    self._queue.task_done()

    async def _settle(self, jobs: list[Job[UowT]]) -> None:
        """Answer every job: together as far as that works, those that raise in transactions of their own."""
        apart: list[Job[UowT]] = []
        while len(jobs) > 1 and len(apart) < MAX_APART:
            try:
                await self._commit(jobs)
            except Exception as error:
                if is_store_trouble(error):
                    await self._close_session()
                    jobs = self._without_uncertain(jobs)
                    break
                if self._running is None:
                    break  # it came up at the flush: nobody knows whose it is
                apart.append(self._running)
                jobs = [job for job in jobs if job is not self._running]
            else:
                jobs = []
        jobs = [*jobs, *apart]
        for index, job in enumerate(jobs):
            try:
                await self._commit_alone(job)
            except StoreUnavailableError as error:
                for waiting in jobs[index:]:
                    waiting.fail(error)
                return
            except Exception as error:
                job.fail(error)

    def _without_uncertain(self, jobs: list[Job[UowT]]) -> list[Job[UowT]]:
        """A connection that is lost during the commit leaves open whether it happened: then only what is known again
        by its id or key may run a second time. The others are told that nobody knows."""
        if not self._committing:
            return jobs
        for job in jobs:
            if not job.known_again:
                job.fail(StoreUnavailableError())
        return [job for job in jobs if job.known_again]

    async def _commit_alone(self, job: Job[UowT]) -> None:
        for attempt in range(1, CONFLICT_TRIES + 1):
            try:
                return await self._commit([job])
            except Exception as error:
                if _is_conflict(error) and attempt < CONFLICT_TRIES:
                    continue
                if is_store_trouble(error):
                    self._note_trouble(error)
                    await self._close_session()
                    raise StoreUnavailableError from error
                raise

    async def _commit(self, jobs: Sequence[Job[UowT]]) -> None:
        started = time.perf_counter()
        self._running, self._committing = None, False
        session = await self._open_session()
        async with session.transaction() as connection:
            uow = self._make_uow(
                Transaction(connection, self._tables, self._clock, self._ids, self._outbox, self._failpoints)
            )
            results = await self._run_jobs(jobs, uow)
            await uow.flush()
            self._failpoints.hit("writer.before_commit")
            self._committing = True
        self._after_commit(uow, len(jobs), time.perf_counter() - started)
        for job, result in zip(jobs, results, strict=True):
            if not job.done.done():
                job.done.set_result(result)

    def _after_commit(self, uow: UowT, jobs: int, seconds: float) -> None:
        """What is committed has happened: trouble from here on must not make a job fail or run again."""
        try:
            self._failpoints.hit("writer.after_commit")
            self._observer.batch(jobs, seconds)
            uow.committed()
        except Exception:
            log.exception("writer.after_commit_failed")
        if uow.emitted:
            self.on_emitted()

    async def _run_jobs(self, jobs: Sequence[Job[UowT]], uow: UowT) -> list[Any]:
        events = [job.event for job in jobs if job.event is not None]
        fresh = await claim(
            uow.connection, self._tables.inbox, ((e.id, e.event.wire_name) for e in events), self._clock.now()
        )
        if events:
            self._failpoints.hit("consumer.after_inbox")
        await uow.idempotency.preload(job.request for job in jobs if job.request is not None)
        await uow.preload([job.subject for job in jobs if job.event is None or job.event.id in fresh])
        results: list[Any] = []
        for job in jobs:
            self._running = job
            if job.event is None:
                results.append(await _run_job(job, uow))
            elif job.event.id in fresh:
                fresh.discard(job.event.id)  # the same id may be twice in one batch
                await _run_job(job, uow)
                results.append(True)
            else:
                results.append(False)
        self._running = None
        return results

    def _note_trouble(self, error: Exception) -> None:
        cause = error.orig if isinstance(error, DBAPIError) else error
        reason = f"{type(cause).__name__}: {str(cause)[:200]}"
        log.warning("writer.store_unavailable", error=type(error).__name__, reason=reason)
        self.trouble = self.trouble or f"cannot be written since {self._clock.now().isoformat()}: {reason}"

    async def _open_session(self) -> WriteSession:
        if self._session is None:
            self._session = await self._store.open_session()
        return self._session

    async def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            try:
                await session.close()
            except Exception as error:
                log.warning("writer.close_failed", error=type(error).__name__)


async def _run_job(job: Job[UowT], uow: UowT) -> Any:
    enter_context(job.context)  # what the handler logs belongs to its conversation
    try:
        uow.begin_job(job.context)
        result = await job.run(uow)
        uow.end_job()
    finally:
        leave_context()
    return result


def _is_conflict(error: Exception) -> bool:
    if isinstance(error, ConcurrencyError):
        return True
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", None) in _RETRYABLE_SQLSTATES
