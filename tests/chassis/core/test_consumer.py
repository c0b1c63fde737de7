"""A delivery is handled once, or tried again, or lies in the dead queue with its reason. Nothing else can happen."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from chassis.consumer import MAX_KILLS, SUSPICIOUS_DELIVERIES
from chassis.db import Store
from chassis.ids import Uuid7
from chassis.observer import Observer
from chassis.runtime import Environment, Runtime
from chassis.seedwork import DomainError, ErrorKind
from chassis.topology import DELIVERY_LIMIT, EVENTS, dead_queue, inbox_queue
from chassis.transport import OutgoingMessage, Subscription
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.envelope import Envelope, Event, encode
from contracts.order import OrderCancelled, OrderFulfilled
from tests.support.clocks import ManualClock
from tests.support.toy import ToyUnitOfWork, counters, create_tables, toy_service
from tests.support.waiting import wait_until

INBOX = inbox_queue("catalog")
DEAD = dead_queue("catalog")


@pytest.fixture
def failures() -> list[Exception]:
    """What the handler raises, one per call, before it works."""
    return []


@pytest.fixture
async def subscription(runtime: Runtime[ToyUnitOfWork], failures: list[Exception]) -> Subscription:
    """The toy reads as catalog does: order.cancelled is bound to its inbox."""
    handler = runtime.definition.subscriptions[OrderCancelled]

    async def handle(event: OrderCancelled, uow: ToyUnitOfWork) -> None:
        await handler(event, uow)
        if failures:
            raise failures.pop(0)

    runtime.consumer._subscriptions = {OrderCancelled: handle}
    return runtime.transport.subscribe(INBOX, prefetch=10)


class Listening(Observer):
    """Counts what became of deliveries, by type."""

    def __init__(self) -> None:
        self.consumptions: Counter[tuple[str, str]] = Counter()

    def consumed(self, event_type: str, result: str) -> None:
        self.consumptions[event_type, result] += 1


@pytest.fixture
def observer() -> Listening:
    return Listening()


@pytest.fixture
async def runtime(
    store_url: str, clock: ManualClock, broker: MemoryBroker, observer: Listening
) -> AsyncIterator[Runtime[ToyUnitOfWork]]:
    await create_tables(store_url)
    environment = Environment(
        store=Store(store_url),
        transport=MemoryTransport(broker, "catalog"),
        clock=clock,
        ids=Uuid7(clock),
        observer=observer,
    )
    runtime = Runtime(toy_service("catalog"), environment)
    await runtime.writer.start()
    await runtime.transport.start()
    yield runtime
    await runtime.transport.stop()
    await runtime.writer.stop()
    await runtime.store.close()


def an_envelope(event: Event, clock: ManualClock) -> Envelope:
    return Envelope(
        id=uuid4(),
        source="/order",
        type=event.wire_name,
        subject=event.subject,
        time=clock.now(),
        correlationid=uuid4(),
        aggregateversion=1,
        data=event.model_dump(mode="json"),
    )


def send(broker: MemoryBroker, body: bytes, *, key: str = OrderCancelled.wire_name, message_id: str = "") -> None:
    broker.publish(OutgoingMessage(EVENTS, key, body, message_id or str(uuid4()), type=key))


async def step(runtime: Runtime[ToyUnitOfWork], subscription: Subscription) -> None:
    await runtime.consumer.settle(subscription, await subscription.receive(50))


async def value_of(runtime: Runtime[ToyUnitOfWork], counter_id: UUID) -> int:
    row = await runtime.reader.first(sa.select(counters.c.value).where(counters.c.id == counter_id))
    return row["value"] if row else 0


def only_dead(broker: MemoryBroker) -> Mapping[str, object]:
    (letter,) = broker.ready(DEAD)
    return letter.headers()


async def test_an_event_is_handled_and_acknowledged(
    runtime: Runtime[ToyUnitOfWork], subscription: Subscription, broker: MemoryBroker, clock: ManualClock
) -> None:
    order_id = uuid4()
    body = encode(an_envelope(OrderCancelled(order_id=order_id, reason="test"), clock))
    send(broker, body)
    send(broker, body)
    await step(runtime, subscription)
    assert await value_of(runtime, order_id) == 1
    assert broker.ready(INBOX) == broker.unsettled(INBOX) == broker.ready(DEAD) == []


async def test_a_transient_failure_comes_back_through_the_tiers_until_it_works(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
    failures: list[Exception],
) -> None:
    failures += [KeyError("bug"), DomainError("not-yet", ErrorKind.NOT_FOUND)]
    order_id = uuid4()
    send(broker, encode(an_envelope(OrderCancelled(order_id=order_id, reason="test"), clock)))
    for delay in (1, 5):
        await step(runtime, subscription)
        assert await value_of(runtime, order_id) == 0
        assert broker.ready(INBOX) == []
        clock.advance(timedelta(seconds=delay))
        broker.release_due()
    await step(runtime, subscription)
    assert await value_of(runtime, order_id) == 1
    assert broker.ready(DEAD) == []


async def test_what_keeps_failing_is_dead_with_a_reason_an_operator_can_read(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
    failures: list[Exception],
) -> None:
    failures += [ValueError("secret@example.org")] * 6
    send(broker, encode(an_envelope(OrderCancelled(order_id=uuid4(), reason="test"), clock)))
    for _ in range(6):
        await step(runtime, subscription)
        clock.advance(timedelta(minutes=11))
        broker.release_due()
    headers = only_dead(broker)
    assert headers["error-type"] == "ValueError"
    assert "test_consumer.py" in str(headers["error-message"])
    assert "secret" not in json.dumps(dict(headers), default=str)
    assert headers["attempt"] == 6
    assert headers["service"] == "catalog"
    assert headers["original-routing-key"] == OrderCancelled.wire_name
    assert headers["first-failed-at"] == "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{not json", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not a CloudEvents envelope"),
        (b"{}", "not a CloudEvents envelope"),
        (b'{"hello": "from the UI"}', "not a CloudEvents envelope"),
    ],
)
async def test_what_is_not_an_event_is_dead_at_once(
    runtime: Runtime[ToyUnitOfWork], subscription: Subscription, broker: MemoryBroker, body: bytes, reason: str
) -> None:
    send(broker, body)
    await step(runtime, subscription)
    assert reason in str(only_dead(broker)["error-message"])


async def test_an_unknown_type_and_an_unsubscribed_one_are_dead_at_once(
    runtime: Runtime[ToyUnitOfWork], subscription: Subscription, broker: MemoryBroker, clock: ManualClock
) -> None:
    known = an_envelope(OrderFulfilled(order_id=uuid4()), clock)
    send(broker, encode(known))
    send(broker, encode(known.model_copy(update={"type": "order.eaten.v1", "id": uuid4()})))
    await step(runtime, subscription)
    reasons = sorted(str(letter.headers()["error-message"]) for letter in broker.ready(DEAD))
    assert reasons == ["catalog has no handler for order.fulfilled.v1", "unknown event type 'order.eaten.v1'"]


async def test_types_that_strangers_make_up_are_one_label(
    runtime: Runtime[ToyUnitOfWork], subscription: Subscription, broker: MemoryBroker, observer: Listening
) -> None:
    for number in range(5):
        stranger = OutgoingMessage(EVENTS, OrderCancelled.wire_name, b"{}", str(uuid4()), type=f"made.up.{number}")
        broker.publish(stranger)
    send(broker, b"{not json")
    await step(runtime, subscription)
    assert observer.consumptions == {("unknown", "dead"): 5, (OrderCancelled.wire_name, "dead"): 1}


async def test_one_poison_message_costs_its_batch_nothing(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
) -> None:
    order_ids = [uuid4() for _ in range(9)]
    for index, order_id in enumerate(order_ids):
        if index == 4:
            send(broker, b"poison")
        send(broker, encode(an_envelope(OrderCancelled(order_id=order_id, reason="test"), clock)))
    await step(runtime, subscription)
    assert [await value_of(runtime, order_id) for order_id in order_ids] == [1] * 9
    assert len(broker.ready(DEAD)) == 1
    assert broker.unsettled(INBOX) == []


async def test_an_event_that_kills_the_process_is_given_up_after_counted_attempts(
    runtime: Runtime[ToyUnitOfWork], subscription: Subscription, broker: MemoryBroker, clock: ManualClock
) -> None:
    """A killed process never answers: the message comes back, with its delivery count and nothing else."""
    send(broker, encode(an_envelope(OrderCancelled(order_id=uuid4(), reason="test"), clock)))
    for _ in range(SUSPICIOUS_DELIVERIES):
        await subscription.requeue(await subscription.receive(1))
    (delivery,) = await subscription.receive(1)
    assert delivery.delivery_count == SUSPICIOUS_DELIVERIES
    envelope = Envelope.model_validate_json(delivery.body)
    for _ in range(MAX_KILLS):
        await runtime.consumer._count_attempt(envelope)
    await runtime.consumer.settle(subscription, [delivery])
    assert only_dead(broker)["error-type"] == "KilledProcessError"


class Killed(BaseException):
    """Nobody catches it: the process is gone."""


async def live_once(store_url: str, broker: MemoryBroker, clock: ManualClock, poison: UUID) -> bool:
    """A process that works its inbox until it is empty, or dies of an order; whether it died."""
    environment = Environment(
        store=Store(store_url), transport=MemoryTransport(broker, "catalog"), clock=clock, ids=Uuid7(clock)
    )
    runtime = Runtime(toy_service("catalog"), environment)
    handler = runtime.definition.subscriptions[OrderCancelled]

    async def handle(event: OrderCancelled, uow: ToyUnitOfWork) -> None:
        if event.order_id == poison:
            raise Killed
        if event.reason == "bug":
            raise KeyError("bug")
        await handler(event, uow)

    runtime.consumer._subscriptions = {OrderCancelled: handle}
    await runtime.writer.start()
    await runtime.transport.start()
    subscription = runtime.transport.subscribe(INBOX, prefetch=100)
    writing = runtime.writer._task
    assert writing is not None
    settling = asyncio.create_task(runtime.consumer.settle(subscription, await subscription.receive(50)))
    await asyncio.wait({settling, writing}, return_when=asyncio.FIRST_COMPLETED)
    died = writing.done()
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    await runtime.transport.stop()
    if not died:
        await runtime.writer.stop()
    else:
        assert isinstance(writing.exception(), Killed)
        await runtime.writer._close_session()
    await runtime.store.close()
    return died


async def test_an_event_that_kills_the_process_takes_none_of_its_neighbours_with_it(
    store_url: str, broker: MemoryBroker, clock: ManualClock
) -> None:
    await create_tables(store_url)
    buggy, *order_ids = (uuid4() for _ in range(10))
    poison = order_ids[4]
    for order_id in (buggy, *order_ids):
        reason = "bug" if order_id == buggy else "test"
        send(broker, encode(an_envelope(OrderCancelled(order_id=order_id, reason=reason), clock)))
    lives = 0
    while broker.ready(INBOX):
        lives += 1
        assert lives <= 10
        await live_once(store_url, broker, clock, poison)
    assert lives <= SUSPICIOUS_DELIVERIES + MAX_KILLS + 1
    assert only_dead(broker)["error-type"] == "KilledProcessError"
    assert [message.headers()["error-type"] for message in broker.ready("shop.retry.1s")] == ["KeyError"]
    store = Store(store_url)
    rows = await store.reader.all(sa.select(counters.c.id, counters.c.value))
    assert {row["id"]: row["value"] for row in rows} == {id: 1 for id in order_ids if id != poison}
    await store.close()


async def test_while_the_store_is_away_nothing_is_lost_and_no_attempt_is_burnt(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order_id = uuid4()
    send(broker, encode(an_envelope(OrderCancelled(order_id=order_id, reason="test"), clock)))
    connect = runtime.writer._open_session
    outages = [OSError("no route"), OSError("no route")]

    async def flaky() -> object:
        if outages:
            raise outages.pop()
        return await connect()

    monkeypatch.setattr(runtime.writer, "_open_session", flaky)
    monkeypatch.setattr("chassis.consumer.STORE_BACKOFF", (0.0, 0.0, 0.0))
    await step(runtime, subscription)
    assert await value_of(runtime, order_id) == 1
    assert broker.ready(INBOX) == broker.unsettled(INBOX) == broker.ready(DEAD) == []


async def test_nothing_is_acknowledged_before_it_is_committed(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While the store is away the delivery stays with us: not acknowledged, and not returned until that kills it."""
    order_id = uuid4()
    send(broker, encode(an_envelope(OrderCancelled(order_id=order_id, reason="test"), clock)))
    connect, tries = runtime.writer._open_session, 0
    back = asyncio.Event()

    async def away() -> object:
        nonlocal tries
        tries += 1
        if back.is_set():
            return await connect()
        raise OSError("no route")

    monkeypatch.setattr(runtime.writer, "_open_session", away)
    monkeypatch.setattr("chassis.consumer.STORE_BACKOFF", (0.0,))
    working = asyncio.create_task(step(runtime, subscription))
    await wait_until(lambda: tries > DELIVERY_LIMIT + 1)
    assert await value_of(runtime, order_id) == 0
    assert len(broker.unsettled(INBOX)) == 1
    assert broker.ready(DEAD) == []
    back.set()
    await working
    assert await value_of(runtime, order_id) == 1
    assert broker.ready(INBOX) == broker.unsettled(INBOX) == []


async def test_a_consumer_told_to_stop_gives_back_what_it_could_not_write(
    runtime: Runtime[ToyUnitOfWork],
    subscription: Subscription,
    broker: MemoryBroker,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send(broker, encode(an_envelope(OrderCancelled(order_id=uuid4(), reason="test"), clock)))

    async def away() -> object:
        raise OSError("no route")

    monkeypatch.setattr(runtime.writer, "_open_session", away)
    runtime.consumer._stopping.set()
    await step(runtime, subscription)
    assert len(broker.ready(INBOX)) == 1
