"""One run: a shop of real processes, people who come at a pace, a look once a window, and the audit at the end."""

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx

from bench import machine
from bench.order_to_cash import Latencies, audited, environment, prepare
from bench.ports import free_ports
from bench.soak.judge import FLAT_FDS_PER_HOUR, FLAT_MIB_PER_HOUR, Trend, trend
from bench.soak.people import FIRST_VISIT_ORDERS, VISIT_ORDERS, WISHES, Crowd, Tally
from bench.soak.watch import Look, Watch
from bench.stores import Stores
from ops.config import SERVICES, Ports, Secrets, ShopConfig
from ops.console import ShopConsole
from ops.launcher import open_shop
from ops.shop_api import ShopApi, running_shop

UNTHROTTLED: Final = {"AUTH_REGISTRATIONS_PER_HOUR": "1000000", "AUTH_ADDRESS_ATTEMPTS": "1000000"}
"""All customers come from one address."""
SHELF: Final = 50
WARM_UP_SHARE: Final = 6
WARM_UP_SECONDS: Final = 600.0
"""The warm-up is a sixth of the run, ten minutes at the most: caches fill, SQLite's pages, allocators' arenas."""


@dataclass(frozen=True)
class Pace:
    """How long and how fast; `window` is the seconds between two looks."""

    rate: float
    seconds: float
    window: float

    @property
    def warm_up(self) -> float:
        return min(WARM_UP_SECONDS, self.seconds / WARM_UP_SHARE)


@dataclass(frozen=True)
class Window:
    """One stretch of the run: what was done in it, and how the shop looks at its end."""

    at: float
    seconds: float
    orders: int
    done: Mapping[str, int]
    errors: Mapping[str, int]
    place_ms: Latencies | None
    paid_ms: Latencies | None
    cpu_ms_per_order: Mapping[str, float]
    look: Look

    def line(self) -> str:
        memory = " ".join(f"{name} {use.rss_mib:.0f}" for name, use in self.look.uses.items())
        paid = f"{self.paid_ms.p50:g}/{self.paid_ms.p99:g} ms" if self.paid_ms else "none paid"
        waiting = sum(self.look.queues.values()), sum(self.look.outbox.values())
        return (
            f"{self.at / 60:5.1f} min: {self.orders} orders, {paid}, {sum(self.errors.values())} errors; MiB {memory};"
            f" waiting {waiting[0]} + {waiting[1]}; load {self.look.load:g}"
        )


def window_of(tally: Tally, at: float, seconds: float, before: Look, look: Look) -> Window:
    """`at` and `seconds`: when it ended, and how long it was."""
    used = {name: use.cpu_seconds - before.uses[name].cpu_seconds for name, use in look.uses.items()}
    return Window(
        at=round(at, 1),
        seconds=round(seconds, 1),
        orders=tally.orders,
        done=dict(tally.done),
        errors=dict(tally.errors),
        place_ms=Latencies.of(tally.placed) if tally.placed else None,
        paid_ms=Latencies.of(tally.paid) if tally.paid else None,
        cpu_ms_per_order={name: round(1000 * cpu / max(1, tally.orders), 2) for name, cpu in used.items()},
        look=look,
    )


async def soak(pace: Pace, folder: Path, stores: Stores) -> dict[str, Any]:
    """The whole run as a document.

    Raises:
        RuntimeError: a process died, so there is nothing to judge.
    """
    config = ShopConfig(
        folder, Ports(*free_ports(len(Ports.__slots__))), Secrets.load(folder / "secrets.json"), None, False, False
    )
    databases = {service: await stores.new(service) for service in SERVICES}
    variables = {f"{service.upper()}_DATABASE_URL": url for service, url in databases.items()}
    moment, started, commit = machine.Moment.now(), datetime.now(UTC), machine.commit()
    with environment(variables | UNTHROTTLED):
        async with (
            open_shop(config, ShopConsole.on_stderr()),
            running_shop(config) as shop,
            httpx.AsyncClient(timeout=60, trust_env=False) as http,
        ):
            watch = Watch(shop, http, folder / "broker", databases, stores.server or "")
            opened = await watch.look()
            skus = await _stocked(shop, http)
            crowd = Crowd(shop.state["services"], skus)
            windows = await _windows(pace, crowd, watch)
            breaches = await audited(shop)
            rested = await watch.look()
    tried = [asdict(opened), *(asdict(window) for window in windows)]
    return {
        "at": started.isoformat(timespec="seconds"),
        "pace": {**asdict(pace), "warm_up": pace.warm_up},
        "wishes": dict(WISHES),
        "store": stores.described,
        "machine": machine.described(folder),
        "versions": machine.versions(),
        "commit": commit,
        "load_before": moment.load,
        "load_after": os.getloadavg(),
        "stolen_percent": moment.stolen_percent_until(machine.Moment.now()),
        "bounds": {"mib_per_hour": FLAT_MIB_PER_HOUR, "fds_per_hour": FLAT_FDS_PER_HOUR},
        "memory": {name: asdict(each) for name, each in trends(windows, pace.warm_up, "rss_mib").items()},
        "files": {name: asdict(each) for name, each in trends(windows, pace.warm_up, "fds").items()},
        "audit": breaches,
        "opened": tried[0],
        "windows": tried[1:],
        "rested": asdict(rested),
    }


def trends(windows: list[Window], warm_up: float, what: str) -> dict[str, Trend]:
    """The trend of `rss_mib` or `fds` of each process."""
    bound = {"rss_mib": FLAT_MIB_PER_HOUR, "fds": FLAT_FDS_PER_HOUR}[what]
    names = windows[0].look.uses
    return {
        name: trend([(window.at, float(getattr(window.look.uses[name], what))) for window in windows], warm_up, bound)
        for name in names
    }


async def _windows(pace: Pace, crowd: Crowd, watch: Watch) -> list[Window]:
    """Let people come, and look at the end of each window; the last one ends when everybody has left."""
    begun = time.monotonic()
    before, at = await watch.look(), time.monotonic() - begun
    coming = asyncio.create_task(crowd.keep_coming(pace.rate, pace.seconds))
    windows: list[Window] = []
    ended = False
    try:
        while not ended:
            crowd.visit_orders = FIRST_VISIT_ORDERS if at < pace.warm_up else VISIT_ORDERS
            await asyncio.wait({coming}, timeout=max(0.0, at + pace.window - (time.monotonic() - begun)))
            now, ended = time.monotonic() - begun, coming.done()  # before the look: who ends during it is in the next
            tally, look = crowd.next_window(), await watch.look()
            if tally.orders or tally.errors:
                windows.append(window_of(tally, now, now - at, before, look))
                print(windows[-1].line(), flush=True)
                before, at = look, now
        await coming
        await crowd.go_home()
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
    return windows


async def _stocked(shop: ShopApi, http: httpx.AsyncClient) -> list[str]:
    """Products with stock for ever; their SKUs."""
    await prepare([shop.state["services"]], shop.state["operator"], http, 0)
    return [f"BENCH-{number}" for number in range(SHELF)]
