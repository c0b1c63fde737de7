"""The store: what is erased leaves the files."""

import sqlite3
from pathlib import Path

import pytest

from auth_svc import erasure
from auth_svc.app import build
from auth_svc.erasure import WalEraser
from contracts.registry import SERVICES
from tests.auth_svc.accounts import PASSWORD, Accounts, bearer, settings
from tests.support.clocks import ManualClock
from tests.support.harness import running
from tests.support.waiting import wait_until


async def test_erased_data_leaves_the_files(tmp_path: Path) -> None:
    path = tmp_path / "auth.db"
    canaries = [b"canary.elliot@example.com", b"Canary Elliot"]
    async with running("auth_svc", build, settings(f"sqlite+aiosqlite:///{path}")) as harness:
        accounts = Accounts(harness, ManualClock())
        for n in range(30):
            await accounts.register(f"neighbour{n}@example.com")
        body = {"email": "canary.elliot@example.com", "password": PASSWORD, "name": "Canary Elliot"}
        await accounts.http.post("/auth/register", json=body)
        tokens = await accounts.log_in("canary.elliot@example.com")
        assert all(found_in(tmp_path, canary) for canary in canaries)
        (empty_wal,) = (sweep for sweep in harness.runtime.sweeper.sweeps if sweep.name == "empty_wal")
        await empty_wal.run()  # which is due once after the start; from here on only an erasure makes it due
        await accounts.http.delete("/auth/me", headers=bearer(tokens["access_token"]))

        async def gone() -> bool:
            await empty_wal.run()
            return not any(found_in(tmp_path, canary) for canary in canaries)

        await wait_until(gone, message="erased data is still in the files")


async def test_the_log_stays_due_when_the_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    eraser = WalEraser(tmp_path / "auth.db")
    with monkeypatch.context() as failing:
        failing.setattr(erasure, "_truncate_wal", fails)
        with pytest.raises(sqlite3.OperationalError):
            await eraser.run()
    assert await eraser.run() == 1
    assert await eraser.run() == 0


async def test_what_is_erased_while_the_log_is_emptied_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    eraser = WalEraser(tmp_path / "auth.db")

    def erased_meanwhile(path: Path) -> bool:
        eraser.request()
        return True

    with monkeypatch.context() as busy:
        busy.setattr(erasure, "_truncate_wal", erased_meanwhile)
        await eraser.run()
    assert await eraser.run() == 1


def fails(path: Path) -> bool:
    raise sqlite3.OperationalError("disk I/O error")


def found_in(folder: Path, canary: bytes) -> list[str]:
    return [path.name for path in folder.iterdir() if path.is_file() and canary in path.read_bytes()]


def test_the_contract_names_what_is_read() -> None:
    assert SERVICES["auth"].reads == ()
