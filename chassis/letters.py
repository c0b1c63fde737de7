"""A dead letter as an operator reads it: what it is, why it is there, since when, and its body.

Whatever lies in a dead queue may have been put there by hand: nothing about it is taken for granted, and nothing of its
body is ever logged.
"""

import base64
import codecs
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from chassis import retry
from chassis.discards import MAX_TYPE
from chassis.fields import Answer
from chassis.topology import inbox_queue
from chassis.transport import Delivery
from contracts.envelope import Envelope, UndecodableEventError, decode

MAX_SHOWN_BYTES: Final = 256 * 1024
MAX_READ_BYTES: Final = 1024 * 1024
MAX_LINE: Final = 500
_SIMPLE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class DeathReason(StrEnum):
    """Who put a letter into the dead queue, and why."""

    FAILED = "failed"
    """The service did: the event cannot be handled, or not after the last retry."""

    DELIVERY_LIMIT = "delivery_limit"
    """The broker did: it came back too often without being settled."""

    UNKNOWN = "unknown"
    """Somebody did by hand: there is no word about why."""


class Letter(Answer):
    """One dead letter without its body. `id` names it in the other routes: its message id, if that is a plain one."""

    id: str
    event_id: UUID | None
    type: str
    subject: str | None
    order_id: str | None
    reason: DeathReason
    error_type: str | None
    error_message: str | None
    attempt: int
    redrives: int
    first_failed_at: datetime | None
    died_at: datetime | None
    original_routing_key: str | None
    size: int


class OpenedLetter(Letter):
    """A letter with its body: `text`, or `base64` if it is not UTF-8; cut at 256 KiB. `event` if it is one."""

    encoding: str
    body: str
    complete: bool
    event: Envelope | None


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; what is None is not asked about. Times are those of dying."""

    type: str | None = None
    error_type: str | None = None
    older_than: datetime | None = None
    newer_than: datetime | None = None

    def matches(self, letter: Letter) -> bool:
        died = letter.died_at
        return (
            self.type in (None, letter.type)
            and self.error_type in (None, letter.error_type)
            and (self.older_than is None or (died is not None and died < self.older_than))
            and (self.newer_than is None or (died is not None and died > self.newer_than))
        )


EVERY_LETTER: Final = LetterFilter()


def read_letter(service: str, delivery: Delivery) -> Letter:
    """What a dead letter of `service` says about itself."""
    return Letter.model_validate(_summary(service, delivery))


def open_letter(service: str, delivery: Delivery) -> OpenedLetter:
    """The same with its body."""
    shown = delivery.body[:MAX_SHOWN_BYTES]
    complete = len(shown) == len(delivery.body)
    try:
        encoding, body = "text", codecs.getincrementaldecoder("utf-8")().decode(shown, final=complete)
    except UnicodeDecodeError:
        encoding, body = "base64", base64.b64encode(shown).decode()
    content = {"encoding": encoding, "body": body, "complete": complete, "event": _event(delivery)}
    return OpenedLetter.model_validate(_summary(service, delivery) | content)


def _summary(service: str, delivery: Delivery) -> dict[str, Any]:
    headers, document = delivery.headers, _document(delivery.body)
    burial = _burial(service, headers)
    reason = DeathReason.FAILED if retry.ERROR_TYPE in headers else DeathReason.UNKNOWN
    return {
        "id": letter_id(delivery),
        "event_id": _uuid(document.get("id")) or _uuid(delivery.message_id),
        "type": _line(document.get("type"), MAX_TYPE) or _line(delivery.type, MAX_TYPE) or "unknown",
        "subject": _line(document.get("subject"), MAX_TYPE),
        "order_id": _line(_order_id(document), MAX_TYPE),
        "reason": DeathReason.DELIVERY_LIMIT if burial else reason,
        "error_type": _line(headers.get(retry.ERROR_TYPE)),
        "error_message": _line(headers.get(retry.ERROR_MESSAGE)),
        "attempt": retry.attempt_of(delivery),
        "redrives": retry.redrives_of(delivery),
        "first_failed_at": _time(headers.get(retry.FIRST_FAILED_AT)),
        "died_at": _time(burial.get("time") or headers.get(retry.DIED_AT)),
        "original_routing_key": _line(retry.original_routing_key(delivery) or None),
        "size": len(delivery.body),
    }


def letter_id(delivery: Delivery) -> str:
    """The message id; of a message without a plain one a name made of all it is, the same each time one looks."""
    given = delivery.message_id or ""
    if _SIMPLE_ID.fullmatch(given):
        return given
    content = given.encode("utf-8", "replace") + b"\0" + delivery.body
    return "letter-" + hashlib.blake2b(content, digest_size=12).hexdigest()


def _burial(service: str, headers: Mapping[str, object]) -> Mapping[str, object]:
    """The broker's note of having taken it from the inbox for good; empty if the service itself buried it.

    Not `x-first-death-reason`: for a message that was retried before, that tells of the retry.
    """
    deaths = headers.get("x-death")
    for death in deaths if isinstance(deaths, list) else ():
        if isinstance(death, dict) and (death.get("queue"), death.get("reason")) == (
            inbox_queue(service),
            DeathReason.DELIVERY_LIMIT,
        ):
            return death
    return {}


def _document(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object, an empty one if it is none."""
    if len(body) > MAX_READ_BYTES:
        return {}
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _event(delivery: Delivery) -> Envelope | None:
    if len(delivery.body) > MAX_SHOWN_BYTES:
        return None
    try:
        return decode(delivery.body)
    except UndecodableEventError:
        return None


def _order_id(document: Mapping[str, Any]) -> object:
    data = document.get("data")
    return data.get("order_id") if isinstance(data, dict) else None


def _uuid(value: object) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _time(value: object) -> datetime | None:
    """An aware time, from a header that may hold anything."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value[:40])
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)


def _line(value: object, limit: int = MAX_LINE) -> str | None:
    """One printable line, None if there is nothing to say."""
    if not isinstance(value, str):
        return None
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in value[:limit])
