"""`shop outbox`: events the broker kept refusing, parked until somebody mends the cause and lets them go."""

import asyncio
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer
from rich.table import Table
from rich.text import Text

from ops.cli.common import Json, asked_shop, give_up, write_json
from ops.cli.services import PROBLEM, Answers, Service, Yes, ask, chosen, confirm
from ops.console import ShopConsole
from ops.shop_api import ShopApi

app = typer.Typer(
    no_args_is_help=True,
    help="Parked events: what the broker refused ten times. See why, mend the cause, let them go out again. "
    "Exit codes: 0 done, 1 something was not done, 2 somebody could not be asked.",
)

Ids = Annotated[list[UUID] | None, typer.Argument(metavar="ID...", help="Events by id, as `parked` shows them.")]


@app.command()
def parked(service: Service = None, as_json: Json = False) -> None:
    """Parked events of every service and the broker's last answer.

    Example: shop outbox parked --service order
    """
    answers = asyncio.run(_parked(chosen(service)))
    if as_json:
        write_json({"services": answers.documents, "silent": answers.silent})
    else:
        _print_parked(answers)
    answers.report_silent()
    raise SystemExit(PROBLEM if answers.silent else 0)


@app.command()
def unpark(
    ids: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="Event ids, as `parked` shows them.")
    ] = None,
    service: Service = None,
    everything: Annotated[bool, typer.Option("--all", help="Every parked event.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Let parked events go out again, with all their attempts. Twice is harmless.

    Examples:

    shop outbox unpark 01a20964-9c20-7daa-9610-c370e0f00313

    shop outbox unpark --service order --all
    """
    if bool(ids) == everything:
        give_up("say which events: their ids, or --all")
    services = chosen(service)
    if everything:
        confirm(f"let every parked event of {', '.join(services)} go?", yes=yes)
    wanted = [str(id) for id in ids or ()]
    answers = asyncio.run(_unpark(services, {"all": True} if everything else {"ids": wanted}))
    gone = {
        service: [item["event_id"] for item in document["items"] if item["outcome"] == "unparked"]
        for service, document in answers.documents.items()
    }
    missing = sorted(set(wanted) - {id for ids in gone.values() for id in ids})
    if as_json:
        write_json({"services": gone, "not_found": missing, "silent": answers.silent})
    else:
        _print_gone(gone, missing)
    answers.report_silent()
    raise SystemExit(PROBLEM if answers.silent else 1 if missing else 0)


async def _parked(services: list[str]) -> Answers:
    async def rows(shop: ShopApi, service: str, prefix: str) -> httpx.Response:
        return await shop.get(service, f"{prefix}/outbox/parked", {"limit": 100})

    async with asked_shop() as shop:
        return await ask(shop, services, rows)


async def _unpark(services: list[str], body: dict[str, Any]) -> Answers:
    async def let_go(shop: ShopApi, service: str, prefix: str) -> httpx.Response:
        return await shop.post(service, f"{prefix}/outbox/unpark", body)

    async with asked_shop() as shop:
        return await ask(shop, services, let_go)


def _print_parked(answers: Answers) -> None:
    console = ShopConsole()
    rows = [(service, event) for service, page in answers.documents.items() for event in page["items"]]
    if not rows:
        console.good("no parked events")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("service")
    table.add_column("event, subject", no_wrap=True)
    table.add_column("type, tries", overflow="fold")
    table.add_column("why, since", overflow="fold")
    for service, event in rows:
        since = event["parked_at"][:19].replace("T", " ")
        table.add_row(service, event["event_id"], event["type"], Text(event["last_error"] or ""))
        table.add_row("", Text(event["subject"]), f"{event['attempts']} tries", since, style="dim")
    console.out.print(table)
    for service, page in answers.documents.items():
        if page["total"] > len(page["items"]):
            console.out.print(f"{service}: {page['total']} parked events in all")


def _print_gone(gone: dict[str, list[str]], missing: list[str]) -> None:
    console = ShopConsole()
    for service, ids in gone.items():
        for id in ids:
            console.good(f"{service} {id}: on its way")
    for id in missing:
        console.fail(f"{id}: no service has parked it")
    if not missing and not any(gone.values()):
        console.good("no parked events")
