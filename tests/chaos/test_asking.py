"""The client is honest: what it asks is on disk before it is sent, and asked again as it was until it is answered."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.chaos import asking
from tests.chaos.asking import Asker, Call
from tests.chaos.door import Door, NoAnswerError, RefusedError
from tests.chaos.journal import Journal, read_journal
from tests.chaos.record import Record

HEADERS = {"Authorization": "Bearer x"}
PLACE = Call("place", "order", "/orders", "key-1", {"lines": []})


class Counterparty:
    """A server that answers as it was told, request by request: a status, or None to hang up without a word."""

    def __init__(self, journal: Path, *answers: int | None) -> None:
        self.answers = list(answers)
        self.heads: list[bytes] = []
        self.journalled: list[int] = []
        self.port = 0
        self._journal = journal

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                self.heads.append(head)
                self.journalled.append(sum(1 for entry in read_journal(self._journal) if "call" in entry))
                status = self.answers.pop(0)
                if status is None:
                    return
                body = json.dumps({"type": "/problems/x"}).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body))
        except asyncio.IncompleteReadError:
            pass  # the client has closed its connection
        finally:
            writer.close()


@asynccontextmanager
async def _asking(folder: Path, *answers: int | None) -> AsyncIterator[tuple[Asker, Counterparty, Record]]:
    path, record = folder / "journal.jsonl", Record()
    other = Counterparty(path, *answers)
    server = await asyncio.start_server(other, "127.0.0.1", 0)
    other.port = server.sockets[0].getsockname()[1]
    door = Door(f"http://127.0.0.1:{other.port}")
    async with server, Journal(path) as journal:
        yield Asker({"order": door}, journal, record, random.Random(1)), other, record
        await door.close()


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "FIRST_PAUSE", 0.0)


async def test_what_was_not_answered_is_asked_again_with_the_same_key(tmp_path: Path) -> None:
    async with _asking(tmp_path, None, 503, 201) as (asker, other, record):
        answer, attempts = await asker.insist(PLACE, HEADERS)
    assert (answer.status, attempts) == (201, 3)
    assert [ask.outcome for ask in record.asks] == ["unknown", "again", "ok"]
    assert all(b"Idempotency-Key: key-1\r\n" in head for head in other.heads)


async def test_every_attempt_is_on_disk_before_it_is_sent(tmp_path: Path) -> None:
    async with _asking(tmp_path, None, 201) as (asker, other, _):
        await asker.insist(PLACE, HEADERS)
    assert other.journalled == [1, 2]
    entries = list(read_journal(tmp_path / "journal.jsonl"))
    assert [entry.get("outcome") for entry in entries] == [None, "unknown", None, "ok"]


async def test_a_refusal_is_an_answer(tmp_path: Path) -> None:
    async with _asking(tmp_path, 422) as (asker, _, record):
        answer, attempts = await asker.insist(PLACE, HEADERS)
    assert (answer.status, attempts, record.asks[0].outcome) == (422, 1, "no")


async def test_passwords_and_tokens_stay_out_of_the_journal(tmp_path: Path) -> None:
    async with _asking(tmp_path, 200) as (asker, _, _record):
        await asker.insist(Call("log in", "order", "/login", body={"password": "secret"}, private=True), HEADERS)
    assert "secret" not in (tmp_path / "journal.jsonl").read_text()


async def test_nobody_there_is_not_the_same_as_no_answer(tmp_path: Path) -> None:
    async with _asking(tmp_path, None) as (asker, other, _):
        with pytest.raises(NoAnswerError):
            await asker.doors["order"].ask("GET", "/", HEADERS)
    with pytest.raises(RefusedError):
        await Door(f"http://127.0.0.1:{other.port}").ask("GET", "/", HEADERS)
