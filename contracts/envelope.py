"""The envelope every event travels in: CloudEvents 1.0 JSON, structured mode.

What the broker's UI, a fixture file and the journal show is this one readable document. The extensions are
`correlationid` (the whole conversation), `causationid` (the message that caused this one), `aggregateversion`
(1, 2, 3 … per aggregate) and `traceparent` (W3C trace context).
"""

from datetime import datetime
from typing import Any, ClassVar, Final, Literal, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

MAX_EVENT_BYTES: Final = 1024 * 1024
"""Ours have a few hundred bytes; parsing what is a thousand times larger would hold up everything behind it."""


class Event(BaseModel):
    """A fact one service publishes. Subclasses name their wire type and the field that identifies the aggregate.

    Readers are tolerant: unknown fields are ignored, so a producer may add optional ones within a major version.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    wire_name: ClassVar[str]
    subject_field: ClassVar[str]

    def __init_subclass__(cls, *, wire_name: str = "", subject: str = "", **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if wire_name:
            cls.wire_name = wire_name
            cls.subject_field = subject

    @property
    def subject(self) -> str:
        """The id of the aggregate this fact is about."""
        return str(getattr(self, self.subject_field))

    @property
    def conversation(self) -> UUID | None:
        """The correlation id this fact brings along: everything about an order shares the order's id."""
        order_id: UUID | None = getattr(self, "order_id", None)
        return order_id


EventT = TypeVar("EventT", bound=Event)


class Envelope(BaseModel):
    """One event on its way. `id` is unique per event and the key every consumer dedupes by."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Literal["1.0"] = "1.0"
    id: UUID
    source: str
    type: str
    subject: str
    time: datetime
    datacontenttype: Literal["application/json"] = "application/json"
    correlationid: UUID
    causationid: UUID | None = None
    aggregateversion: int = Field(ge=1)
    traceparent: str | None = None
    data: dict[str, Any]


class UndecodableEventError(ValueError):
    """The bytes are not an event we know: too many, not JSON, not an envelope, an unknown type, or data that does not
    fit."""


def encode(envelope: Envelope) -> bytes:
    """The envelope as UTF-8 JSON; absent optional attributes are left out, as CloudEvents asks."""
    return envelope.model_dump_json(exclude_none=True).encode()


def decode(body: bytes) -> Envelope:
    """The envelope in `body`.

    Raises:
        UndecodableEventError: with a reason an operator can act on, and without the rejected values.
    """
    if len(body) > MAX_EVENT_BYTES:
        raise UndecodableEventError(f"{len(body)} bytes, an event has at most {MAX_EVENT_BYTES}")
    try:
        return Envelope.model_validate(from_json(body))
    except ValidationError as error:
        raise UndecodableEventError(f"not a CloudEvents envelope: {_where(error)}") from None
    except ValueError as error:
        raise UndecodableEventError(f"not JSON: {error}") from None


def parse_data(event_type: type[EventT], data: dict[str, Any]) -> EventT:
    """The typed event in an envelope's `data`.

    Raises:
        UndecodableEventError: a field is missing or of the wrong shape.
    """
    try:
        return event_type.model_validate(data)
    except ValidationError as error:
        raise UndecodableEventError(f"data is not a {event_type.wire_name}: {_where(error)}") from None


def _where(error: ValidationError) -> str:
    """Which fields are wrong and how, without their values: those may be anything."""
    return "; ".join(
        f"{'.'.join(map(str, item['loc'])) or 'document'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
