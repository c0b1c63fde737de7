"""Load from a process of its own: so many connections, each asking again as soon as it is answered (a closed loop).

`python -m bench.load` reads a plan as JSON on standard input and prints what came of it. The messages are made before
the clock runs and parsed by C, so that it can ask several times as fast as a service answers; how busy it was itself
is in the result.
"""

import asyncio
import json
import math
import secrets
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httptools
import uvloop

KEY: Final = "{key}"
"""Where in a message a text stands that is another in each request."""
GIVE_UP_SECONDS: Final = 30.0


class LoadFailedError(Exception):
    """Some request was not answered as expected; there is no figure then."""


@dataclass(frozen=True)
class Plan:
    """What to ask: `messages` in turn, for `warm_up` and then `seconds` seconds; only the latter are counted."""

    url: str
    messages: Sequence[str]
    status: int
    connections: int = 32
    warm_up: float = 0.5
    seconds: float = 3.0


@dataclass(frozen=True)
class Result:
    """`answered` and the latencies are of the counted seconds, `in_all` is everything the server did."""

    answered: int
    in_all: int
    seconds: float
    p50_ms: float
    p99_ms: float
    busy_percent: float
    """CPU time of this process per second of the counted time: near 100 it measures itself."""


def message(method: str, target: str, headers: Mapping[str, str], body: Any = None) -> str:
    """A whole HTTP/1.1 request as it goes over the wire."""
    payload = "" if body is None else json.dumps(body)
    more = {} if body is None else {"Content-Type": "application/json", "Content-Length": str(len(payload))}
    lines = [f"{name}: {value}" for name, value in {"Host": "127.0.0.1", **headers, **more}.items()]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", payload])


async def load(plan: Plan) -> Result:
    """Run the plan in another process.

    Raises:
        LoadFailedError: an answer had another status, or none came.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(plan.warm_up + plan.seconds + GIVE_UP_SECONDS):
            out, err = await process.communicate(json.dumps(asdict(plan)).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise LoadFailedError(f"{plan.url}: {err.decode(errors='replace').strip()[-500:]}")
    return Result(**json.loads(out))


@dataclass
class _Run:
    """One run of a plan: what is asked next, and what was answered."""

    plan: Plan
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: str = ""
    asked: int = 0

    def __post_init__(self) -> None:
        self._parts = [tuple(part.encode() for part in text.split(KEY, 1)) for text in self.plan.messages]
        self._run_id = secrets.token_hex(8)
        now = time.perf_counter()
        self.counts_from = now + self.plan.warm_up
        self.ends = self.counts_from + self.plan.seconds

    def next_message(self) -> bytes:
        self.asked += 1
        parts = self._parts[self.asked % len(self._parts)]
        return f"{self._run_id}-{self.asked:08}".encode().join(parts)

    def answered(self, status: int, begun: float, body: bytes) -> bool:
        """Take an answer in; whether the connection goes on."""
        now = time.perf_counter()
        self.statuses[status] += 1
        if status != self.plan.status:
            self.wrong = self.wrong or f"{status} instead of {self.plan.status}: {body[:300]!r}"
            return False
        if self.counts_from <= now <= self.ends:
            self.latencies.append(now - begun)
        return now < self.ends and not self.wrong


class _Connection(asyncio.Protocol):
    """Asks, waits for the whole answer, asks again."""

    def __init__(self, run: _Run, ended: "asyncio.Future[None]") -> None:
        self._run, self._ended = run, ended
        self._parser = httptools.HttpResponseParser(self)
        self._begun, self._body = 0.0, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's does not say that it is one
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body = body

    def on_message_complete(self) -> None:
        if self._run.answered(self._parser.get_status_code(), self._begun, self._body):
            self._ask()
        else:
            self._end()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._ended.done():
            self._run.wrong = self._run.wrong or f"the connection was lost: {error}"
            self._end()

    def _ask(self) -> None:
        self._begun = time.perf_counter()
        self._transport.write(self._run.next_message())

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)
        self._transport.close()


async def _ask_all(plan: Plan) -> Result:
    loop = asyncio.get_running_loop()
    address = urlsplit(plan.url)
    run = _Run(plan)
    ends = [loop.create_future() for _ in range(plan.connections)]
    for end in ends:
        await loop.create_connection(partial(_Connection, run, end), address.hostname or "", address.port or 80)
    await asyncio.sleep(max(0.0, run.counts_from - time.perf_counter()))
    cpu = time.process_time()
    await asyncio.sleep(max(0.0, run.ends - time.perf_counter()))
    cpu = time.process_time() - cpu
    await asyncio.gather(*ends)
    if run.wrong or not run.latencies:
        raise LoadFailedError(run.wrong or "nothing was answered in time")
    ranked = sorted(run.latencies)
    p50, p99 = (ranked[math.ceil(len(ranked) * part) - 1] for part in (0.5, 0.99))
    return Result(
        answered=len(ranked),
        in_all=run.statuses.total(),
        seconds=plan.seconds,
        p50_ms=round(p50 * 1000, 2),
        p99_ms=round(p99 * 1000, 2),
        busy_percent=round(100 * cpu / plan.seconds, 1),
    )


def main() -> None:
    plan = Plan(**json.load(sys.stdin))
    try:
        print(json.dumps(asdict(uvloop.run(_ask_all(plan)))))
    except (LoadFailedError, OSError) as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
