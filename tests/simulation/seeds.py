"""Runs the world of a seed: `run_seed(7)`."""

import gc
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from tests.simulation.checks import check
from tests.simulation.processes import owned_task
from tests.simulation.story import Story
from tests.simulation.virtual_time import StuckError, VirtualLoop, run
from tests.simulation.world import World

LIMIT_SECONDS: Final = 3_600.0
"""Of simulated time, in which every world has come to rest."""


@dataclass(frozen=True)
class Result:
    """How the world of a seed ended: well, if there are no findings. The same seed has the same `digest`."""

    seed: int
    findings: list[str]
    digest: str
    story: Story
    orders: int
    troubles: dict[str, int]

    @property
    def report(self) -> str:
        """For a person: the story of the orders concerned, the findings last."""
        concerned = self.story.orders_in(self.findings)
        lines = [f"seed {self.seed} (again: make simulate SEED={self.seed})", self.story.render(concerned or None)]
        return "\n".join([*lines, *(f"✗ {self.story.named(finding)}" for finding in self.findings)])


def run_seed(seed: int) -> Result:
    """The whole life of one world; takes about a tenth of a second."""
    loop = VirtualLoop(LIMIT_SECONDS)
    loop.set_task_factory(owned_task)
    with _no_collection():
        world = World(seed, loop)
        with _logs_into(world):
            try:
                run(loop, _live(world))
            except StuckError as error:
                world.found(str(error))
    orders = sum(intent.done is not None for customer in world.customers for intent in customer.purchases)
    return Result(seed, world.findings, world.story.digest(), world.story, orders, dict(world.dice.hits))


async def _live(world: World) -> None:
    await world.live()
    await world.rest()
    await check(world)


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage is collected while a world lives: what it finalises would come at any moment, and it takes long."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


_EXPECTED: Final = frozenset({"FailpointError", "BrokenAdapterError", "StoreUnavailableError", "OperationalError"})


@contextmanager
def _logs_into(world: World) -> Iterator[None]:
    """Warnings become lines of the story; errors that no trouble explains become findings."""

    def record(_logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        error = sys.exc_info()[0]
        about = str(event.get("order_id") or "") or None
        detail = " ".join(f"{key}={value}" for key, value in event.items() if key not in {"event", "exc_info"})
        world.story.tell("log", f"{level}: {event['event']} {detail} {error.__name__ if error else ''}", about)
        if level in {"error", "critical"} and (error is None or error.__name__ not in _EXPECTED):
            world.found(f"log: {event['event']} {detail} {sys.exc_info()[1]!r}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[record], wrapper_class=structlog.make_filtering_bound_logger(30))
    try:
        yield
    finally:
        structlog.configure(**before)
