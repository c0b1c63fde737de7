"""`shop up`, `shop status`, `shop order`: run a shop, see how it is, and where one order is."""

import asyncio
from typing import Any
from uuid import UUID

from rich.table import Table

from ops.cli.common import Json, asked_shop, config, give_up, write_json
from ops.console import ShopConsole
from ops.launcher import up
from ops.opening import LaunchError
from ops.shop_api import ManagementError
from ops.story import order_story, story_table


def up_command() -> None:
    """Start the shop and stay until Ctrl-C.

    Environment: EMBEDDED=1 (one process, no broker), AMQP_URL (a broker of yours), DEMO=0 (no books), RUN_DIR,
    PROVIDER=remote (the payment provider as a process), and the ports EDGE_PORT AUTH_PORT CATALOG_PORT ORDER_PORT
    PAYMENT_PORT PROVIDER_PORT AUDITOR_PORT AMQP_PORT MANAGEMENT_PORT; AUDIT_SECONDS (between two audits, 300).

    Exit codes: 0 it was stopped, 1 something was in the way.

    Example: shop up
    """
    console = ShopConsole()
    try:
        asyncio.run(up(config(), console))
    except LaunchError as error:
        console.fail(str(error))
        raise SystemExit(1) from None


def status(as_json: Json = False) -> None:
    """Which services work, and what waits in the queues.

    Exit codes: 0 everything works, 1 something does not, 2 there is no shop to ask.

    Examples:

      shop status

      shop status --json | jq .services
    """
    report = asyncio.run(_status())
    healthy = not (any(report["services"].values()) or report["bindings_missing"] or report["broker_error"])
    if as_json:
        write_json({"healthy": healthy, **report})
    else:
        _print_status(report)
    raise SystemExit(0 if healthy else 1)


def order(order_id: str, as_json: Json = False) -> None:
    """The joined story of one order: every event of every service, when, by whom, and how long after the one before.

    "after" is the step that caused this one. The order's id is the correlation id of all of them, in events and logs.

    Exit codes: 0 here it is, 1 there is no such order, 2 it could not be asked.

    Examples:

      shop order 01a20964-9c20-7daa-9610-c370e0f00313

      shop order 01a20964-9c20-7daa-9610-c370e0f00313 --json | jq .steps
    """
    try:
        wanted = UUID(order_id)
    except ValueError:
        give_up(f"{order_id!r} is not an order id, which looks like 01a20964-9c20-7daa-9610-c370e0f00313")
    story = asyncio.run(_story(wanted))
    if story is None:
        give_up(f"there is no order {order_id}; `shop journal tail --type order.placed` lists the newest", code=1)
    if as_json:
        write_json(story)
        return
    console = ShopConsole()
    if story["journal_error"]:
        console.warn(f"{story['journal_error']}; these are order_svc's own notes")
    out = console.out
    out.print(f"order [bold]{story['id']}[/bold]  {story['status']}  {story['total']}  {story['seconds']:g} s")
    out.print(story_table(story))


async def _status() -> dict[str, Any]:
    async with asked_shop() as shop:
        queues, unbound, broker_error = None, [], ""
        try:
            queues, unbound = shop.queues(), shop.missing_bindings()
        except ManagementError as error:
            broker_error = str(error)
        figures = [
            {
                "queue": queue["name"],
                "ready": queue.get("messages_ready", 0),
                "unacknowledged": queue.get("messages_unacknowledged", 0),
                "consumers": queue.get("consumers", 0),
            }
            for queue in queues or []
        ]
        return {
            "services": await shop.readiness(),
            "queues": figures,
            "bindings_missing": unbound,
            "broker_error": broker_error,
        }


def _print_status(report: dict[str, Any]) -> None:
    console = ShopConsole()
    for service, failing in report["services"].items():
        if failing:
            console.fail(f"{service}: " + "; ".join(f"{check}: {why}" for check, why in failing.items()))
        else:
            console.good(service)
    if report["broker_error"]:
        console.fail(f"broker: {report['broker_error']}")
    for missing in report["bindings_missing"]:
        console.fail(f"broker: {missing}")
    if report["queues"]:
        table = Table("queue", "ready", "unacknowledged", "consumers")
        for row in report["queues"]:
            table.add_row(*(str(value) for value in row.values()))
        console.out.print(table)


async def _story(order_id: UUID) -> dict[str, Any] | None:
    async with asked_shop() as shop:
        return await order_story(shop, order_id)
