"""No body, however strange, is answered 5xx, or 2xx when it is wrong."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from chassis.body import MAX_BODY_BYTES
from tests.support.tokens import TokenMint

THING = "0198f0c2-0000-7000-8000-000000000001"
JSON = {"Content-Type": "application/json"}


def a_body(**changes: Any) -> bytes:
    return json.dumps({"id": THING, "lines": [{"sku": "emma", "quantity": 2}], **changes}).encode()


def with_quantity(literal: str) -> bytes:
    return b'{"id": "%s", "lines": [{"sku": "emma", "quantity": %s}]}' % (THING.encode(), literal.encode())


def with_sku(literal: str) -> bytes:
    return b'{"id": "%s", "lines": [{"sku": %s, "quantity": 1}]}' % (THING.encode(), literal.encode())


MALFORMED = {
    "empty": b"",
    "space": b"  ",
    "half": b'{"id": ',
    "two documents": a_body() + a_body(),
    "trailing comma": b'{"lines": [],}',
    "single quotes": b"{'lines': []}",
    "NaN": with_quantity("NaN"),
    "Infinity": with_quantity("-Infinity"),
    "5000 digits": with_quantity("9" * 5000),
    "lone surrogate": with_sku('"\\ud800"'),
    "lone surrogate key": b'{"\\udfff": 1}',
    "raw control character": with_sku('"a\nb"'),
    "invalid UTF-8": with_sku('"a"').replace(b"a", b"\xff", 1),
    "UTF-16": a_body().decode().encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf" + a_body(),
    "duplicate key": with_sku('"a", "sku": "b"'),
    "duplicate key by escape": with_sku('"a", "\\u0073ku": "b"'),
    "deep arrays": b"[" * 60_000,
    "deep objects": b'{"a":' * 10_000,
    "17 levels": b"[" * 17 + b"]" * 17,
}
INVALID = {
    "null": b"null",
    "array": b"[]",
    "string": b'"hello"',
    "1e400": with_quantity("1e400"),
    "float": with_quantity("1.0"),
    "string for int": with_quantity('"1"'),
    "bool for int": with_quantity("true"),
    "null for int": with_quantity("null"),
    "zero": with_quantity("0"),
    "negative": with_quantity("-1"),
    "2^31": with_quantity(str(2**31)),
    "2^70": with_quantity(str(2**70)),
    "NUL": with_sku('"a\\u0000b"'),
    "escape character": with_sku('"a\\u001bb"'),
    "too long": with_sku(json.dumps("x" * 41)),
    "empty string": with_sku('""'),
    "unknown field": a_body(price=1),
    "missing field": b'{"id": "%s"}' % THING.encode(),
    "101 lines": a_body(lines=[{"sku": f"b{n}", "quantity": 1} for n in range(101)]),
    "upper-case UUID": a_body(id=THING.upper()),
    "UUID in braces": a_body(id=f"{{{THING}}}"),
    "UUID urn": a_body(id=f"urn:uuid:{THING}"),
    "UUID without dashes": a_body(id=THING.replace("-", "")),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED.keys())
async def test_what_is_not_strict_json_is_400(client: httpx.AsyncClient, mint: TokenMint, body: bytes) -> None:
    answer = await client.post("/things", content=body, headers=mint.headers() | JSON)
    assert answer.status_code == 400
    assert answer.json()["type"] == "/problems/malformed-json"


@pytest.mark.parametrize("body", INVALID.values(), ids=INVALID.keys())
async def test_what_does_not_fit_the_schema_is_422(client: httpx.AsyncClient, mint: TokenMint, body: bytes) -> None:
    answer = await client.post("/things", content=body, headers=mint.headers() | JSON)
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["type"] == "/problems/validation"
    assert all(set(error) == {"pointer", "code", "message"} for error in problem["errors"])


async def test_a_good_body_passes(client: httpx.AsyncClient, mint: TokenMint) -> None:
    answer = await client.post("/things", content=a_body(note="Grüße 📚\n"), headers=mint.headers() | JSON)
    assert answer.status_code == 201
    assert answer.json() == {"id": THING}


async def test_sixteen_levels_and_brackets_in_strings_are_not_too_deep(
    client: httpx.AsyncClient, mint: TokenMint
) -> None:
    for body in (b"[" * 16 + b"]" * 16, b'{"a": "' + b"[{" * 1000 + b'\\"[["}'):
        answer = await client.post("/things", content=body, headers=mint.headers() | JSON)
        assert answer.status_code == 422


async def test_errors_point_at_the_field_and_do_not_repeat_the_value(
    client: httpx.AsyncClient, mint: TokenMint
) -> None:
    body = a_body(id="hunter2-canary", note="\x07hunter2-canary", lines=[{"sku": "hunter2" * 9, "quantity": 1000}])
    answer = await client.post("/things", content=body, headers=mint.headers() | JSON)
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"/id", "/note", "/lines/0/sku", "/lines/0/quantity"}
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
async def test_other_media_types_are_415(client: httpx.AsyncClient, mint: TokenMint, headers: dict[str, str]) -> None:
    answer = await client.post("/things", content=a_body(), headers=mint.headers() | headers)
    assert answer.status_code == 415


async def test_charset_utf_8_is_the_same_media_type(client: httpx.AsyncClient, mint: TokenMint) -> None:
    headers = mint.headers() | {"Content-Type": 'Application/JSON; charset="UTF-8"'}
    assert (await client.post("/things", content=a_body(), headers=headers)).status_code == 201


@pytest.mark.parametrize("with_length", [True, False])
async def test_an_endless_body_is_413_after_64_kib(
    client: httpx.AsyncClient, mint: TokenMint, with_length: bool
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 8192
            yield b" " * 8192

    headers = mint.headers() | JSON | ({"Content-Length": str(50 * 1024 * 1024)} if with_length else {})
    answer = await client.post("/things", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert sent <= MAX_BODY_BYTES + 2 * 8192
    assert not with_length or sent == 0


async def test_who_is_not_logged_in_learns_nothing_about_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things", content=b"{", headers=JSON)
    assert answer.status_code == 401
