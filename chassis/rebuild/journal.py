"""Where a rebuild reads what happened: the broker's journal, or a file of events, one CloudEvent per line."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Protocol

from chassis.transport import Delivery
from chassis.transport.amqp import JournalUnavailableError, journal_end, journal_until
from contracts.envelope import UndecodableEventError, decode


class Journal(Protocol):
    """Everything that was published, in order, as far back as it goes."""

    def read(self, after: int | None) -> AsyncGenerator[Delivery, None]:
        """The entries after this offset (None: from the first), up to the newest there is now.

        Raises:
            JournalUnavailableError: it cannot be read.
        """

    def cut(self, first: Delivery) -> str | None:
        """Why something may be missing before the first entry it gave; None if that one is the first ever."""


class BrokerJournal:
    """The stream on RabbitMQ, by a login that may read it."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def read(self, after: int | None) -> AsyncGenerator[Delivery, None]:
        end = await journal_end(self._url)
        if end is None or (after is not None and after >= end):
            return
        async with aclosing(journal_until(self._url, end, "first" if after is None else after + 1)) as deliveries:
            async for delivery in deliveries:
                yield delivery

    def cut(self, first: Delivery) -> str | None:
        if first.stream_offset:
            return f"the journal begins at offset {first.stream_offset}: its oldest events were dropped"
        return None


class FileJournal:
    """A file of JSON Lines; blank lines and those that begin with `#` are for people. Offsets are line numbers."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, after: int | None) -> AsyncGenerator[Delivery, None]:
        try:
            with self._path.open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    if number > (after or 0) and line.strip() and not line.lstrip().startswith(b"#"):
                        yield _entry(line.strip(), number)
        except OSError as error:
            raise JournalUnavailableError(f"{self._path} cannot be read: {error.strerror}") from error

    def cut(self, first: Delivery) -> str | None:
        return f"{self._path.name} is a file, and need not hold everything"


def _entry(line: bytes, number: int) -> Delivery:
    try:
        envelope = decode(line)
    except UndecodableEventError:
        return Delivery(line, stream_offset=number)
    return Delivery(line, str(envelope.id), envelope.type, routing_key=envelope.type, stream_offset=number)


__all__ = ["BrokerJournal", "FileJournal", "Journal", "JournalUnavailableError"]
