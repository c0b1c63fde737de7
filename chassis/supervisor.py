"""Keeps a session with something unreliable alive: begin, wait for its end, wait a little, begin again."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

logger = logging.getLogger(__name__)

Healthy = Callable[[], None]
Session = Callable[[Healthy], Awaitable[None]]
"""Runs until the session is lost (raises why) or is no longer wanted (returns); calls its argument once it works."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds between attempts: doubling from `first` to `longest`, each cut by up to half at random.

    An outage costs up to `longest` more than it lasts, and an attempt is one refused connection: it need not be long.
    The random part keeps services that lost the same broker from coming back at the same instant.
    """

    first: float = 0.2
    longest: float = 5.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        """The pause before attempt 1, 2, 3 … after the first."""
        full: float = min(self.longest, self.first * 2 ** min(attempt - 1, 30))
        return full * rng.uniform(0.5, 1.0)


class Supervisor:
    """Runs one session after the other until stopped."""

    RESET_SECONDS = 5.0
    """A session that worked this long starts the backoff anew. Not longer than the longest pause: a session lost soon
    after an outage would else wait as if it were still going on, with everything that was held up meanwhile."""

    CANCEL_AGAIN_SECONDS = 5.0
    """Longer than a session's cleanup may take."""

    def __init__(
        self, name: str, session: Session, *, backoff: Backoff | None = None, rng: random.Random | None = None
    ) -> None:
        self.name = name
        self.sessions = 0
        self.last_error = ""
        self._session = session
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._task: asyncio.Task[None] | None = None
        self._healthy_since: float | None = None

    @property
    def reconnects(self) -> int:
        """How many sessions began to work after the first."""
        return max(0, self.sessions - 1)

    def start(self) -> None:
        """Begin, in the background; does nothing if begun."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"supervisor {self.name}")

    async def stop(self) -> None:
        """Cancel the session, wait for its cleanup. It may be started again.

        Before Python 3.12 `asyncio.wait_for`, which the AMQP client uses, loses a cancellation that comes in the moment
        its answer does. So a session that gets to work all the same is told again then, and any other after a while.
        """
        task, self._task = self._task, None
        while task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=self.CANCEL_AGAIN_SECONDS)

    async def join(self, timeout: float) -> None:
        """Wait until the session is no longer wanted by itself, at most `timeout` seconds."""
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=timeout)

    async def _run(self) -> None:
        attempt = 0
        while True:
            self._healthy_since = None
            try:
                await self._session(self._became_healthy)
                return
            except Exception as error:  # whatever ended it, the answer is the same: again, a little later
                self.last_error = f"{type(error).__name__}: {error}"
            attempt = 1 if self._was_healthy_long() else attempt + 1
            delay = self._backoff.delay(attempt, self._rng)
            logger.warning("%s: %s; again in %.1f s", self.name, self.last_error, delay)
            await asyncio.sleep(delay)

    def _became_healthy(self) -> None:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError
        self.sessions += 1
        self._healthy_since = asyncio.get_running_loop().time()
        logger.info("%s: connected", self.name)

    def _was_healthy_long(self) -> bool:
        since = self._healthy_since
        return since is not None and asyncio.get_running_loop().time() - since >= self.RESET_SECONDS
