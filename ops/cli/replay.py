"""`shop replay` and `shop rebuild`: events again, to a service or to its projections."""

import asyncio
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chassis.topology import inbox_queue
from ops.cli.common import asked_shop, config, give_up
from ops.config import SERVICES, read_state
from ops.console import ShopConsole
from ops.journal import NoJournalError
from ops.rebuild import RebuildError, rebuild_service
from ops.replay import (
    BadEventsError,
    Letter,
    NotSentError,
    operator_url,
    operators_transport,
    read_by,
    read_events,
    send,
)

Service = StrEnum("Service", list(SERVICES))  # type: ignore[misc]  # typer lists an enum's members as the choices
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def replay(
    file: Annotated[
        Path, typer.Argument(help="Events, one CloudEvent per line, as `shop journal grep --json` writes.")
    ],
    to: Annotated[Service | None, typer.Option("--to", help="The service whose inbox they go to.")] = None,
    to_bus: Annotated[bool, typer.Option("--to-bus", help="To every reader, and into the journal again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the file and say what would be sent.")] = False,
    yes: Yes = False,
) -> None:
    """Send events again, with their ids.

    What was handled stays as it is; what was not takes effect, on orders, stock and money. Nothing is sent unless
    every line is an event.

    Exit codes: 0 sent, 1 the broker did not take all, 2 it could not be asked.

    Examples:

      shop replay events.jsonl --to payment --dry-run

      shop replay events.jsonl --to-bus --yes
    """
    if (to is None) is not to_bus:
        give_up("say where to: --to SERVICE or --to-bus")
    try:
        letters = read_events(file)
    except BadEventsError as error:
        give_up(str(error))
    console, place = ShopConsole(), inbox_queue(to) if to else "every reader's inbox and the journal"
    wanted = read_by(to, letters) if to else letters
    if left := len(letters) - len(wanted):
        console.step(f"{left} of {len(letters)} events are not read by {to}, and are left out")
    if dry_run or not wanted:
        console.good(f"{len(wanted)} events would go to {place}; nothing was sent")
        return
    _agree(f"Send {len(wanted)} events to {place}? Those that were not handled there yet take effect.", yes=yes)
    asyncio.run(_replay(wanted, to))
    console.good(f"{len(wanted)} events were sent to {place}")


def rebuild(
    service: Service,
    check: Annotated[bool, typer.Option("--check", help="Only compare (the default).")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write what is missing or different into the store.")] = False,
    file: Annotated[Path | None, typer.Option("--from", help="A file of events instead of the journal.")] = None,
    force_complete: Annotated[
        bool, typer.Option("--force-complete", help="With --apply: delete rows the journal knows nothing of.")
    ] = False,
    yes: Yes = False,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Make what a service keeps of others' facts again from the journal, and compare. The service may run meanwhile.

    Exit codes: 0 equal, 1 not equal, 2 it could not be told.

    Examples:

      shop rebuild order

      shop rebuild payment --apply --yes
    """
    if check and apply:
        give_up("--check or --apply, not both")
    if apply:
        _agree(f"Overwrite {service}_svc's projections where they differ from the journal?", yes=yes)
    options = ["--apply" if apply else "--check"]
    options += ["--from", str(file.resolve())] if file else []
    options += ["--force-complete"] if force_complete else []
    options += ["--json"] if as_json else []
    shop = config()
    try:
        done = asyncio.run(rebuild_service(shop, read_state(shop.state_file), service, *options))
    except (NoJournalError, RebuildError) as error:
        give_up(str(error))
    sys.stdout.write(done.output)
    raise SystemExit(0 if done.equal else 1)


async def _replay(letters: Sequence[Letter], service: str | None) -> None:
    async with asked_shop() as shop:
        try:
            async with operators_transport(operator_url(config(), shop.state)) as transport:
                await send(transport, letters, service)
        except NoJournalError as error:
            give_up(str(error))
        except NotSentError as error:
            give_up(str(error), code=1)


def _agree(question: str, *, yes: bool) -> None:
    """Ask, unless told not to; without a terminal there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        give_up(f"{question} Say --yes.")
    if not typer.confirm(question):
        give_up("nothing was done", code=1)
