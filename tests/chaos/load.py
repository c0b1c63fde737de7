"""People come when they come: arrivals follow a schedule, however the shop answers those before them."""

import asyncio
import random
from collections.abc import Sequence

from tests.chaos.customers import Shopper, Visit
from tests.chaos.people import Person
from tests.chaos.record import Record


class Crowd:
    """Everybody who came and what they are at."""

    def __init__(self, shopper: Shopper, people: Sequence[Person], record: Record, rng: random.Random) -> None:
        self.visits: list[Visit] = []
        self._shopper = shopper
        self._people = people
        self._record = record
        self._rng = rng
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    async def come(self, rate: float, seconds: float, *, leave_until: float) -> None:
        """Arrivals at random, `rate` of them per second on average, until `seconds` on the stopwatch."""
        due = self._record.watch.now()
        while due < seconds:
            await asyncio.sleep(max(0.0, due - self._record.watch.now()))  # the schedule of an open loop
            visit = self._shopper.visit(len(self.visits), due, may_leave=due < leave_until)
            self.visits.append(visit)
            self._record.offers.append(visit.offer)
            task = asyncio.create_task(self._shopper.carry_out(visit, self._rng.choice(self._people)))
            self._tasks.add(task)
            task.add_done_callback(self._ended)
            due += self._rng.expovariate(rate)

    async def go_home(self, seconds: float) -> None:
        """Let everybody finish what they came for, at most this long; then they give up.

        Raises:
            Exception: whatever ended a visit that nobody expected; a bug of this program.
        """
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=seconds)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._errors:
            raise self._errors[0]

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)
