"""`shop rebuild` on the stores of a shop, from a file of events: no broker is needed, nor a running service."""

import json
import sqlite3
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from chassis.migrate import migrate
from ops.cli.__main__ import app
from ops.config import ShopConfig
from ops.rebuild import RebuildError, breaches_of, compared_projections
from tests.support.replay import STORIES

STORY = str(STORIES / "prices_change.jsonl")
EQUAL, NOT_EQUAL, NOT_TOLD = 0, 1, 2


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """order_svc's, empty, where a shop in this folder has it."""
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    monkeypatch.delenv("ORDER_DATABASE_URL", raising=False)
    file = tmp_path / "data" / "order.db"
    migrate("order_svc", f"sqlite+aiosqlite:///{file}")
    return file


def shop(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_an_empty_store_is_filled_after_a_yes(store: Path) -> None:
    checked = shop("rebuild", "order", "--from", STORY, "--json")
    assert checked.exit_code == NOT_EQUAL, checked.output
    [found] = [each for each in json.loads(checked.stdout)["projections"] if each["table"] == "products"]
    assert (found["rows"], len(found["missing"])) == (0, 1)
    [breach] = breaches_of(json.loads(checked.stdout))
    assert breach.text == "order: products is not what the journal makes of it: 1 rows missing, 0 different, 0 too many"
    assert breach.ids == tuple(found["missing"])
    unasked = shop("rebuild", "order", "--from", STORY, "--apply")
    assert (unasked.exit_code, "--yes" in unasked.stderr) == (NOT_TOLD, True)
    applied = shop("rebuild", "order", "--from", STORY, "--apply", "--yes")
    assert applied.exit_code == EQUAL, applied.output
    assert "products: 1 rows written" in applied.stdout
    with sqlite3.connect(store) as connection:
        assert connection.execute("SELECT orderable, version FROM products").fetchall() == [(0, 4)]
        assert connection.execute("SELECT count(*) FROM inbox").fetchone() == (0,)
    connection.close()


def test_what_cannot_be_told_is_said(store: Path) -> None:
    no_shop = shop("rebuild", "order")
    assert (no_shop.exit_code, "No shop runs" in no_shop.stderr) == (NOT_TOLD, True)
    no_store = shop("rebuild", "payment", "--from", STORY)
    assert (no_store.exit_code, "migrate" in no_store.stderr) == (NOT_TOLD, True)


async def test_the_audit_is_told_why_it_could_not_be_told(store: Path) -> None:
    nowhere = {"amqp": {"monitoring": "amqp://nobody:x@127.0.0.1:1/"}}
    with pytest.raises(RebuildError, match="order_svc: the journal cannot be read"):
        await compared_projections(ShopConfig.from_environment(), nowhere)
