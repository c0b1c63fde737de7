"""Conditional requests (RFC 9110 §13): strong ETags, `If-None-Match` for reads, `If-Match` for changes."""

import hashlib
from typing import Annotated, Final

from fastapi import Depends, Request
from starlette.responses import Response

from chassis.problems import ProblemError

MAX_HEADER: Final = 1_000


def etag_of(*parts: object) -> str:
    """A strong ETag for what these parts identify, such as an id and a version; opaque and quoted."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode())
    return f'"{digest.hexdigest()[:24]}"'


def etag_of_bytes(body: bytes) -> str:
    """A strong ETag of a whole representation."""
    return f'"{hashlib.sha256(body).hexdigest()[:24]}"'


def is_unchanged(request: Request, etag: str) -> bool:
    """Whether the client has this very version already (`If-None-Match`, weak comparison)."""
    given = request.headers.get("if-none-match", "")
    return bool(given) and (given.strip() == "*" or etag in _tags(given))


def not_modified(etag: str, cache_control: str) -> Response:
    """304, with the headers the 200 would have had."""
    return Response(status_code=304, headers={"ETag": etag, "Cache-Control": cache_control})


def check_if_match(given: frozenset[str], etag: str) -> None:
    """Refuse a change of a version the client has not seen.

    Raises:
        ProblemError: 412 precondition-failed.
    """
    if "*" not in given and etag not in given:
        raise ProblemError(412, "precondition-failed", "It was changed since you read it; read it again.")


async def _if_match(request: Request) -> frozenset[str]:
    """The ETags of `If-Match`.

    Raises:
        ProblemError: 428 precondition-required.
    """
    given = request.headers.get("if-match", "")
    if not given:
        raise ProblemError(428, "precondition-required", "Send the ETag you read as `If-Match`.")
    return frozenset({"*"}) if given.strip() == "*" else _tags(given, strong=True)


def _tags(header: str, *, strong: bool = False) -> frozenset[str]:
    tags = (tag.strip() for tag in header[:MAX_HEADER].split(","))
    return frozenset(tag if strong else tag.removeprefix("W/") for tag in tags)


IfMatch = Annotated[frozenset[str], Depends(_if_match)]
"""The versions a change may be based on; `check_if_match` compares."""
