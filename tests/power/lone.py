"""One real service by itself, without a broker, watched by strace from its first system call on if it is to be."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import sqlalchemy as sa

from chassis.migrate import migrate
from ops.broker import free_port
from tests.power.trace import OPTIONS
from tests.support.tokens import TokenMint
from tests.support.waiting import wait_until


@dataclass
class LoneService:
    """A service that may be killed and started again; its store is in `disk`, or in a folder of its own."""

    name: str
    folder: Path
    mint: TokenMint = field(default_factory=TokenMint)
    user_id: UUID = field(default_factory=uuid4)
    module: str = ""
    disk: Path | None = None
    amqp_url: str = "amqp://nobody:nothing@127.0.0.1:1/"
    traces: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.port = free_port()
        self.store = (self.disk or self.folder / "store") / f"{self.name}.db"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def database_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.store}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def migrate(self) -> None:
        """Make the store's tables."""
        migrate(f"{self.name}_svc", self.database_url)

    def migrate_traced(self) -> None:
        """The same as a process, under strace."""
        with self._run_traced("migrate") as process:
            assert process.wait(60) == 0, self.log()

    def prepare(self, rows: Iterable[tuple[sa.Table, dict[str, object]]]) -> None:
        """Write rows into the store, as events would have before."""
        engine = sa.create_engine(f"sqlite:///{self.store}")
        with engine.begin() as connection:
            for table, row in rows:
                connection.execute(table.insert(), [row])
        engine.dispose()

    async def start(self, *strace: str, traced: bool = True) -> None:
        """Serve, under strace with these options beside those that make a trace; return when it answers."""
        process = self._process = self._run_traced("serve", *strace) if traced else self._run([], "serve")
        self.pid = process.pid

        async def answers() -> bool:
            assert process.poll() is None, f"{self.name}_svc ended with {process.returncode}: {self.log()}"
            async with self.client() as http:
                try:
                    return (await http.get("/healthz")).is_success
                except httpx.TransportError:
                    return False

        await wait_until(answers, timeout=30, message="the service does not answer")

    def client(self) -> httpx.AsyncClient:
        """Somebody logged in."""
        return httpx.AsyncClient(
            base_url=self.url, headers=self.mint.headers(self.user_id), timeout=30, trust_env=False
        )

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    async def died(self) -> int:
        """Wait until it has ended by itself; the exit status, negative for a signal."""
        return await self._end(None)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-3000:]

    async def _end(self, number: signal.Signals | None) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        if number is not None and process.poll() is None:
            os.kill(_service_of(process.pid), number)
        await wait_until(lambda: process.poll() is not None, timeout=30, message=f"it goes on: {self.log()}")
        return int(process.returncode)

    def _run_traced(self, command: str, *strace: str) -> "subprocess.Popen[bytes]":
        """Strace is the parent of the service: it ends with it, in the same way, when the trace is complete."""
        self.store.parent.mkdir(exist_ok=True)
        self.traces.append(self.folder / f"{len(self.traces)}.trace")
        tracer = ["strace", *OPTIONS, "-o", str(self.traces[-1]), *strace]
        return self._run(tracer, command)

    def _run(self, tracer: Sequence[str], command: str) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own service
                [*tracer, sys.executable, "-m", self.module or f"{self.name}_svc", command],
                env={**os.environ, **self._environment()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _environment(self) -> dict[str, str]:
        prefix = self.name.upper()
        return {
            f"{prefix}_DATABASE_URL": self.database_url,
            f"{prefix}_PORT": str(self.port),
            f"{prefix}_AMQP_URL": self.amqp_url,
            "LOG_FORMAT": "json",
        }


def _service_of(pid: int) -> int:
    """The service behind this process of ours, which is strace or the service itself."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0]) if children else pid
