"""`shop journal tail` and `grep`: look at what was published."""

import asyncio
import os
import sys
from collections.abc import Coroutine
from contextlib import suppress
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

import typer

from chassis.transport.amqp import JournalUnavailableError
from ops.cli.common import asked_shop, give_up
from ops.console import ShopConsole
from ops.journal import (
    Entry,
    NoJournalError,
    Oddities,
    Selection,
    entry_line,
    journal_url,
    last_entries,
    moment,
    new_entries,
    search_journal,
)

app = typer.Typer(
    help="Every event ever published, for 30 days or 5 GB. Looking removes nothing.", no_args_is_help=True
)

Json = Annotated[bool, typer.Option("--json", help="One CloudEvent per line: a file for `shop replay` and for tests.")]
Type = Annotated[str | None, typer.Option("--type", help="order.placed, order.*, …")]
Service = Annotated[str | None, typer.Option("--service", help="Only what this service published.")]


@app.command()
def tail(
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new ones until Ctrl-C.")] = False,
    type: Type = None,
    service: Service = None,
    as_json: Json = False,
) -> None:
    """The newest events.

    Exit codes: 0, or 2 if the journal could not be read.

    Examples:

      shop journal tail -n 50

      shop journal tail --follow --type "payment.*"
    """
    _run(_tail(Selection(type=type, service=service), lines, follow=follow, out=_Output(as_json)))


@app.command()
def grep(
    order: Annotated[UUID | None, typer.Option(help="Everything about this order, from all services.")] = None,
    subject: Annotated[str | None, typer.Option(help="Of this SKU, order, session, key, account.")] = None,
    id: Annotated[UUID | None, typer.Option(help="The event with this id.")] = None,
    type: Type = None,
    service: Service = None,
    since: Annotated[str | None, typer.Option(help="10m, 2h, 3d ago, or an ISO time.")] = None,
    as_json: Json = False,
) -> None:
    """The events that meet everything that is asked, each once, oldest first.

    Exit codes: 0 here they are, 1 there are none, 2 the journal could not be read.

    Examples:

      shop journal grep --order 01a20964-9c20-7daa-9610-c370e0f00313

      shop journal grep --type "order.*" --since 10m --json
    """
    try:
        at = moment(since, datetime.now(UTC)) if since else None
    except ValueError:
        give_up(f"--since {since!r} is neither like 10m nor an ISO time")
    selection = Selection(order=order, subject=subject, id=id, type=type, service=service, since=at)
    out = _Output(as_json)
    _run(_grep(selection, out))
    raise SystemExit(0 if out.entries else 1)


class _Output:
    """Entries as lines, for people or for files; what was passed over goes to standard error."""

    def __init__(self, as_json: bool) -> None:
        self.entries = 0
        self.oddities = Oddities()
        self._as_json = as_json
        self._console = ShopConsole()

    def write(self, entry: Entry) -> None:
        self.entries += 1
        if self._as_json:
            sys.stdout.write(entry.line + "\n")
            sys.stdout.flush()
        else:
            self._console.out.print(entry_line(entry))

    def tell_oddities(self) -> None:
        if self.oddities.undecodable:
            offsets = ", ".join(map(str, self.oddities.undecodable[:10]))
            sys.stderr.write(f"passed over {len(self.oddities.undecodable)} entries that are no events ({offsets})\n")


async def _tail(selection: Selection, lines: int, *, follow: bool, out: _Output) -> None:
    async with asked_shop() as shop:
        url = journal_url(shop.state)
        entries, end = await last_entries(url, selection, lines, out.oddities)
        for entry in entries:
            out.write(entry)
        out.tell_oddities()
        if follow:
            async for entry in new_entries(url, selection, end):
                out.write(entry)


async def _grep(selection: Selection, out: _Output) -> None:
    async with asked_shop() as shop:
        async for entry in search_journal(journal_url(shop.state), selection, oddities=out.oddities):
            out.write(entry)
        out.tell_oddities()


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        with suppress(KeyboardInterrupt):
            asyncio.run(work)
    except (NoJournalError, JournalUnavailableError) as error:
        give_up(str(error))
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
