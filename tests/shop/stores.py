"""Four empty, migrated stores per test: copies of ones that were migrated once per run, because that takes longest."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.migrate import migrate
from contracts.registry import SERVICES

Urls = Mapping[str, str]
"""Per service, the URL of its store."""


class Templates(Protocol):
    """Migrated stores to copy."""

    def copies(self, folder: Path) -> AbstractAsyncContextManager[Urls]:
        """Stores for one test; `folder` is the test's own."""
        ...


class SqliteTemplates:
    """Migrated files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for service in SERVICES:
            migrate(f"{service}_svc", f"sqlite+aiosqlite:///{folder / service}.db")

    @asynccontextmanager
    async def copies(self, folder: Path) -> AsyncIterator[Urls]:
        for service in SERVICES:
            shutil.copy(self._folder / f"{service}.db", folder / f"{service}.db")
        yield {service: f"sqlite+aiosqlite:///{folder / service}.db" for service in SERVICES}


class PostgresTemplates:
    """Migrated databases that others are created from; they go with the server."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._prefix = f"template_{uuid4().hex[:12]}"
        asyncio.run(self._run(*(f"CREATE DATABASE {self._prefix}_{service}" for service in SERVICES)))
        for service in SERVICES:
            migrate(f"{service}_svc", f"{server}/{self._prefix}_{service}")

    def drop(self) -> None:
        asyncio.run(self._run(*(f"DROP DATABASE {self._prefix}_{service} WITH (FORCE)" for service in SERVICES)))

    @asynccontextmanager
    async def copies(self, folder: Path) -> AsyncIterator[Urls]:
        name = f"shop_{uuid4().hex[:12]}"
        created = (f"CREATE DATABASE {name}_{service} TEMPLATE {self._prefix}_{service}" for service in SERVICES)
        await self._run(*created)
        try:
            yield {service: f"{self._server}/{name}_{service}" for service in SERVICES}
        finally:
            await self._run(*(f"DROP DATABASE {name}_{service} WITH (FORCE)" for service in SERVICES))

    async def _run(self, *statements: str) -> None:
        engine = create_async_engine(f"{self._server}/postgres", isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(sa.text(statement))
        await engine.dispose()
