"""Types for HTTP schemas and parameters: bounded, printable, canonical."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from annotated_types import GroupedMetadata
from fastapi import Path
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, StringConstraints

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALLOWED_CONTROLS = frozenset("\n\t")


class Body(BaseModel):
    """A request body: strict types, unknown fields refused, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class Answer(BaseModel):
    """A response body."""

    model_config = ConfigDict(frozen=True)


def printable(text: str) -> str:
    """`text`, if it has no control, surrogate or unassigned-format characters (line breaks and tabs may stay)."""
    if not text.isprintable() and any(
        unicodedata.category(char) in {"Cc", "Cs", "Co"} for char in text if char not in _ALLOWED_CONTROLS
    ):
        raise ValueError("control characters are not allowed")
    return text


def canonical_uuid(value: Any) -> Any:
    """Refuse the spellings `UUID()` would accept beside the canonical one: upper case, braces, `urn:uuid:`."""
    if isinstance(value, str) and not _UUID.fullmatch(value):
        raise ValueError("must be a canonical lower-case UUID")
    return value


@dataclass(frozen=True, slots=True)
class Text(GroupedMetadata):
    """A printable string of bounded length: `name: Annotated[str, Text(80)]`. Nothing is trimmed or cut."""

    max_length: int
    min_length: int = 1

    def __iter__(self) -> Iterator[object]:
        yield StringConstraints(min_length=self.min_length, max_length=self.max_length)
        yield AfterValidator(printable)


CanonicalUuid = Annotated[UUID, BeforeValidator(canonical_uuid)]
PathUuid = Annotated[CanonicalUuid, Path()]
"""An id in a path: `order_id: PathUuid`. Anything else is answered 404, as an unknown id is."""
