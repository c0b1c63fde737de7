"""A payment company as a process, and payment_svc beside it, which is killed and comes back."""

import asyncio
import os
import secrets
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any, Final

import httpx

from ops.broker import free_port

KEY: Final = secrets.token_urlsafe(24)
WEBHOOK_SECRET: Final = secrets.token_urlsafe(24)
START_SECONDS: Final = 30.0


class Running:
    """`python -m MODULE …` with an environment; started, killed, started again. What it prints goes to a file."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str], folder: Path, port: int) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"
        self._command = [sys.executable, "-m", *command]
        self._environment = {**os.environ, **environment}
        self._log: IO[bytes] = (folder / f"{name}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.kills = 0

    @property
    def log(self) -> str:
        return Path(self._log.name).read_text(errors="replace")[-4000:]

    async def start(self, **environment: str) -> None:
        """Start it, and return when it answers. What it is told now it is told at every later start."""
        self._environment |= environment
        self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own program; starting it takes no time
            self._command, env=self._environment, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log
        )
        deadline = time.monotonic() + START_SECONDS
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            while time.monotonic() < deadline:
                assert self._process.poll() is None, f"{self.name} ended:\n{self.log}"
                try:
                    if (await http.get(f"{self.url}/healthz")).status_code == 200:
                        return
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
        raise AssertionError(f"{self.name} does not answer:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        self.kills += 1
        self._end(signal.SIGKILL)

    def close(self) -> None:
        if self._process is not None:
            self._end(signal.SIGTERM)
        self._log.close()

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        assert process is not None
        process.send_signal(number)
        process.wait(20)


class Company(Running):
    """The payment company; its faults can be changed while it runs."""

    def __init__(self, folder: Path, faults: Mapping[str, Any]) -> None:
        port = free_port()
        self._database = folder / "company.db"
        environment = {f"SIMULATOR_{name.upper()}": str(value) for name, value in faults.items()} | {
            "SIMULATOR_PORT": str(port),
            "SIMULATOR_DATABASE": str(self._database),
            "SIMULATOR_KEY": KEY,
            "SIMULATOR_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        super().__init__("company", ["payment_svc.providers.simulator"], environment, folder, port)
        self._headers = {"Authorization": f"Bearer {KEY}"}

    @property
    def merchant_environment(self) -> dict[str, str]:
        """What payment_svc has to know to deal with it."""
        return {
            "PAYMENT_PROVIDER": "remote",
            "PAYMENT_PROVIDER_URL": self.url,
            "PAYMENT_PROVIDER_KEY": KEY,
            "PAYMENT_WEBHOOK_SECRETS": WEBHOOK_SECRET,
        }

    async def behave(self, **faults: Any) -> None:
        """From now on only these faults."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.put(f"{self.url}/admin/faults", json=faults, headers=self._headers)
        assert answer.status_code == 200, answer.text

    async def tell_again(self) -> None:
        """Have it send a webhook for every payment once more."""
        async with httpx.AsyncClient(trust_env=False) as http:
            answer = await http.post(f"{self.url}/admin/webhooks", headers=self._headers)
        assert answer.status_code == 200, answer.text

    def count(self) -> int:
        """How many payments are in its books; looked up in its file, so whatever its faults are."""
        with closing(sqlite3.connect(self._database)) as database:
            (number,) = database.execute("SELECT COUNT(*) FROM payments").fetchone()
        return int(number)

    async def payments(self) -> list[dict[str, Any]]:
        """Its whole list of payments. It must be behaving."""
        found: list[dict[str, Any]] = []
        cursor, more = "", True
        async with httpx.AsyncClient(trust_env=False, headers=self._headers) as http:
            while more:
                page = (await http.get(f"{self.url}/v1/payments", params={"after": cursor, "limit": "500"})).json()
                found += page["payments"]
                cursor, more = page["cursor"], page["more"]
        return found

    async def ledger(self) -> dict[str, dict[str, int]]:
        """Per currency each account's debits minus credits."""
        async with httpx.AsyncClient(trust_env=False, headers=self._headers) as http:
            books: dict[str, dict[str, int]] = (await http.get(f"{self.url}/v1/books")).json()
        return books


def payment_service(folder: Path, amqp_url: str, environment: Mapping[str, str], port: int) -> Running:
    """payment_svc on a SQLite store of its own, migrated."""
    own = {
        "PAYMENT_DATABASE_URL": f"sqlite+aiosqlite:///{folder / 'payment.db'}",
        "PAYMENT_PORT": str(port),
        "PAYMENT_AMQP_URL": amqp_url,
        "LOG_FORMAT": "json",
        **environment,
    }
    command = [sys.executable, "-m", "payment_svc", "migrate"]
    subprocess.run(command, env={**os.environ, **own}, check=True, timeout=60)  # noqa: S603 - our own program
    return Running("payment", ["payment_svc", "serve"], own, folder, port)
