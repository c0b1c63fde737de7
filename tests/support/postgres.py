"""A private PostgreSQL server from the installed binaries, for tests and benchmarks."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from ops.broker import free_port

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) if Path("/usr/lib/postgresql").exists() else []


@contextmanager
def private_cluster(*, durable: bool = False) -> Iterator[str]:
    """The URL, without a database, of a cluster of one's own; ended and removed afterwards.

    It forgets on a power cut, which is quicker, unless it is to be `durable`: then it has PostgreSQL's defaults.
    """
    folder = Path(tempfile.mkdtemp(prefix="orderflow-pg-"))
    try:
        yield from _run_cluster(folder, BINARIES[-1].parent, "" if durable else "-c fsync=off")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def on_server(server: str, statements: Iterable[str]) -> None:
    """Run statements of an administrator, each by itself."""
    engine = create_async_engine(f"{server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))
    await engine.dispose()


def _run_cluster(folder: Path, binaries: Path, more: str) -> Iterator[str]:
    as_user: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres")
        as_user = ["runuser", "-u", "postgres", "--"]
    data, port = folder / "data", free_port()
    initdb = [str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run([*as_user, *initdb], check=True, capture_output=True, cwd=folder)  # noqa: S603 - fixed command
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c max_connections=200 {more}"
    control = [*as_user, str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    start = [*control, "-o", options, "-l", str(folder / "log"), "start"]
    subprocess.run(start, check=True, capture_output=True, cwd=folder)  # noqa: S603 - fixed command
    try:
        yield f"postgresql+asyncpg://postgres@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, cwd=folder)  # noqa: S603 - fixed command
