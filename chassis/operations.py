"""How a service is, in one answer an operator's page can ask for every few seconds: what it says of itself, its outbox
and the queues it works with. Nothing of any customer is in it."""

from datetime import datetime
from typing import Any, Final

from fastapi import FastAPI

from chassis.fields import Answer
from chassis.runtime import Runtime
from chassis.topology import RETRY_TIERS, dead_queue, inbox_queue
from chassis.transport import BrokerUnavailableError

VERSION: Final = "0.1.0"
"""Of the whole house, as in pyproject.toml: the services are released together."""


class OutboxState(Answer):
    """`pending` events wait for the broker's confirm, the oldest since `oldest_pending_at`; `parked` for someone."""

    pending: int
    parked: int
    oldest_pending_at: datetime | None


class QueueState(Answer):
    """`ready` messages wait to be handed out; what a consumer has in hand is not among them."""

    queue: str
    ready: int
    consumers: int


class Operations(Answer):
    """`failing` says by check what keeps the service from working. `queues` are its own two and the retry tiers, which
    all services share; null if the broker cannot be asked, and `broker_error` says why. `broker_page` is the address of
    the broker's own page, if there is one to go to."""

    service: str
    version: str
    at: datetime
    failing: dict[str, str]
    outbox: OutboxState
    queues: list[QueueState] | None
    broker_error: str | None
    broker_page: str | None


def readiness(app: FastAPI) -> dict[str, str]:
    """What keeps the service from doing its work, by check; empty when it is ready."""
    failing = dict(app.state.runtime.readiness())
    if not app.state.verifier.ready:
        failing["tokens"] = "no signing key is known yet, so no access token can be verified"
    if app.state.stopping.is_set():
        failing["runtime"] = "stopping"
    return failing


async def operations_of(app: FastAPI) -> Operations:
    """The answer as of now. The broker is asked by the service itself, which is the only login it needs."""
    runtime: Runtime[Any] = app.state.runtime
    outbox = await runtime.relay.status()
    queues, trouble = None, None
    names = [inbox_queue(runtime.name), dead_queue(runtime.name), *(tier.exchange for tier in RETRY_TIERS)]
    try:
        depths = await runtime.transport.depths(names)
        queues = [QueueState(queue=each.queue, ready=each.ready, consumers=each.consumers) for each in depths]
    except BrokerUnavailableError as error:
        trouble = str(error)
    return Operations(
        service=runtime.name,
        version=VERSION,
        at=runtime.clock.now(),
        failing=readiness(app),
        outbox=OutboxState(pending=outbox.pending, parked=outbox.parked, oldest_pending_at=outbox.oldest),
        queues=queues,
        broker_error=trouble,
        broker_page=runtime.broker_page,
    )
