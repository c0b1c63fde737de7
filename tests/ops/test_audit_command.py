"""`shop audit` as a person or a script calls it: what it prints, and its exit status."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ops.audit import audit, kept_report
from ops.cli import audit as command
from ops.cli.__main__ import app
from tests.ops.audited import AuditedShop


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AuditedShop:
    """The shop the command finds running."""
    shop = AuditedShop()
    monkeypatch.setenv("RUN_DIR", str(tmp_path))

    @asynccontextmanager
    async def asked() -> AsyncIterator[AuditedShop]:
        yield shop

    monkeypatch.setattr(command, "asked_shop", asked)
    monkeypatch.setattr(command, "running_source", lambda found: found)
    monkeypatch.setattr(command, "audited", partial(audit, pause=0))
    return shop


def called(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments], env={"NO_COLOR": "1", "COLUMNS": "160"})


def test_a_sound_shop(shop: AuditedShop) -> None:
    result = called()
    assert result.exit_code == 0
    assert "stock, money and messages add up" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_breach(shop: AuditedShop) -> None:
    shop.users.clear()
    result = called()
    assert result.exit_code == 1
    assert "identity: user" in result.stdout


@pytest.mark.parametrize(("users", "code", "said"), [(True, 0, "sound"), (False, 1, "breach")])
def test_for_a_script(shop: AuditedShop, users: bool, code: int, said: str) -> None:
    if not users:
        shop.users.clear()
    result = called("--json")
    assert (result.exit_code, json.loads(result.stdout)["result"]) == (code, said)


def test_no_shop_to_ask(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["audit"], env={"RUN_DIR": str(tmp_path)})
    assert result.exit_code == 2
    assert "No shop runs from" in result.stderr


def test_it_says_how_to_use_it() -> None:
    result = called("--help")
    assert result.exit_code == 0
    assert "--wait" in result.stdout
    assert "shop audit --json" in result.stdout


def test_the_result_is_kept_for_the_operators_page(shop: AuditedShop, tmp_path: Path) -> None:
    shop.users.clear()
    called()
    kept = kept_report(tmp_path / "audit.json")
    assert kept is not None
    assert (kept["result"], kept["counts"]["breaches"]) == ("breach", 1)
