"""The one-shot jobs of the shop in containers, run for real."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from chassis.migrate import migrate, pending_migrations
from chassis.topology import shop_rights
from ops.compose.definitions import write
from ops.config import SERVICES

SCRIPT = Path(__file__).resolve().parents[2] / "ops" / "compose" / "store.sh"


def broker_passwords() -> dict[str, str]:
    return {f"{rights.user.upper()}_BROKER_PASSWORD": f"secret of {rights.user}" for rights in shop_rights()}


def test_the_definitions_job_writes_every_user_and_no_password(tmp_path: Path) -> None:
    target = tmp_path / "definitions.json"
    write(target, broker_passwords())
    document = json.loads(target.read_text())
    assert {user["name"] for user in document["users"]} == {rights.user for rights in shop_rights()}
    assert "secret of" not in target.read_text()
    assert target.stat().st_mode & 0o004, "the broker runs as another user and must be able to read it"
    assert list(tmp_path.iterdir()) == [target]


def test_the_definitions_job_refuses_a_missing_password(tmp_path: Path) -> None:
    environment = broker_passwords()
    del environment["ORDER_BROKER_PASSWORD"]
    with pytest.raises(ValueError, match="'order'"):
        write(tmp_path / "definitions.json", environment)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
async def fresh_server(postgres_server: str) -> AsyncIterator[str]:
    """A server that has no database or user named like a service, before and after. Nobody else's is touched."""
    engine = create_async_engine(f"{postgres_server}/postgres", isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        names: sa.BindParameter[str] = sa.bindparam("names", SERVICES, expanding=True)
        taken = sa.text("SELECT rolname FROM pg_roles WHERE rolname IN :names").bindparams(names)
        if (await connection.execute(taken)).all():
            pytest.skip("the server given by TEST_POSTGRES_URL has users of these names")
    try:
        yield postgres_server
    finally:
        async with engine.connect() as connection:
            for service in SERVICES:
                await connection.execute(sa.text(f'DROP DATABASE IF EXISTS "{service}" WITH (FORCE)'))
                await connection.execute(sa.text(f'DROP ROLE IF EXISTS "{service}"'))
        await engine.dispose()


@pytest.mark.postgres
async def test_a_service_owns_its_database_and_rules_nothing_else(fresh_server: str) -> None:
    if shutil.which("psql") is None:
        pytest.skip("psql is not installed")
    url = make_url(fresh_server)
    environment = {
        "PATH": os.environ["PATH"],
        "PGHOST": str(url.host),
        "PGPORT": str(url.port),
    }
    if url.password:
        environment["PGPASSWORD"] = str(url.password)
    passwords = {service: uuid4().hex for service in SERVICES}
    for service, password in passwords.items():  # in containers each has a server of its own
        await asyncio.to_thread(_make_store, environment | {"STORE": service, "STORE_PASSWORD": password})
    for service in SERVICES:
        own = url.set(username=service, password=passwords[service])
        text = own.set(database=service).render_as_string(hide_password=False)
        await _migrate(service, text)
        other = next(name for name in SERVICES if name != service)
        dsn = own.set(drivername="postgresql").render_as_string(hide_password=False)
        connection = await asyncpg.connect(dsn, database=service)
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await connection.execute("CREATE ROLE another")
        finally:
            await connection.close()
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(dsn, database=other)


def _make_store(environment: dict[str, str]) -> None:
    subprocess.run(["sh", str(SCRIPT)], check=True, env=environment)  # noqa: S603, S607 - our own script


async def _migrate(service: str, url: str) -> None:
    await asyncio.to_thread(migrate, f"{service}_svc", url)
    assert not await asyncio.to_thread(pending_migrations, f"{service}_svc", url)
