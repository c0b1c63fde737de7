"""Processes of the services: real apps and runtimes that can be killed at any point, and what dies with them."""

import asyncio
import contextvars
import sqlite3
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Final, TypeVar

from fastapi import FastAPI

from catalog_svc.app import build as build_catalog
from chassis.failpoints import FailpointError, Failpoints
from chassis.hints import NobodyElse
from chassis.runtime import Environment, Runtime
from order_svc.app import build as build_order
from payment_svc.app import build as build_payment
from tests.simulation.broker import SimTransport
from tests.simulation.stores import Alone, Committer, SimReader, SimStore, disk, pause

if TYPE_CHECKING:
    from tests.simulation.world import World

T = TypeVar("T")

SERVICES: Final = ("catalog", "order", "payment")
WEBHOOK_SECRET: Final = "a secret of the provider"


class SimCrash(BaseException):
    """The process dies here. Nothing catches it, as nothing catches SIGKILL."""


class UnansweredError(Exception):
    """The client got no answer: refused, lost, or the process died meanwhile. It may or may not have happened."""


_owner: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("process", default=None)


def owned_task(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> "asyncio.Task[Any]":
    """The loop's task factory: a task belongs to the process in whose context it begins, and dies with it."""
    task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, **options)
    context: contextvars.Context | None = options.get("context")
    owner = _owner.get() if context is None else context.get(_owner)
    if owner is not None:
        owner.adopt(task)
    return task


class SimFailpoints(Failpoints):
    """Every point is armed, with a small probability each time it is passed."""

    def __init__(self, process: "Process") -> None:
        super().__init__(process.service)
        self._process = process

    def hit(self, point: str) -> None:
        rolls = self._process.world.dice.rolls
        if rolls("crash at a failpoint"):
            self._process.kill(f"dies at {point}")
            raise SimCrash
        if rolls("error at a failpoint"):
            self._process.world.story.tell(self._process.service, f"an error appears at {point}")
            raise FailpointError(point)


class Process:
    """One life of a service's process."""

    def __init__(self, world: "World", service: str) -> None:
        self.world = world
        self.service = service
        self.alive = True
        self.open = False
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self._requests: dict[asyncio.Task[Any], None] = {}
        self._context = contextvars.Context()
        self._context.run(_owner.set, self)
        self.disk = disk(service)
        self.disk.forget_sessions()
        self.transport = SimTransport(world.broker, service)
        self.app = self._context.run(self._build)

    @property
    def runtime(self) -> Runtime[Any]:
        runtime: Runtime[Any] = self.app.state.runtime
        return runtime

    async def start(self) -> None:
        """Raises nothing: a process may die at its start as well."""
        task = self._spawn(self.runtime.start())
        await asyncio.wait({task})
        if not self.alive:
            return
        if task.exception() is not None:
            return self.kill(f"did not start: {task.exception()!r}")
        self.open = True
        self.world.story.tell(self.service, "is up")

    async def stop(self) -> None:
        """A graceful end: no new requests, those begun are answered, then everything is put down."""
        self.open = False
        self.world.story.tell(self.service, "is told to stop")
        if self._requests:
            await asyncio.wait(set(self._requests))
        if not self.alive:
            return
        self.app.state.stopping.set()
        await asyncio.wait({self._spawn(self.runtime.stop())})
        self.kill("has stopped")

    def kill(self, how: str) -> None:
        """Everything it had in memory is gone, also what had been taken from queues; what was committed stays."""
        if not self.alive:
            return
        self.alive = self.open = False
        self.world.story.tell(self.service, how)
        self.disk.connection.close()
        self.transport.die()
        running = asyncio.current_task()
        for task in [*self._tasks]:
            if task is not running:
                task.cancel()
        self.world.buried(self)

    async def serve(self, handle: Callable[[FastAPI], Coroutine[Any, Any, T]]) -> T:
        """What `handle` makes of the app, if the process lives so long.

        Raises:
            UnansweredError: it does not.
        """
        if not self.open:
            raise UnansweredError("connection refused")
        task = self._spawn(handle(self.app))
        self._requests[task] = None
        await asyncio.wait({task})
        self._requests.pop(task, None)
        if task.cancelled() or isinstance(task.exception(), SimCrash):
            raise UnansweredError("the process died")
        return task.result()

    def adopt(self, task: "asyncio.Task[Any]") -> None:
        self._tasks[task] = None
        task.add_done_callback(self._bury)
        if not self.alive:
            task.cancel()

    def _spawn(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        return asyncio.get_running_loop().create_task(work, context=self._context.copy())

    def _bury(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # looked at, or the loop would tell of it later

    def _build(self) -> FastAPI:
        world = self.world
        store = SimStore(self.disk, SimReader(self.disk, self._pause), Committer(self.disk, self._trouble, self._pause))
        environment = Environment(
            store=store,
            transport=self.transport,
            clock=world.clock,
            ids=world.ids,
            observer=world.metrics[self.service],
            failpoints=SimFailpoints(self),
            leadership=lambda store, name: Alone(),
            hints=lambda store, name: NobodyElse(),
            rng=world.dice.rng,
        )
        match self.service:
            case "catalog":
                return build_catalog(world.settings.catalog, environment)
            case "order":
                return build_order(world.settings.order, environment)
            case _:
                return build_payment(world.settings.payment, environment, world.provider)

    async def _pause(self) -> None:
        await pause(self.world.dice.seconds(0.5) if self.world.dice.rolls("slow store") else 0.0)

    def _trouble(self, when: str) -> None:
        kind = {"before": "store fails", "after": "commit unheard of"}[when]
        if self.world.dice.rolls(kind):
            self.world.story.tell(self.service, f"{kind}: an I/O error {when} the commit")
            raise _io_error()


def _io_error() -> sqlite3.OperationalError:
    """As SQLite's own."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.sqlite_errorname = "SQLITE_IOERR"
    return error
