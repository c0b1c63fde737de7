"""JSON bodies from raw bytes, through one dependency: bounded, strict, and never a 500 whatever arrives.

FastAPI's own way answers 500 to NaN and lone surrogates, takes the last of duplicate keys, reads bodies of any size and
repeats a rejected password in its 422. Here: at most 64 KiB are read; syntax, duplicate keys, depth and encoding are
answered 400; then pydantic validates the bytes in strict mode (so "1" and 1.0 are no integers) and what fails is a 422.
"""

import json
import re
from typing import Any, Final, NoReturn, TypeVar

from fastapi import Depends
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from chassis.problems import ProblemError, validation_errors

M = TypeVar("M", bound=BaseModel)

MAX_BODY_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 16

# Possessive, and an unterminated string runs to the end: no input makes it look at a byte twice.
_NOT_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[^\[\]{}"]++', re.DOTALL)
_CONTENT_TYPE = re.compile(r'application/json\s*(;\s*charset="?utf-8"?\s*)?', re.IGNORECASE)


def json_body(model: type[M], *, optional: bool = False) -> Any:
    """The dependency that reads `model`: `body: Annotated[PlaceOrder, json_body(PlaceOrder)]`.

    With `optional`, a request without a body is one with the model's defaults.

    Raises (as problems): 415 unsupported-media-type, 413 too-large, 400 malformed-json, 422 validation.
    """
    return Depends(BodyReader(model, optional=optional))


class BodyReader:
    """Reads one model; the attributes are public so that the OpenAPI document can declare the body."""

    def __init__(self, model: type[BaseModel], *, optional: bool = False) -> None:
        self.model = model
        self.optional = optional

    async def __call__(self, request: Request) -> BaseModel:
        if self.optional and "content-type" not in request.headers and not await read_capped(request):
            return self.model()
        return parse(self.model, await raw_json(request))


async def raw_json(request: Request) -> bytes:
    """The body's bytes, read once per request and capped; kept for a fingerprint."""
    raw: bytes | None = getattr(request.state, "raw_body", None)
    if raw is None:
        _check_content_type(request)
        raw = request.state.raw_body = await read_capped(request)
    return raw


async def read_capped(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The body's bytes, whatever they are.

    Raises:
        ProblemError: 413, after at most `limit` bytes were taken in; the connection is closed on the rest.
    """
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > limit:
        _refuse_size()
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > limit:
            _refuse_size()
    return bytes(chunks)


def parse(model: type[M], raw: bytes) -> M:
    """The model in `raw`.

    Raises:
        ProblemError: 400 malformed-json or 422 validation.
    """
    check_json(raw)
    try:
        return model.model_validate_json(raw)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
        if errors[0]["type"] == "json_invalid":
            _refuse_json("The body is not JSON.")
        raise ProblemError(422, "validation", errors=validation_errors(errors)) from None


def check_json(raw: bytes) -> None:
    """Refuse what a validating parser lets pass: duplicate keys, NaN, a byte order mark, any depth.

    Raises:
        ProblemError: 400 malformed-json.
    """
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(raw) > MAX_DEPTH:
        _refuse_json(f"The body is nested deeper than {MAX_DEPTH} levels.")
    try:
        _DECODER.decode(raw.decode())
    except UnicodeDecodeError:
        _refuse_json("The body is not UTF-8.")
    except _DuplicateKeyError:
        _refuse_json("A key appears twice in one object.")
    except ValueError:  # syntax, NaN, or an integer of thousands of digits
        _refuse_json("The body is not JSON.")


class _DuplicateKeyError(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) != len(pairs):
        raise _DuplicateKeyError


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)


def _depth(raw: bytes) -> int:
    """How deep the brackets outside of strings are nested; the JSON need not be valid."""
    depth = deepest = 0
    for bracket in _NOT_BRACKETS.sub(b"", raw):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _check_content_type(request: Request) -> None:
    types = request.headers.getlist("content-type")
    if len(types) != 1 or not _CONTENT_TYPE.fullmatch(types[0].strip()):
        raise ProblemError(415, "unsupported-media-type", "Send `Content-Type: application/json`.", headers=_CLOSE)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ProblemError(415, "unsupported-media-type", "Compressed bodies are not accepted.", headers=_CLOSE)


_CLOSE: Final = {"Connection": "close"}
"""The body was not read to its end; closing is cheaper than taking in and throwing away the rest."""


def _refuse_size() -> NoReturn:
    raise ProblemError(413, "too-large", headers=_CLOSE)


def _refuse_json(detail: str) -> NoReturn:
    raise ProblemError(400, "malformed-json", detail) from None
