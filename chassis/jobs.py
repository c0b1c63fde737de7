"""What waits for the writer: changes of either door, each with whoever is told what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from chassis.context import MessageContext
from chassis.idempotency import IdempotentRequest
from chassis.seedwork import DomainError, ErrorKind
from chassis.unit_of_work import UnitOfWork
from contracts.envelope import Event

UowT = TypeVar("UowT", bound=UnitOfWork)


class StoreUnavailableError(DomainError):
    """The database cannot be reached or cannot write.

    On PostgreSQL a job may have been committed all the same, if the connection was lost during the commit: what must
    not happen twice carries an id or a key.
    """

    def __init__(self) -> None:
        super().__init__(
            "storage-unavailable", ErrorKind.UNAVAILABLE, "The store cannot be written at the moment.", retry_after=1
        )


class OverloadedError(DomainError):
    """More changes are waiting than the writer takes on."""

    def __init__(self) -> None:
        super().__init__("overloaded", ErrorKind.UNAVAILABLE, "Too many changes are waiting.", retry_after=1)


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """An event as the writer takes it from the consumer."""

    id: UUID
    event: Event


@dataclass(slots=True)
class Job(Generic[UowT]):
    """A change to be made; `done` gets its result after the commit."""

    run: Callable[[UowT], Awaitable[Any]]
    subject: object
    context: MessageContext
    done: "asyncio.Future[Any]"
    event: InboxEvent | None = None
    request: IdempotentRequest | None = None
    stale_at: float | None = None
    """When, by the loop's clock, it is too late to begin."""

    @property
    def known_again(self) -> bool:
        """Whether its own id or key would tell, should it run a second time, that it has happened."""
        return self.event is not None or self.request is not None

    def fail(self, error: Exception) -> None:
        """Have it end so, if it has not ended yet."""
        if not self.done.done():
            self.done.set_exception(error)


def refuse_stale(jobs: Sequence[Job[Any]]) -> None:
    """Those that waited too long end unbegun."""
    now = asyncio.get_running_loop().time()
    for job in jobs:
        if job.stale_at is not None and job.stale_at < now:
            job.fail(OverloadedError())
