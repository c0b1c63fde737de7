"""`shop load`: orders at a fixed pace against the running shop, with what becomes of them as it goes."""

import asyncio
from typing import Annotated

import httpx
import typer
from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ops.audit import Report, audit, running_source
from ops.cli.common import Json, asked_shop, give_up, write_json
from ops.console import ShopConsole
from ops.load import PATIENCE_SECONDS, LoadError, Tally, percentile, run_load
from ops.shop_api import ManagementError

AUDIT_WAIT_SECONDS = 30.0
RECENT = 1_000
"""Times shown while it runs are of the last so many orders; the summary is of all."""

Rate = Annotated[float, typer.Option("--rate", "-r", min=0.1, max=1000, help="Orders per second.")]
Seconds = Annotated[float, typer.Option("--seconds", "-t", min=1, max=3600, help="How long new orders are brought.")]


def load(rate: Rate = 5.0, seconds: Seconds = 20.0, as_json: Json = False) -> None:
    """Bring orders at a fixed pace, pay them, and say how long it took. For a shop to try things on.

    Open loop: the next order comes when it is due, whether or not those before are done, and its time counts from then.
    A new customer buys ten titles of the category "Load test", which are listed and stocked first. What is not paid
    within 30 seconds is cancelled; at the end the shop is audited.

    Exit codes: 0 every order was paid and the shop adds up, 1 an order failed or the audit found a breach, 2 the shop
    could not be asked.

    Examples:

      shop load

      shop load --rate 20 --seconds 60

      shop load --rate 2 --seconds 5 --json | jq .paid_ms
    """
    tally, report = asyncio.run(_load(rate, seconds, shown=not as_json))
    sound = not tally.failed and report.sound
    if as_json:
        write_json({"ok": sound, **tally.to_json(), "audit": report.to_json()})
    else:
        _summarise(tally, report, ShopConsole())
    raise SystemExit(0 if sound else 1)


async def _load(rate: float, seconds: float, *, shown: bool) -> tuple[Tally, Report]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
    async with (
        asked_shop() as shop,
        httpx.AsyncClient(timeout=PATIENCE_SECONDS, limits=limits, trust_env=False) as http,
    ):
        console = ShopConsole()
        try:
            if shown and console.out.is_terminal:
                with Live(console=console.out, refresh_per_second=4, transient=True) as live:
                    tally = await run_load(
                        shop, http, rate=rate, seconds=seconds, report=lambda now: live.update(_board(now, seconds))
                    )
            else:
                tally = await run_load(shop, http, rate=rate, seconds=seconds, report=lambda _: None)
            return tally, await audit(running_source(shop), wait=AUDIT_WAIT_SECONDS)
        except LoadError as error:
            give_up(str(error))
        except ManagementError as error:
            give_up(f"broker: {error}")


def _board(tally: Tally, seconds: float) -> Group:
    """What is shown while it runs."""
    table = Table(box=None, padding=(0, 3, 0, 0))
    for name in ("due", "accepted", "paid", "under way", "failed", "paid/s", "accept p50/p99", "paid p50/p99"):
        table.add_column(name, style="bold")
    table.add_row(
        str(tally.due),
        str(tally.accepted),
        str(tally.paid),
        str(tally.under_way),
        Text(str(tally.failed), style="bold red" if tally.failed else "green"),
        f"{tally.paid / max(tally.seconds, 0.1):.1f}",
        _times(tally.accept_seconds[-RECENT:]),
        _times(tally.paid_seconds[-RECENT:]),
    )
    return Group(ProgressBar(total=seconds, completed=min(tally.seconds, seconds)), table)


def _summarise(tally: Tally, report: Report, console: ShopConsole) -> None:
    figures = Table("", "p50", "p99", box=None, padding=(0, 3, 0, 0))
    for name, times in (("until accepted", tally.accept_seconds), ("until paid", tally.paid_seconds)):
        figures.add_row(name, _milliseconds(percentile(times, 50)), _milliseconds(percentile(times, 99)))
    console.out.print(figures)
    counts = f"{tally.due} orders due at {tally.rate:g}/s, {tally.accepted} accepted, {tally.paid} paid"
    console.step(f"{counts} in {tally.seconds:.1f} s")
    for what, count in tally.errors.most_common():
        console.fail(f"{count} x {what}")
    for finding in report.breaches:
        console.fail(f"{finding.check.value}: {finding.text}")
    if not tally.failed:
        console.good("every order was paid")
    if report.sound:
        console.good("the audit finds nothing wrong")


def _times(seconds: list[float]) -> str:
    return f"{_milliseconds(percentile(seconds, 50))} / {_milliseconds(percentile(seconds, 99))}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f} ms"
