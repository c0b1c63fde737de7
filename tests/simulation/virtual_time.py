"""An event loop whose time is simulated: when nothing is ready it leaps to the next timer, and nothing runs in threads.

The same steps in the same order give the same run. What interleaves is decided by delays, which are drawn from a seed.
"""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

T = TypeVar("T")

START: Final = datetime(2026, 1, 1, tzinfo=UTC)


class StuckError(RuntimeError):
    """Everybody waits and nobody will ever wake them, or the run takes for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """`time` is in simulated seconds since the loop was made; past `limit` the run is taken to be endless."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self._elapsed = 0.0
        self._limit = limit
        self.disturbed = False
        self._selector = _Leap(self)

    def time(self) -> float:
        return self._elapsed

    def leap(self, seconds: float) -> None:
        """Let simulated time pass at once.

        Raises:
            StuckError: it has passed for too long.
        """
        self._elapsed += seconds
        if self._elapsed > self._limit:
            raise StuckError(f"not finished after {self._limit:g} simulated seconds")

    def run_in_executor(self, executor: object, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # type: ignore[override]  # inline, so the future is done at once
        """Run it here and now."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def _process_events(self, event_list: list[Any]) -> None:
        """There is no I/O to process."""

    def _write_to_self(self) -> None:
        """Called for another thread, which would end the determinism.

        Raises:
            RuntimeError: always, in that thread and then here.
        """
        self.disturbed = True
        raise RuntimeError("a thread wants to wake a loop in virtual time")


class _Leap:
    """Stands where a selector does: instead of waiting for I/O, lets the time pass until the next timer."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout: float | None) -> list[Any]:
        if self._loop.disturbed:
            raise RuntimeError("something runs in a thread, so the same seed has not the same history")
        if timeout is None:
            raise StuckError("everybody waits for somebody else")
        if timeout > 0:
            self._loop.leap(timeout)
        return []


class VirtualClock:
    """The wall clock of a virtual loop. `jump` moves it ahead of the timers, as after a machine was suspended."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self._ahead = timedelta()

    def now(self) -> datetime:
        return START + self._ahead + timedelta(seconds=self._loop.time())

    def jump(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)

    @property
    def seconds(self) -> float:
        """Since the start, by this clock."""
        return self._loop.time() + self._ahead.total_seconds()


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run to the end in a context of its own, cancel what is left, close the loop."""
    try:
        return contextvars.Context().run(loop.run_until_complete, main)
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
