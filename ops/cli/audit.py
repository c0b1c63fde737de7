"""`shop audit`: do stock, money and messages add up?"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ops.audit import ABOUT, DO, Check, Finding, Report, keep_report, running_source
from ops.audit import audit as audited
from ops.cli.common import Json, asked_shop, config, give_up, write_json
from ops.console import ShopConsole
from ops.journal import NoJournalError
from ops.rebuild import RebuildError, compared_projections
from ops.shop_api import ManagementError

MAX_SHOWN = 20
STYLES = {"sound": "green", "moving": "yellow", "breach": "bold red", "not looked at": "dim"}

Wait = Annotated[
    float, typer.Option("--wait", min=0, max=3600, help="Wait up to so many seconds for the shop to rest.")
]
Projections = Annotated[
    bool, typer.Option("--projections", help="Also rebuild what is kept of others' facts, and compare. Takes longer.")
]


def audit(as_json: Json = False, wait: Wait = 0.0, projections: Projections = False) -> None:
    """Do stock, money and messages add up across the services? It only reads.

    Exit status: 0 nothing is wrong, 1 something is, 2 the shop could not be asked. On a shop at work, what is under way
    is listed with its age and is not wrong until it is too old; a breach is looked at three times before it is told.

    Examples:

      shop audit                      a table for people

      shop audit --wait 30            first wait until nothing moves, then everything is compared

      shop audit --projections        also compare with what the journal says

      shop audit --json | jq .breaches
    """
    report = asyncio.run(_audit(wait, projections=projections))
    _keep(report)
    if as_json:
        write_json(report.to_json())
    else:
        show(report, ShopConsole())
    raise SystemExit(0 if report.sound else 1)


async def _audit(wait: float, *, projections: bool) -> Report:
    async with asked_shop() as shop:
        try:
            report = await audited(running_source(shop), wait=wait)
            if projections:
                report = report.with_check(Check.PROJECTIONS, *await compared_projections(config(), shop.state))
            return report
        except ManagementError as error:
            give_up(f"broker: {error}")
        except (NoJournalError, RebuildError) as error:
            give_up(str(error))


def _keep(report: Report) -> None:
    """For the operators' page, which shows the last audit, whoever ran it."""
    try:
        keep_report(config().audit_file, report)
    except OSError as error:
        ShopConsole.on_stderr().warn(f"the result could not be kept for the operators' page: {error}")


def show(report: Report, console: ShopConsole) -> None:
    """The checks as a table, then what they found."""
    table = Table("check", "compared", "result", "in a sound shop", box=None, padding=(0, 2, 0, 0))
    for check in Check:
        result = report.result_of(check)
        compared = str(report.look.compared[check]) if check in report.look.compared else ""
        table.add_row(check.value, compared, Text(result, style=STYLES[result]), Text(ABOUT[check], style="dim"))
    console.out.print(table)
    console.out.print()
    _list(report.notes, console.step)
    _list(report.moving, console.warn)
    _list(report.breaches, console.fail)
    console.step(f"messages since {report.look.messages_since:%Y-%m-%d %H:%M} UTC; looks taken: {report.looks}")
    if report.breaches:
        for check in sorted({finding.check for finding in report.breaches}):
            console.step(f"{check.value}: {DO[check]}")
        console.fail(f"{len(report.breaches)} breaches: the shop does not add up")
    elif report.moving:
        console.warn("no breach; what moves was not compared to the end: run it again, or with --wait")
    else:
        console.good("stock, money and messages add up")


def _list(findings: Sequence[Finding], say: Callable[[str], None]) -> None:
    for finding in findings[:MAX_SHOWN]:
        age = f" ({finding.seconds} s)" if finding.seconds is not None else ""
        say(f"{finding.check.value}: {finding.text}{age}")
    if len(findings) > MAX_SHOWN:
        say(f"… and {len(findings) - MAX_SHOWN} more (--json has all)")
