"""The supervisor begins again whatever ended a session, ever more slowly, and stops when told."""

import asyncio
import contextlib
import random

import pytest

from chassis.supervisor import Backoff, Healthy, Supervisor
from tests.support.waiting import wait_until

AT_ONCE = Backoff(first=0.0, longest=0.0)


def test_the_backoff_doubles_up_to_its_longest_and_never_loses_more_than_half() -> None:
    backoff, rng = Backoff(first=0.2, longest=15.0), random.Random(1)
    for attempt, full in ((1, 0.2), (2, 0.4), (5, 3.2), (8, 15.0), (1000, 15.0)):
        delays = [backoff.delay(attempt, rng) for _ in range(100)]
        assert full / 2 <= min(delays) < max(delays) <= full


def test_a_session_that_outlived_the_longest_pause_is_not_part_of_the_outage_before_it() -> None:
    assert Backoff().longest >= Supervisor.RESET_SECONDS


async def test_a_lost_session_begins_again() -> None:
    ends = [asyncio.Event() for _ in range(3)]
    begun = 0

    async def session(healthy: Healthy) -> None:
        nonlocal begun
        begun += 1
        healthy()
        await ends[begun - 1].wait()
        raise ConnectionError(f"lost {begun}")

    supervisor = Supervisor("test", session, backoff=AT_ONCE)
    supervisor.start()
    supervisor.start()
    for number in (1, 2):
        await wait_until(lambda number=number: begun == number)  # type: ignore[misc]  # mypy cannot type a default
        ends[number - 1].set()
    await wait_until(lambda: begun == 3)
    assert (supervisor.reconnects, supervisor.last_error) == (2, "ConnectionError: lost 2")
    await supervisor.stop()


async def test_a_session_no_longer_wanted_is_not_repeated() -> None:
    begun = 0

    async def session(healthy: Healthy) -> None:
        nonlocal begun
        begun += 1

    supervisor = Supervisor("test", session, backoff=AT_ONCE)
    supervisor.start()
    await supervisor.join(5)
    assert begun == 1
    await supervisor.stop()


async def test_stopping_waits_for_the_sessions_cleanup() -> None:
    running, cleaned = asyncio.Event(), False

    async def session(healthy: Healthy) -> None:
        nonlocal cleaned
        try:
            running.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned = True

    supervisor = Supervisor("test", session)
    supervisor.start()
    await running.wait()
    await supervisor.stop()
    assert cleaned


async def _loses_a_cancellation(reached: asyncio.Event) -> None:
    """What `asyncio.wait_for` of Python 3.11 does with a cancellation that comes together with the answer."""
    reached.set()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


async def test_a_session_that_lost_the_cancellation_while_connecting_does_not_get_to_work() -> None:
    connecting, at_work = asyncio.Event(), False

    async def session(healthy: Healthy) -> None:
        nonlocal at_work
        await _loses_a_cancellation(connecting)
        healthy()
        at_work = True
        await asyncio.Event().wait()

    supervisor = Supervisor("test", session, backoff=AT_ONCE)
    supervisor.start()
    await connecting.wait()
    async with asyncio.timeout(Supervisor.CANCEL_AGAIN_SECONDS / 2):
        await supervisor.stop()
    assert not at_work
    assert supervisor.sessions == 0


async def test_a_session_that_lost_the_cancellation_anywhere_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Supervisor, "CANCEL_AGAIN_SECONDS", 0.01)
    waiting = asyncio.Event()

    async def session(healthy: Healthy) -> None:
        healthy()
        await _loses_a_cancellation(waiting)
        await asyncio.Event().wait()

    supervisor = Supervisor("test", session, backoff=AT_ONCE)
    supervisor.start()
    await waiting.wait()
    async with asyncio.timeout(10):
        await supervisor.stop()
