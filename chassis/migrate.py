"""Schema changes: the body shared by every service's Alembic environment, and the command that applies them."""

import asyncio
import fcntl
import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool


def alembic_config(package: str, url: str) -> Config:
    """Alembic's configuration for the service in `package` (`order_svc`), without an ini file."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"there is no package {package!r}")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # its "Context impl SQLiteImpl." tells nobody anything
    config = Config()
    config.set_main_option("script_location", str(Path(spec.submodule_search_locations[0]) / "migrations"))
    config.attributes["url"] = url
    return config


def migrate(package: str, url: str, revision: str = "head") -> None:
    """Bring the store at `url` to `revision`; creates it (and its folder) if it is a SQLite file that is not there."""
    with _taking_turns(make_url(url)):
        command.upgrade(alembic_config(package, url), revision)


@contextmanager
def _taking_turns(url: URL) -> Iterator[None]:
    """For a SQLite file one process after the other, by a lock file beside it. PostgreSQL's own lock is below."""
    if url.get_backend_name() != "sqlite" or url.database in {None, "", ":memory:"}:
        yield
        return
    file = Path(str(url.database))
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_name(f"{file.name}.migrate.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # given back when it is closed, also by the kernel
        yield


def pending_migrations(package: str, url: str) -> bool:
    """Whether the store at `url` is not at the newest revision: empty, older, or not there at all."""
    script = ScriptDirectory.from_config(alembic_config(package, url))
    return _current_heads(url) != set(script.get_heads())


def _current_heads(url: str) -> set[str]:
    database = make_url(url)
    if database.get_backend_name() != "sqlite":
        return asyncio.run(_current_heads_async(url))
    if database.database is None or not Path(database.database).exists():
        return set()
    engine = sa.create_engine(database.set(drivername="sqlite"), poolclass=NullPool)
    with engine.connect() as connection:
        return set(MigrationContext.configure(connection).get_current_heads())


async def _current_heads_async(url: str) -> set[str]:
    engine = create_async_engine(url, poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(lambda c: set(MigrationContext.configure(c).get_current_heads()))
    finally:
        await engine.dispose()


def run_migrations(metadata: sa.MetaData) -> None:
    """The body of a service's `migrations/env.py`."""
    url: str = context.config.attributes["url"]
    if make_url(url).get_backend_name() == "sqlite":
        with _sqlite_engine(url).connect() as connection:
            _upgrade(connection, metadata)
    else:
        asyncio.run(_upgrade_async(url, metadata))


def _sqlite_engine(url: str) -> sa.Engine:
    """Python's driver would commit before each CREATE TABLE; a revision is to be applied whole or not at all."""
    engine = sa.create_engine(
        make_url(url).set(drivername="sqlite"), poolclass=NullPool, connect_args={"isolation_level": None}
    )
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


async def _upgrade_async(url: str, metadata: sa.MetaData) -> None:
    engine = create_async_engine(url, poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(_LOCK)  # until the connection ends: each revision is a transaction of its own
        await connection.commit()
        await connection.run_sync(_upgrade, metadata)
        await connection.commit()
    await engine.dispose()


_LOCK: Final = sa.text("SELECT pg_advisory_lock(hashtextextended('migrate', 0))")
"""One process after the other: every instance may migrate when it starts, and all but the first find nothing to do."""


def _upgrade(connection: sa.Connection, metadata: sa.MetaData) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        transactional_ddl=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
