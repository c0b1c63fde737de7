"""Idempotency-Key: one effect, one answer, whoever repeats it and when."""

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from chassis.idempotency import LEASE, IdempotentRequest, Interrupted, StoredResponse
from chassis.runtime import Runtime
from chassis.seedwork import DomainError
from chassis.transport.memory import MemoryBroker
from chassis.writer import Writer
from tests.support.clocks import ManualClock
from tests.support.toy import Add, ToyUnitOfWork, add, another_process


def a_request(*, key: str = "k1", fingerprint: str = "f", user_id: UUID | None = None) -> IdempotentRequest:
    return IdempotentRequest(user_id or UUID(int=1), "POST /toy", key, fingerprint)


def respond(value: int) -> StoredResponse:
    return StoredResponse(201, f'{{"value":{value}}}'.encode(), {"Location": f"/toy/{value}"})


async def test_the_first_answer_is_repeated_to_the_byte(writer: Writer[ToyUnitOfWork]) -> None:
    command = Add(uuid4())
    first = await writer.execute_once(a_request(), add, command, respond)
    second = await writer.execute_once(a_request(), add, command, respond)
    assert not first.replayed
    assert second.replayed
    assert (second.status, second.body, second.headers) == (first.status, first.body, first.headers)


async def test_the_same_key_twenty_times_at_once_has_one_effect(writer: Writer[ToyUnitOfWork]) -> None:
    command = Add(uuid4())
    answers = await asyncio.gather(*(writer.execute_once(a_request(), add, command, respond) for _ in range(20)))
    assert {answer.body for answer in answers} == {b'{"value":1}'}
    assert sum(not answer.replayed for answer in answers) == 1


async def test_another_body_under_the_same_key_is_refused(writer: Writer[ToyUnitOfWork]) -> None:
    command = Add(uuid4())
    await writer.execute_once(a_request(), add, command, respond)
    with pytest.raises(DomainError) as refusal:
        await writer.execute_once(a_request(fingerprint="other"), add, command, respond)
    assert refusal.value.code == "idempotency-key-reused"


async def test_a_key_belongs_to_its_user(writer: Writer[ToyUnitOfWork]) -> None:
    command = Add(uuid4())
    await writer.execute_once(a_request(), add, command, respond)
    other = await writer.execute_once(a_request(user_id=uuid4()), add, command, respond)
    assert other.body == b'{"value":2}'


async def test_a_refusal_leaves_the_key_free(writer: Writer[ToyUnitOfWork]) -> None:
    counter_id = uuid4()
    with pytest.raises(DomainError):
        await writer.execute_once(a_request(), add, Add(counter_id, 101), respond)
    answer = await writer.execute_once(a_request(), add, Add(counter_id), respond)
    assert answer.body == b'{"value":1}'


async def test_an_unfinished_request_is_in_progress_then_resumed_never_restarted(
    runtime: Runtime[ToyUnitOfWork], clock: ManualClock
) -> None:
    request, resource = a_request(), uuid4()

    async def begin(command: None, uow: ToyUnitOfWork) -> None:
        assert await uow.idempotency.find(request, uow.now) is None
        uow.idempotency.begin(request, resource, uow.now)

    async def look(command: None, uow: ToyUnitOfWork) -> StoredResponse | Interrupted | None:
        return await uow.idempotency.find(request, uow.now)

    async def finish(command: None, uow: ToyUnitOfWork) -> None:
        await uow.idempotency.preload([request])
        uow.idempotency.store(request, respond(1), uow.now)

    await runtime.writer.execute(begin, None)
    with pytest.raises(DomainError) as refusal:
        await runtime.writer.execute(look, None)
    assert refusal.value.code == "idempotency-in-progress"

    clock.advance(LEASE + timedelta(seconds=1))
    assert await runtime.writer.execute(look, None) == Interrupted(resource)
    with pytest.raises(DomainError):  # the resuming one has the lease now
        await runtime.writer.execute(look, None)

    await runtime.writer.execute(finish, None)
    known = await runtime.writer.execute(look, None)
    assert isinstance(known, StoredResponse)
    assert known.body == respond(1).body


async def test_an_interrupted_request_is_resumed_by_one_process_only(
    runtime: Runtime[ToyUnitOfWork], clock: ManualClock, store_url: str, broker: MemoryBroker
) -> None:
    request, resource, in_between = a_request(), uuid4(), asyncio.Event()

    async def begin(command: None, uow: ToyUnitOfWork) -> None:
        uow.idempotency.begin(request, resource, uow.now)

    async def look(command: None, uow: ToyUnitOfWork) -> StoredResponse | Interrupted | None:
        return await uow.idempotency.find(request, uow.now)

    async def look_long(command: None, uow: ToyUnitOfWork) -> StoredResponse | Interrupted | None:
        found = await uow.idempotency.find(request, uow.now)
        await in_between.wait()
        return found

    await runtime.writer.execute(begin, None)
    clock.advance(LEASE + timedelta(seconds=1))
    async with another_process(store_url, clock, broker) as other:
        first = asyncio.create_task(runtime.writer.execute(look_long, None))
        second = asyncio.create_task(other.writer.execute(look, None))
        await asyncio.wait({second}, timeout=0.2)  # time to do the wrong thing; the right one waits for the first
        in_between.set()
        assert await first == Interrupted(resource)
        with pytest.raises(DomainError) as refusal:
            await second
    assert refusal.value.code == "idempotency-in-progress"
