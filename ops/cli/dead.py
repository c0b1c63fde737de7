"""`shop dead`: what the services could not handle, and what becomes of it."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import typer
from rich.table import Table
from rich.text import Text

from ops.cli.common import Json, asked_shop, give_up, write_json
from ops.cli.services import PROBLEM, Answers, DryRun, Service, Yes, ask, chosen, confirm
from ops.console import ShopConsole
from ops.shop_api import ShopApi

DONE = {"redriven", "would_redrive", "discarded", "would_discard"}
PAGE = 100

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: events a service could not handle. List them, look at one, redrive it once the cause is "
    "mended, or discard it. Exit codes: 0 done, 1 something was not done, 2 somebody could not be asked.",
)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID...", help="Letters by id, as `list` shows them.")]
Type = Annotated[str | None, typer.Option("--type", help="Only events of this type: order.placed.v1.")]
Error = Annotated[str | None, typer.Option("--error", help="Only letters with this error type: KeyError.")]
Older = Annotated[str | None, typer.Option("--older-than", help="Only those that died before (RFC 3339).")]
Newer = Annotated[str | None, typer.Option("--newer-than", help="Only those that died after (RFC 3339).")]
All = Annotated[bool, typer.Option("--all", help="Every letter, instead of ids or a filter.")]


@app.command("list")
def list_letters(
    service: Service = None,
    type: Type = None,
    error: Error = None,
    older_than: Older = None,
    newer_than: Newer = None,
    limit: Annotated[int, typer.Option(min=1, max=PAGE, help="At most so many per service.")] = 20,
    as_json: Json = False,
) -> None:
    """What lies in the dead queues, oldest first. Looking changes nothing.

    Examples:

    shop dead list

    shop dead list --service catalog --error KeyError
    """
    wanted = _filter(type, error, older_than, newer_than) | {"limit": limit}

    async def letters(shop: ShopApi, service: str, prefix: str) -> httpx.Response:
        return await shop.get(service, f"{prefix}/dead-letters", wanted)

    answers = asyncio.run(_ask(chosen(service), letters))
    if as_json:
        write_json({"services": answers.documents, "silent": answers.silent})
    else:
        _print_letters(answers)
    answers.report_silent()
    raise SystemExit(PROBLEM if answers.silent else 0)


@app.command()
def show(id: Annotated[str, typer.Argument(metavar="ID")], service: Service = None, as_json: Json = False) -> None:
    """One letter: why it is dead, and its body. Exit 1 if nobody has it.

    Example: shop dead show 01a20964-9c20-7daa-9610-c370e0f00313
    """

    async def letter(shop: ShopApi, service: str, prefix: str) -> httpx.Response:
        return await shop.get(service, f"{prefix}/dead-letters/{quote(id, safe='')}")

    answers = asyncio.run(_ask(chosen(service), letter))
    found = {name: document for name, document in answers.documents.items() if document is not None}
    if as_json:
        write_json(found)
    else:
        for name, document in found.items():
            _print_letter(name, document)
    answers.report_silent()
    if not found:
        give_up(f"there is no dead letter {id}", code=PROBLEM if answers.silent else 1)


@app.command()
def redrive(
    ids: Ids = None,
    service: Service = None,
    type: Type = None,
    error: Error = None,
    older_than: Older = None,
    newer_than: Newer = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="At most so many per service.")] = None,
    all_letters: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Try again what could not be handled, once the cause is mended: ids, a filter, or --all. Twice is harmless.

    Examples:

    shop dead redrive 01a20964-9c20-7daa-9610-c370e0f00313

    shop dead redrive --service catalog --error KeyError

    shop dead redrive --all --dry-run
    """
    body = _selection(ids, _filter(type, error, older_than, newer_than), limit, all_letters)
    _settle("redrive", chosen(service), body, dry_run=dry_run, yes=yes, as_json=as_json)


