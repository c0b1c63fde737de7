"""The shop, open, on SQLite and on PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.shop.shop import Shop, open_shop
from tests.shop.stores import PostgresTemplates, SqliteTemplates, Templates, Urls


@pytest.fixture(scope="session")
def sqlite_templates(tmp_path_factory: pytest.TempPathFactory) -> SqliteTemplates:
    return SqliteTemplates(tmp_path_factory.mktemp("templates"))


@pytest.fixture(scope="session")
def postgresql_templates(postgres_server: str) -> Iterator[PostgresTemplates]:
    templates = PostgresTemplates(postgres_server)
    yield templates
    templates.drop()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def templates(request: pytest.FixtureRequest) -> Templates:
    """One kind of database after the other; a test that needs only one names it by indirect parameters."""
    templates: Templates = request.getfixturevalue(f"{request.param}_templates")
    return templates


@pytest.fixture
async def shop_urls(templates: Templates, tmp_path: Path) -> AsyncIterator[Urls]:
    """Four empty stores."""
    async with templates.copies(tmp_path) as urls:
        yield urls


@pytest.fixture
async def shop(shop_urls: Urls) -> AsyncIterator[Shop]:
    async with open_shop(shop_urls) as shop:
        yield shop
