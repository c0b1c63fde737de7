"""`shop`: start a local shop and ask it how it is. Exit codes: 0 fine, 1 something is wrong, 2 could not be asked."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NoReturn
from uuid import UUID

import httpx
import typer
from rich.console import Console
from rich.table import Table

from ops.audit import breaches, moving
from ops.config import ConfigError, ShopConfig
from ops.console import ShopConsole
from ops.launcher import up
from ops.opening import LaunchError
from ops.shop_api import ManagementError, ShopApi, ShopNotRunningError, running_shop
from ops.story import order_story, story_table

app = typer.Typer(help="Run and question a local Orderflow shop.", no_args_is_help=True, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@app.command("up")
def up_command() -> None:
    """Start the shop and stay until Ctrl-C.

    Environment: EMBEDDED=1 (one process, no broker), AMQP_URL (a broker of yours), DEMO=0 (no books), RUN_DIR, and the
    ports EDGE_PORT AUTH_PORT CATALOG_PORT ORDER_PORT PAYMENT_PORT AMQP_PORT MANAGEMENT_PORT.
    """
    console = ShopConsole()
    try:
        asyncio.run(up(_config(), console))
    except LaunchError as error:
        console.fail(str(error))
        raise SystemExit(1) from None


@app.command()
def status(as_json: Json = False) -> None:
    """Which services work, and what waits in the queues. Exit 1 if anything does not work."""
    report = asyncio.run(_status())
    healthy = not any(report["services"].values()) and not report["broker_error"]
    if as_json:
        sys.stdout.write(json.dumps({"healthy": healthy, **report}, indent=2) + "\n")
    else:
        _print_status(report)
    raise SystemExit(0 if healthy else 1)


@app.command()
def audit(as_json: Json = False) -> None:
    """Do stock, money and messages add up across the services? Exit 1 on any breach; what still moves is listed."""
    report = asyncio.run(_audit())
    if as_json:
        sys.stdout.write(json.dumps(report, indent=2) + "\n")
    else:
        console = ShopConsole()
        for text in report["moving"]:
            console.warn(f"still moving: {text}")
        for text in report["breaches"]:
            console.fail(text)
        if not report["breaches"]:
            console.good(f"{report['orders']} orders: stock, money and messages add up")
    raise SystemExit(1 if report["breaches"] else 0)


@app.command()
def order(order_id: str, as_json: Json = False) -> None:
    """The joined story of one order: every event of every service, when, by whom, and how long after the one before."""
    try:
        story = asyncio.run(_story(UUID(order_id)))
    except ValueError:
        _cannot(f"{order_id!r} is not an order id (a UUID)")
    if story is None:
        _cannot(f"there is no order {order_id}", code=1)
    if as_json:
        sys.stdout.write(json.dumps(story, indent=2) + "\n")
        return
    out = ShopConsole().out
    out.print(f"order [bold]{story['id']}[/bold]  {story['status']}  {story['total']}")
    out.print(story_table(story))


async def _audit() -> dict[str, Any]:
    async with _shop() as shop:
        figures = await shop.figures()
        return {
            "orders": len(figures["order"]["orders"]),
            "moving": moving(figures),
            "breaches": breaches(figures),
        }


async def _status() -> dict[str, Any]:
    async with _shop() as shop:
        broker_error = ""
        try:
            queues = shop.queues()
        except ManagementError as error:
            queues, broker_error = None, str(error)
        figures = [
            {
                "queue": queue["name"],
                "ready": queue.get("messages_ready", 0),
                "unacknowledged": queue.get("messages_unacknowledged", 0),
                "consumers": queue.get("consumers", 0),
            }
            for queue in queues or []
        ]
        return {"services": await shop.readiness(), "queues": figures, "broker_error": broker_error}


def _print_status(report: dict[str, Any]) -> None:
    console = ShopConsole()
    for service, failing in report["services"].items():
        if failing:
            console.fail(f"{service}: " + "; ".join(f"{check}: {why}" for check, why in failing.items()))
        else:
            console.good(service)
    if report["broker_error"]:
        console.fail(f"broker: {report['broker_error']}")
    if report["queues"]:
        table = Table("queue", "ready", "unacknowledged", "consumers")
        for row in report["queues"]:
            table.add_row(*(str(value) for value in row.values()))
        console.out.print(table)


async def _story(order_id: UUID) -> dict[str, Any] | None:
    async with _shop() as shop:
        return await order_story(shop, order_id)


@asynccontextmanager
async def _shop() -> AsyncIterator[ShopApi]:
    """The running shop; whatever keeps us from asking it ends the command with one sentence and exit code 2."""
    try:
        async with running_shop(_config()) as shop:
            yield shop
    except (ShopNotRunningError, httpx.HTTPError) as error:
        _cannot(str(error) or type(error).__name__)


def _config() -> ShopConfig:
    try:
        return ShopConfig.from_environment()
    except ConfigError as error:
        _cannot(str(error))


def _cannot(reason: str, *, code: int = 2) -> NoReturn:
    ShopConsole(Console(stderr=True, highlight=False)).fail(reason)
    raise SystemExit(code)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
