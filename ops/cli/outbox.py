"""`shop outbox`: events the broker kept refusing, parked until they are let go; and sent ones, to be sent again."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer
from rich.table import Table
from rich.text import Text

from ops.audit import audit, running_source
from ops.cli.common import Json, asked_shop, give_up, write_json
from ops.cli.services import PROBLEM, Answers, Service, Yes, ask, chosen, confirm
from ops.config import PREFIXES
from ops.console import ShopConsole
from ops.shop_api import ManagementError, ShopApi

AT_ONCE = 100
"""Event ids a service takes in one request."""

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


@app.command()
def resend(
    ids: Annotated[
        list[UUID] | None, typer.Argument(metavar="[ID]...", help="Event ids, as `audit` names them.")
    ] = None,
    lost: Annotated[bool, typer.Option("--lost", help="Every event the audit says was never handled.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Send events again that a reader never got, from their service's outbox. Who had them drops them by their ids.

    Mend the cause first: load the definitions if a binding is missing.

    Examples:

    shop outbox resend 01a20964-9c20-7daa-9610-c370e0f00313

    shop outbox resend --lost
    """
    if bool(ids) == lost:
        give_up("say which events: their ids, or --lost")
    wanted = asyncio.run(_lost()) if lost else {service: [str(id) for id in ids or ()] for service in PREFIXES}
    count = len({id for some in wanted.values() for id in some})
    if lost and count:
        confirm(f"send {count} events again? They take effect where they were not handled.", yes=yes)
    answers = asyncio.run(_resend(wanted))
    gone = {
        service: [item["event_id"] for item in document["items"] if item["outcome"] == "resent"]
        for service, document in answers.documents.items()
    }
    asked = {id for some in wanted.values() for id in some}
    missing = sorted(asked - {id for some in gone.values() for id in some})
    if as_json:
        write_json({"services": gone, "not_found": missing, "silent": answers.silent})
    else:
        _print_gone(gone, missing, unknown="in no outbox any more", nothing="nothing is lost")
    answers.report_silent()
    raise SystemExit(PROBLEM if answers.silent else 1 if missing else 0)


async def _lost() -> dict[str, list[str]]:
    """By who sent them, the events some reader never handled."""
    async with asked_shop() as shop:
        try:
            report = await audit(running_source(shop))
        except ManagementError as error:
            give_up(f"broker: {error}")
    found: dict[str, list[str]] = {}
    for finding in report.breaches:
        if finding.sent_by is not None:
            found.setdefault(finding.sent_by, []).append(finding.ids[0])
    return found


async def _resend(wanted: Mapping[str, Sequence[str]]) -> Answers:
    """Ask each service for its own, some at a time."""
    async with asked_shop() as shop:
        together = Answers()
        for service, ids in wanted.items():
            items: list[Any] = []
            for start in range(0, len(ids), AT_ONCE):
                body = {"ids": list(dict.fromkeys(ids[start : start + AT_ONCE]))}

                async def again(shop: ShopApi, service: str, prefix: str, body: Any = body) -> httpx.Response:
                    return await shop.post(service, f"{prefix}/outbox/resend", body)

                answers = await ask(shop, [service], again)
                together.silent |= answers.silent
                items += [item for page in answers.documents.values() for item in page["items"]]
            together.documents[service] = {"items": items}
        return together


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


def _print_gone(
    gone: dict[str, list[str]],
    missing: list[str],
    *,
    unknown: str = "no service has parked it",
    nothing: str = "no parked events",
) -> None:
    console = ShopConsole()
    for service, ids in gone.items():
        for id in ids:
            console.good(f"{service} {id}: on its way")
    for id in missing:
        console.fail(f"{id}: {unknown}")
    if not missing and not any(gone.values()):
        console.good(nothing)
