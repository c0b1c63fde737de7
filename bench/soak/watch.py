"""What a running shop uses at one moment: memory and files of processes, bytes and rows of stores, queues."""

import asyncio
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from bench.machine import cpu_seconds, ended_children_seconds, rss_mib
from bench.replicas import server_processes
from ops.config import SERVICES
from ops.shop_api import ShopApi

JOURNAL: Final = "shop.journal"


@dataclass(frozen=True)
class Use:
    """One process: MiB resident and as a fair share, open descriptors, CPU so far.

    Of PostgreSQL's together, resident is the sum of fair shares: they have much of their memory in common.
    """

    rss_mib: float
    pss_mib: float
    fds: int
    cpu_seconds: float


@dataclass(frozen=True)
class Stock:
    """One store: bytes of the database, of SQLite's log beside it, and rows by table."""

    bytes: int
    wal_bytes: int
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Look:
    """Everything at one moment. `queues` are messages that wait, the journal's apart: it keeps what it has."""

    uses: Mapping[str, Use]
    stores: Mapping[str, Stock]
    outbox: Mapping[str, int]
    queues: Mapping[str, int]
    journal_messages: int
    broker_bytes: int
    load: float


class Watch:
    """Looks at one shop. `folder` is the private broker's, `server` the PostgreSQL server's URL or nothing."""

    def __init__(self, shop: ShopApi, http: httpx.AsyncClient, folder: Path, stores: Mapping[str, str], server: str):
        self._shop = shop
        self._http = http
        self._folder = folder
        self._stores = stores
        self._server = server
        self.pids: Mapping[str, int] = self._found()

    async def look(self) -> Look:
        """
        Raises:
            RuntimeError: a process is not the one it was: somebody died.
        """
        if (found := await asyncio.to_thread(self._alive)) is not None:
            raise RuntimeError(f"no figure: {found} died during the run")
        queues = {str(queue["name"]): int(queue.get("messages", 0)) for queue in await self._queues()}
        return Look(
            uses=await asyncio.to_thread(self._uses),
            stores={service: await stock(url) for service, url in self._stores.items()},
            outbox={service: await self._outbox(service) for service in SERVICES},
            queues={name: waiting for name, waiting in queues.items() if waiting and name != JOURNAL},
            journal_messages=queues.get(JOURNAL, 0),
            broker_bytes=await asyncio.to_thread(_folder_bytes, self._folder / "mnesia"),
            load=round(os.getloadavg()[0], 1),
        )

    def _found(self) -> dict[str, int]:
        return {**self._shop.state["pids"], "broker": int((self._folder / "node.pid").read_text())}

    def _alive(self) -> str | None:
        """Who is not there any more; the launcher would have started another one in its place."""
        gone = (name for name, pid in self.pids.items() if not Path(f"/proc/{pid}").exists())
        return next(gone, None)

    def _uses(self) -> dict[str, Use]:
        server = {"postgresql": used_by_server(server_processes(self._server))} if self._server else {}
        return {**{name: used(pid) for name, pid in self.pids.items()}, **server}

    async def _queues(self) -> list[dict[str, Any]]:
        return await asyncio.to_thread(self._shop.queues) or []

    async def _outbox(self, service: str) -> int:
        """Events committed and not yet confirmed by the broker."""
        text = (await self._http.get(f"{self._shop.state['services'][service]}/metrics")).text
        found = re.search(r"^outbox_pending (\S+)$", text, re.MULTILINE)
        return int(float(found[1])) if found else 0


def used(pid: int) -> Use:
    """
    Raises:
        OSError: there is no such process.
    """
    folder = Path(f"/proc/{pid}")
    pss = re.search(r"^Pss:\s+(\d+) kB", (folder / "smaps_rollup").read_text(), re.MULTILINE)
    share = round(int(pss[1]) / 1024, 1) if pss else 0.0
    return Use(rss_mib(pid), share, len(list((folder / "fd").iterdir())), cpu_seconds(pid))


def used_by_server(pids: Sequence[int]) -> Use:
    """A PostgreSQL server, its first process first. Workers come and go: those that ended count as their parent."""
    uses: list[Use] = []
    for pid in pids:
        with suppress(OSError):
            uses.append(used(pid))
    share = round(sum(use.pss_mib for use in uses), 1)
    ended = ended_children_seconds(pids[0])
    return Use(share, share, sum(use.fds for use in uses), ended + sum(use.cpu_seconds for use in uses))


async def stock(url: str) -> Stock:
    """Size and rows of one store, asked over a connection of its own."""
    at = sa.make_url(url)
    sqlite = at.get_backend_name() == "sqlite"
    engine = create_async_engine(url)
    try:
        async with engine.connect() as connection:
            names = await connection.run_sync(lambda sync: sa.inspect(sync).get_table_names())
            rows = {
                name: await _scalar(connection, sa.select(sa.func.count()).select_from(sa.table(name)))
                for name in names
            }
            size = 0 if sqlite else await _scalar(connection, sa.text("SELECT pg_database_size(current_database())"))
    finally:
        await engine.dispose()
    if not sqlite:
        return Stock(size, 0, rows)
    database, log = await asyncio.to_thread(_sqlite_bytes, at.database or "")
    return Stock(database, log, rows)


def _sqlite_bytes(path: str) -> tuple[int, int]:
    """Of the file and of the log beside it, which is not there while nobody has the file open."""
    log = Path(f"{path}-wal")
    return Path(path).stat().st_size, log.stat().st_size if log.exists() else 0


async def _scalar(connection: Any, statement: sa.Executable) -> int:
    return int((await connection.execute(statement)).scalar_one())


def _folder_bytes(folder: Path) -> int:
    return sum(_sizes(folder))


def _sizes(folder: Path) -> Iterator[int]:
    """Of all files; those that the broker removes meanwhile are passed over."""
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                yield path.stat().st_size
        except OSError:
            continue
