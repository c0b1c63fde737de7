"""Periodic work: deadlines, prunes, reconciliation. Each run is idempotent, so any number of processes may run it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

import structlog

from chassis.failpoints import Failpoints
from chassis.observer import Observer
from chassis.seedwork import DomainError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Sweep:
    """`run` deals with what is due and returns how much it found; it is called again after `every`."""

    name: str
    every: timedelta
    run: Callable[[], Awaitable[int]]


class Sweeper:
    """Runs the sweeps of one service, each in its own task; a failing run is logged and tried again next time."""

    def __init__(self, observer: Observer, failpoints: Failpoints) -> None:
        self._sweeps: list[Sweep] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._observer = observer
        self._failpoints = failpoints

    def add(self, sweep: Sweep) -> None:
        self._sweeps.append(sweep)
        self._observer.swept(sweep.name, 0)  # known before it finds anything: what begins at one is no increase

    @property
    def sweeps(self) -> tuple[Sweep, ...]:
        return tuple(self._sweeps)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._repeat(sweep), name=f"sweep:{sweep.name}") for sweep in self._sweeps]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def run_once(self, sweep: Sweep) -> int:
        """One run of a sweep; how much it found."""
        self._failpoints.hit("sweep.before")
        found = await sweep.run()
        self._failpoints.hit("sweep.after")
        self._observer.swept(sweep.name, found)
        return found

    async def _repeat(self, sweep: Sweep) -> None:
        while True:
            try:
                await self.run_once(sweep)
            except DomainError as error:
                log.warning("sweep.refused", sweep=sweep.name, code=error.code)
            except Exception:
                log.exception("sweep.failed", sweep=sweep.name)
            await asyncio.sleep(sweep.every.total_seconds())
