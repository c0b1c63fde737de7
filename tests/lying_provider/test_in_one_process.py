"""The trial without processes: the broker in memory, the company on a socket here. No kills, but all the lies."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from chassis.clock import SystemClock
from chassis.transport.memory import MemoryBroker, MemoryTransport
from payment_svc.app import build
from payment_svc.providers.simulator.app import Simulator
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings
from payment_svc.settings import PaymentSettings
from tests.lying_provider.desk import Desk
from tests.lying_provider.processes import KEY, WEBHOOK_SECRET
from tests.lying_provider.trial import LIES, Plan, Trial
from tests.support.harness import running
from tests.support.waiting import wait_until


class House:
    """The company, asked from inside."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def behave(self, **faults: Any) -> None:
        self._simulator.behave(FaultSettings(**faults))

    async def tell_again(self) -> None:
        self._simulator.mail.post(*self._simulator.books.changed_since(0, 1_000_000))
        self._simulator.mail.wake()

    async def payments(self) -> list[dict[str, Any]]:
        return [account.document() for account in self._simulator.books.changed_since(0, 1_000_000)]

    async def ledger(self) -> dict[str, dict[str, int]]:
        return self._simulator.books.totals()


class Merchant(httpx.AsyncBaseTransport):
    """The company's way to payment_svc, once that is there."""

    open: httpx.ASGITransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.open is None:
            raise httpx.ConnectError("nobody there")
        return await self.open.handle_async_request(request)


IN_PROCESS = "payment.test"
"""No such host is asked: requests go to the app beside us."""


class NeverKilled:
    url = f"http://{IN_PROCESS}"
    kills = 0

    def kill(self) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError


@pytest.fixture
def _collected() -> Iterator[None]:
    """What this test leaves to the garbage collector is collected before the next one, which would be blamed for it."""
    yield
    gc.collect()


# The HTTP client can leave a socket to the garbage collector when a call is given up while it connects.
@pytest.mark.usefixtures("_collected")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_the_books_agree_to_the_unit_after_lies(tmp_path: Path) -> None:
    settings = SimulatorSettings(
        database=str(tmp_path / "company.db"),
        key=SecretStr(KEY),
        webhook_url="http://payment.test/payments/webhooks/remote",
        webhook_secret=SecretStr(WEBHOOK_SECRET),
    )
    lies = FaultSettings(**{**LIES, "hang_seconds": 2.0, "webhook_late_seconds": 0.5, "seed": 3})
    merchant = Merchant()
    house = Simulator(settings, lies, merchant)
    server = uvicorn.Server(uvicorn.Config(house.door, port=0, log_config=None, timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    payment = PaymentSettings(
        database_url=f"sqlite+aiosqlite:///{tmp_path / 'payment.db'}",
        provider="remote",
        provider_url=f"http://127.0.0.1:{port}",
        provider_key=SecretStr(KEY),
        webhook_secrets=SecretStr(WEBHOOK_SECRET),
        call_seconds=1.0,
        sweep_seconds=0.1,
        reconcile_seconds=1.0,
    )
    broker = MemoryBroker(clock=SystemClock())
    async with running("payment_svc", build, payment, broker=broker) as service:
        transport = merchant.open = httpx.ASGITransport(service.app)
        desk = Desk(MemoryTransport(broker, "order"))
        await desk.start()
        await desk.publish(service.mint.published, uuid4(), "/auth")
        plan = Plan(orders=30, kill_every=0, settle_seconds=60)
        report = await Trial(plan, desk, NeverKilled(), House(house), service.mint, transport).run()
        await desk.stop()
    server.should_exit = True
    await serving

    assert report.breaches == []
    assert report.most_captures_of_an_order == 1
    assert report.captured > report.refunded > 0