@app.command()
def discard(
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept beside the ids. No personal data.")],
    ids: Ids = None,
    service: Service = None,
    type: Type = None,
    error: Error = None,
    older_than: Older = None,
    newer_than: Newer = None,
    limit: Annotated[int | None, typer.Option(min=1, max=1000, help="At most so many per service.")] = None,
    all_letters: All = False,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Throw letters away for good: ids, a filter, or --all. Who did it and why is kept, the body is not.

    Example: shop dead discard 01a20964-9c20-7daa-9610-c370e0f00313 --reason "pasted by hand"
    """
    body = _selection(ids, _filter(type, error, older_than, newer_than), limit, all_letters) | {"reason": reason}
    _settle("discard", chosen(service), body, dry_run=dry_run, yes=yes, as_json=as_json)


def _filter(type: str | None, error: str | None, older_than: str | None, newer_than: str | None) -> dict[str, Any]:
    given = {"type": type, "error_type": error, "older_than": older_than, "newer_than": newer_than}
    return {name: value for name, value in given.items() if value is not None}


def _selection(ids: list[str] | None, wanted: Mapping[str, Any], limit: int | None, everything: bool) -> dict[str, Any]:
    """The body of a request; ends the command unless it is said in exactly one way which letters are meant."""
    if [bool(ids), bool(wanted), everything].count(True) != 1:
        give_up("say which letters: their ids, a filter (--type, --error, --older-than, --newer-than), or --all")
    if ids:
        return {"ids": ids}
    return {"filter": dict(wanted), **({"limit": limit} if limit else {})}


def _settle(
    verb: str, services: list[str], body: Mapping[str, Any], *, dry_run: bool, yes: bool, as_json: bool
) -> None:
    """Say what would be done, ask, do it, and tell what became of each letter."""
    answers = asyncio.run(_post(verb, services, {**body, "dry_run": True}))
    found = {service: _settled(document) for service, document in answers.documents.items()}
    meant = sum(map(len, found.values()))
    if meant and not dry_run:
        confirm(f"{verb} {meant} dead letters of {', '.join(name for name in found if found[name])}?", yes=yes)
        silent = answers.silent
        answers = asyncio.run(_post(verb, [name for name in found if found[name]], body))
        answers.silent = {**silent, **answers.silent}
        found = {service: _settled(document) for service, document in answers.documents.items()}
    missing = set(body.get("ids", ())) - {item["id"] for items in found.values() for item in items}
    if as_json:
        write_json({"services": found, "not_found": sorted(missing), "silent": answers.silent})
    else:
        _print_settled(found, missing, more=any(document["more"] for document in answers.documents.values()))
    answers.report_silent()
    undone = missing or any(item["outcome"] not in DONE for items in found.values() for item in items)
    raise SystemExit(PROBLEM if answers.silent else 1 if undone else 0)


def _settled(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a service did; that it does not have a letter of another service is not worth telling."""
    return [item for item in document["items"] if item["outcome"] != "not_found"]


async def _post(verb: str, services: list[str], body: Mapping[str, Any]) -> Answers:
    async def settle(shop: ShopApi, service: str, prefix: str) -> httpx.Response:
        return await shop.post(service, f"{prefix}/dead-letters/{verb}", body)

    return await _ask(services, settle)


async def _ask(services: list[str], question: Any) -> Answers:
    async with asked_shop() as shop:
        return await ask(shop, services, question)


def _print_letters(answers: Answers) -> None:
    out = ShopConsole().out
    rows = [(service, letter) for service, page in answers.documents.items() for letter in page["items"]]
    if not rows:
        ShopConsole().good("no dead letters")
        return
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("service")
    table.add_column("id, order", no_wrap=True)
    table.add_column("type, tries", overflow="fold")
    table.add_column("why, since", overflow="fold")
    for service, letter in rows:
        tries = f"{letter['attempt']} tries" + (f", redriven {letter['redrives']}x" if letter["redrives"] else "")
        died = (letter["died_at"] or "")[:19].replace("T", " ")
        why = letter["error_type"] or letter["reason"]
        table.add_row(service, letter["id"], Text(letter["type"]), Text(why))
        table.add_row("", Text(letter["order_id"] or letter["subject"] or ""), tries, died, style="dim")
    out.print(table)
    for service, page in answers.documents.items():
        if page["more"]:
            out.print(f"{service}: {page['total']} letters in all; more than are shown")


def _print_letter(service: str, letter: Mapping[str, Any]) -> None:
    console = ShopConsole()
    shown = {name: str(value) for name, value in letter.items() if value not in (None, "") and name not in _BODY}
    console.addresses({"service": service, **shown})
    console.out.print(letter["body"], markup=False)
    if not letter["complete"]:
        console.warn("the body is longer; this is its beginning")


_BODY = {"body", "event", "complete"}


def _print_settled(found: Mapping[str, list[dict[str, Any]]], missing: set[str], *, more: bool) -> None:
    console = ShopConsole()
    for service, items in found.items():
        for item in items:
            line = f"{service} {item['id']} {item['type']}: {item['outcome'].replace('_', ' ')}"
            tell = console.good if item["outcome"] in DONE else console.fail
            tell(f"{line} ({item['detail']})" if item["detail"] else line)
    for id in sorted(missing):
        console.fail(f"{id}: there is no such dead letter")
    if not any(found.values()) and not missing:
        console.good("no such dead letters")
    if more:
        console.warn("there are more; repeat the command")
