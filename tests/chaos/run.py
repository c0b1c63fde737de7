"""One run from beginning to end: people come to a shop, it is spoiled under them, it comes to rest, it is judged."""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from contracts.catalog import ProductListed
from ops.audit import HttpSource, audit
from ops.config import SERVICES
from tests.chaos.asking import Asker
from tests.chaos.board import Board, UnreadableError, pages
from tests.chaos.customers import Shopper
from tests.chaos.door import Door
from tests.chaos.faults import Saboteur
from tests.chaos.journal import Journal
from tests.chaos.load import Crowd
from tests.chaos.people import Person
from tests.chaos.plan import Config, make_plan
from tests.chaos.record import Record
from tests.chaos.shop import SupervisedShop
from tests.chaos.summary import Document, Machine, summarise
from tests.chaos.verdict import harmed, judge, unsteady
from tests.chaos.watching import BacklogWatch
from tests.e2e.client import Shop
from tests.e2e.processes import OPERATOR
from tests.support.waiting import wait_until

STOCK: Final = 1_000_000
SEE_THEM_END_SECONDS: Final = 30.0
"""How long after the last arrival the deadline of an abandoned order may be."""
LOOK_EVERY: Final = 1.0
AUDIT_PATIENCE: Final = 60.0
UNDECIDED: Final = ("pending", "awaiting_payment", "confirmed", "refunding")


async def run(config: Config, shop: SupervisedShop, folder: Path) -> Document:
    """The report of one run on a shop that is ready; the client's journal stays in `folder`."""
    async with Journal(folder / "journal.jsonl") as journal:
        return await _Run(config, shop, journal).report()


class _Run:
    def __init__(self, config: Config, shop: SupervisedShop, journal: Journal) -> None:
        self.config = config
        self.plan = make_plan(config)
        self.shop = shop
        self.journal = journal
        self.record = Record()
        self.rng = random.Random(config.seed)
        self.doors = {service: Door(*map(shop.url, shop.replicas(service))) for service in SERVICES}
        self.asker = Asker(self.doors, journal, self.record, self.rng)
        self.operator = Person(*OPERATOR, self.asker, self.record.watch)
        self.board = Board(self.doors["order"], self.operator, self.record.watch)

    async def report(self) -> Document:
        machine = Machine.here()
        try:
            crowd = await self._open()
            await self._load(crowd)
            orders = await self.board.everything()
            verdict = judge(self.journal.path, crowd.visits, orders, self.record)
            verdict.conduct += unsteady(self.record, self.config.steady) + harmed(self.record)
            verdict.audit += await _audit(self.shop)
            return summarise(self.config, machine, self.plan, self.record, crowd.visits, verdict)
        finally:
            for door in self.doors.values():
                await door.close()

    async def _open(self) -> Crowd:
        """Full shelves order_svc knows, and people who are logged in."""
        async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
            keeper = Shop(self.shop, http)
            prices = (99 + 100 * number for number in range(1, self.config.products + 1))
            skus = [await keeper.product(stock=STOCK, amount=price) for price in prices]
            headers = await keeper.operator()

            async def all_known() -> bool:
                figures = (await keeper.call("order", "GET", "/orders/audit", headers=headers)).json()
                return int(figures["received"].get(ProductListed.wire_name, 0)) >= len(skus)

            await wait_until(all_known, timeout=30, message="order_svc never heard of the products")
        people = [await Person.register(self.asker, self.record.watch) for _ in range(self.config.people)]
        shopper = Shopper(self.asker, self.board, self.record.watch, skus, self.rng)
        return Crowd(shopper, people, self.record, self.rng)

    async def _load(self, crowd: Crowd) -> None:
        """Everybody comes, everything goes wrong; returns when all have done what they came for, or it is time."""
        config, saboteur = self.config, Saboteur(self.shop, self.record)
        watching = BacklogWatch(self.shop, self.doors, self.record)
        leave_until = self.plan.seconds - config.pay_within + SEE_THEM_END_SECONDS
        self.record.begin()
        async with _background(self.board.run(), watching.run(), saboteur.supervise()):
            async with asyncio.TaskGroup() as together:
                together.create_task(crowd.come(config.rate, self.plan.seconds, leave_until=leave_until))
                together.create_task(saboteur.follow(self.plan.faults))
            await crowd.go_home(config.rest_seconds)
            await self._decided()

    async def _decided(self) -> None:
        """Until no order is on its way any more, at most `rest_seconds`; the verdict names what still is."""
        deadline = self.record.watch.now() + self.config.rest_seconds
        while await self._any_undecided():
            if self.record.watch.now() > deadline:
                self.record.complaints.append(f"orders were on their way {self.config.rest_seconds:.0f} s later still")
                return
            await asyncio.sleep(LOOK_EVERY)  # a look costs the shop something

    async def _any_undecided(self) -> bool:
        try:
            for status in UNDECIDED:
                async for _ in pages(self.doors["order"], self.operator, f"&status={status}"):
                    return True
        except UnreadableError:
            return True
        return False


@asynccontextmanager
async def _background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run these beside the body. One that fails ends the body with its error; all end with it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(part) for part in work]
        yield
        for task in tasks:
            task.cancel()


async def _audit(shop: SupervisedShop) -> list[str]:
    """What does not add up once the shop has come to rest, or what never came to rest."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        keeper = Shop(shop, http)
        headers = await keeper.operator()

        async def ask(service: str, path: str) -> httpx.Response:
            return await keeper.call(service, "GET", path, headers=headers)

        report = await audit(HttpSource(ask, shop.management, shop.vhost.name), wait=AUDIT_PATIENCE)
    moving = [f"still moving: {finding.text} {' '.join(finding.ids)}" for finding in report.moving]
    return [*(f"{finding.text} {' '.join(finding.ids)}" for finding in report.breaches), *moving]
