"""The client's own record of what it asked: on disk before the first byte is sent, so that no answer can be denied."""

import asyncio
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Entry = dict[str, Any]


class Journal:
    """Lines of JSON, appended. Whoever writes at the same moment shares one `fdatasync`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._lines: list[bytes] = []
        self._durable: list[asyncio.Future[None]] = []
        self._something = asyncio.Event()
        self._closing = False
        self._task = asyncio.create_task(self._run(), name="journal")

    async def intend(self, entry: Mapping[str, Any]) -> None:
        """Write what is about to be asked; returns when it would survive a power cut."""
        durable = asyncio.get_running_loop().create_future()
        self._durable.append(durable)
        self.note(entry)
        await durable

    def note(self, entry: Mapping[str, Any]) -> None:
        """Write what was answered; it becomes durable with the next intent, or at the end."""
        self._lines.append(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
        self._something.set()

    async def close(self) -> None:
        self._closing = True
        self._something.set()
        await self._task
        self._file.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self) -> None:
        while not self._closing or self._lines:
            await self._something.wait()
            self._something.clear()
            lines, self._lines = self._lines, []
            durable, self._durable = self._durable, []
            if lines:
                await asyncio.to_thread(self._write, b"".join(lines))
            for waiting in durable:
                if not waiting.done():
                    waiting.set_result(None)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        os.fdatasync(self._file.fileno())


def read_journal(path: Path) -> Iterator[Entry]:
    """Every entry, as it was written."""
    with path.open("rb") as file:
        for line in file:
            yield json.loads(line)
