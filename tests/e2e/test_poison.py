"""One message in a hundred is poison of some kind: it ends in the dead queue, alone, and an operator settles it."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.exceptions import AMQPChannelError

from chassis.consumer import MAX_KILLS, SUSPICIOUS_DELIVERIES
from chassis.topology import EVENTS, inbox_queue
from contracts.envelope import MAX_EVENT_BYTES
from tests.e2e.client import Customer, Shop
from tests.e2e.poisoned_service import BUG, DEADLY, REFUSED
from tests.e2e.processes import OPERATOR, ShopProcesses
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(240)]

HEALTHY = 60
PASTED = b"found this in a backup"


async def test_poison_is_isolated_and_an_operator_settles_it(shop: Shop, tmp_path: Path) -> None:
    customer = await shop.customer()
    sku = await shop.product(stock=10_000)
    first = await shop.buy(customer, sku)
    shop.processes.stop("catalog")
    async with kept_alive(shop.processes) as deaths:
        healthy, failing, injected = await everything_at_once(shop, customer, sku)
        await asyncio.gather(*(shop.reaches(customer, order_id, "awaiting_payment") for order_id in healthy))
        letters = await settled_letters(shop, len(failing) + len(injected) + 1)
    pasted = [letter for letter in letters if letter["size"] == len(PASTED)]
    assert {letter["order_id"] for letter in letters if letter["order_id"]} >= set(failing.values())
    assert {name(letter) for letter in letters if letter not in pasted} == {*failing.values(), *injected.values()}
    assert len(pasted) >= 1
    assert len(deaths) == SUSPICIOUS_DELIVERIES + MAX_KILLS
    assert {letter["error_type"] for letter in letters} == {
        "UndecodableEventError",
        "DomainError",
        "KeyError",
        "KilledProcessError",
    }
    assert max(letter["attempt"] for letter in letters) == 2

    shop.processes.start("catalog")  # without the bugs
    shop.processes.wait_ready("catalog")
    command = Command(shop.processes, tmp_path)
    listed = await command.run("list", "--limit", "100")
    assert {letter["id"] for letter in listed["services"]["catalog"]["items"]} == {letter["id"] for letter in letters}
    assert (await command.run("show", injected["not JSON"]))["catalog"]["body"] == "{not JSON"
    redriven = await command.run("redrive", "--all", "--yes")
    assert {item["outcome"] for item in redriven["services"]["catalog"]} == {"redriven"}
    for order_id in failing.values():
        await shop.reaches(customer, order_id, "awaiting_payment")
    left = await settled_letters(shop, len(injected) + 1)
    assert {letter["redrives"] for letter in left} == {1}
    assert {name(letter) for letter in left if letter["size"] != len(PASTED)} == set(injected.values())
    discarded = await command.run("discard", "--all", "--reason", "never were events", "--yes")
    assert {item["outcome"] for item in discarded["services"]["catalog"]} == {"discarded"}
    assert (await command.run("list"))["services"]["catalog"]["total"] == 0
    for order_id in (*healthy[:3], *failing.values()):
        await shop.pay(customer, order_id)
        await shop.reaches(customer, order_id, "paid")
    assert (await shop.order(customer, first))["status"] == "paid"
    await shop.adds_up()


async def everything_at_once(
    shop: Shop, customer: Customer, sku: str
) -> tuple[list[str], dict[str, str], dict[str, str]]:
    """Healthy orders, and among them those that make the handler fail and the messages that are no events.

    Of the former the order's id, of the latter the message's, by what is wrong with each.
    """
    healthy = [await shop.place(customer, sku) for _ in range(HEALTHY // 2)]
    wrong = {"refused": REFUSED, "bug": BUG, "deadly": DEADLY}
    failing = {kind: await shop.place(customer, sku, quantity) for kind, quantity in wrong.items()}
    injected = await inject(shop.processes)
    await forge(shop.processes)
    healthy += [await shop.place(customer, sku) for _ in range(HEALTHY // 2)]
    return healthy, failing, injected


async def inject(processes: ShopProcesses) -> dict[str, str]:
    """Put messages on the bus as a broken order_svc would, and one straight into the inbox by hand; their ids."""
    ids = {kind: str(uuid4()) for kind in ("not JSON", "unknown version", "missing field", "oversize")}
    event = {
        "specversion": "1.0",
        "source": "/order",
        "type": "order.placed.v1",
        "subject": "somebody",
        "time": "2026-01-01T00:00:00Z",
        "correlationid": str(uuid4()),
        "aggregateversion": 1,
        "data": {"order_id": "somebody"},
    }
    bodies = {
        "not JSON": b"{not JSON",
        "unknown version": json.dumps(event | {"id": ids["unknown version"], "type": "order.placed.v9"}).encode(),
        "missing field": json.dumps(event | {"id": ids["missing field"]}).encode(),
        "oversize": json.dumps(event | {"id": ids["oversize"], "data": {"fill": "x" * MAX_EVENT_BYTES}}).encode(),
    }
    async with await aio_pika.connect(processes.vhost.url("order")) as connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(EVENTS, ensure=False)
        for kind, body in bodies.items():
            message = aio_pika.Message(body, message_id=ids[kind], user_id="order")
            await exchange.publish(message, "order.placed.v1", mandatory=True)
    async with await aio_pika.connect(processes.vhost.url()) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(PASTED), inbox_queue("catalog"))
    return ids


async def forge(processes: ShopProcesses) -> None:
    """A stranger's event, and one under another's name: the broker takes neither."""
    for user, sender, refusal in (("order", "payment", "user_id property"), ("payment", "payment", "ACCESS_REFUSED")):
        async with await aio_pika.connect(processes.vhost.url(user)) as connection:
            channel = await connection.channel()
            exchange = await channel.get_exchange(EVENTS, ensure=False)
            with pytest.raises(AMQPChannelError, match=refusal):
                await exchange.publish(aio_pika.Message(b"forged", user_id=sender), "order.placed.v1")


@asynccontextmanager
async def kept_alive(processes: ShopProcesses) -> AsyncIterator[list[str]]:
    """catalog_svc with its bugs, started again whenever it dies; how often it did."""
    deaths: list[str] = []

    async def watch() -> None:
        while True:
            await wait_until(lambda: processes.ended("catalog"), timeout=240)
            deaths.append("catalog")
            processes.launch("catalog", module="tests.e2e.poisoned_service")

    processes.launch("catalog", module="tests.e2e.poisoned_service")
    watching = asyncio.create_task(watch())
    try:
        yield deaths
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        processes.stop("catalog")


async def settled_letters(shop: Shop, count: int) -> list[dict[str, Any]]:
    """The dead letters, once there are so many different ones: who dies between sending a letter and acknowledging its
    message sends it again."""
    headers = await shop.operator()
    letters: list[dict[str, Any]] = []

    async def settled() -> bool:
        nonlocal letters
        answer = await shop.call("catalog", "GET", "/catalog/dead-letters?limit=100", headers=headers)
        if answer.status_code != 200:
            return False
        letters = answer.json()["items"]
        return len({"pasted" if letter["size"] == len(PASTED) else letter["id"] for letter in letters}) >= count

    await wait_until(settled, timeout=60, message=f"fewer than {count} dead letters")
    return letters


def name(letter: dict[str, Any]) -> str:
    """The order of an event that is one, else the message's id."""
    return str(letter["order_id"] if letter["error_type"] != "UndecodableEventError" else letter["id"])


class Command:
    """`shop dead` as an operator types it."""

    def __init__(self, processes: ShopProcesses, folder: Path) -> None:
        self._folder = folder
        email, password = OPERATOR
        state = {
            "services": {service: processes.url(service) for service in processes.ports},
            "operator": {"email": email, "password": password},
        }
        (folder / "shop.json").write_text(json.dumps(state))

    async def run(self, *arguments: str) -> Any:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "ops.cli", "dead", *arguments, "--json"],
            env={"RUN_DIR": str(self._folder), "PATH": ""},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)
