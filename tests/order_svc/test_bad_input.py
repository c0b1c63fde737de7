"""Bad input: the right status and problem, and nothing changed."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from order_svc.store import RUNTIME
from order_svc.store import orders as orders_table
from tests.order_svc.builders import a_product
from tests.support.harness import Harness

# One database is enough here: what is refused at the door never reaches either.
pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

LINE = {"sku": "BOOK-1", "quantity": 1}
VALID = b'{"lines": [{"sku": "BOOK-1", "quantity": 1}]}'


async def nothing_changed(orders: Harness) -> bool:
    placed = await orders.runtime.reader.first(sa.select(sa.func.count().label("n")).select_from(orders_table))
    keys = await orders.runtime.reader.first(sa.select(sa.func.count().label("n")).select_from(RUNTIME.idempotency))
    return placed is not None and keys is not None and placed["n"] == keys["n"] == 0


def quantities(*values: str) -> list[bytes]:
    return [f'{{"lines": [{{"sku": "BOOK-1", "quantity": {value}}}]}}'.encode() for value in values]


MALFORMED = [
    b"",
    b"{",
    b"nul",
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'{"lines": [], "lines": []}',
    b"[" * 100_00,
    *quantities("NaN", "Infinity", "9" * 5000),
    b'{"lines": [{"sku": "\\ud800", "quantity": 1}]}',
]
INVALID = [
    b"null",
    b"[]",
    b"{}",
    b'{"lines": []}',
    b'{"lines": [{"sku": "BOOK-1"}]}',
    b'{"lines": [{"sku": "BOOK-1", "quantity": 1}, {"sku": "BOOK-1", "quantity": 1}]}',
    b'{"lines": [{"sku": "book one", "quantity": 1}]}',
    b'{"lines": [{"sku": "UNKNOWN", "quantity": 1}]}',
    *quantities("0", "-1", "1.0", '"1"', "true", "null", "1000", str(2**31), str(2**70), "1e400"),
    *(
        b'{"lines": [{"sku": "BOOK-1", "quantity": 1}], "%s": 1}' % field
        for field in (b"price", b"total", b"currency", b"discount", b"status", b"user_id")
    ),
    b'{"lines": [{"sku": "BOOK-1", "quantity": 1, "unit_price": 1}]}',
    b'{"lines": [{"sku": "BOOK-1", "quantity": 1}], "expected_total": {"amount": -1, "currency": "EUR"}}',
    b'{"lines": [' + b",".join(b'{"sku": "B-%d", "quantity": 1}' % i for i in range(101)) + b"]}",
]


async def post(orders: Harness, body: bytes, **headers: str) -> Any:
    given = orders.as_user() | {"Content-Type": "application/json", "Idempotency-Key": str(uuid4())} | headers
    return await orders.http.post("/orders", content=body, headers=given)


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:40]))
async def test_what_is_not_json_is_malformed(orders: Harness, body: bytes) -> None:
    answer = await post(orders, body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/malformed-json")
    assert await nothing_changed(orders)


@pytest.mark.parametrize("body", INVALID, ids=lambda body: repr(body[:60]))
async def test_what_does_not_fit_is_refused(orders: Harness, body: bytes) -> None:
    await orders.send(a_product())
    answer = await post(orders, body)
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert await nothing_changed(orders)


async def test_mixed_currencies_and_absurd_totals_are_refused(orders: Harness) -> None:
    await orders.send(a_product("EUROS"))
    await orders.send(a_product("DOLLARS", currency="USD"))
    await orders.send(a_product("PALACE", amount=10**12))
    mixed = await post(orders, b'{"lines": [{"sku": "EUROS", "quantity": 1}, {"sku": "DOLLARS", "quantity": 1}]}')
    assert (mixed.status_code, mixed.json()["type"]) == (422, "/problems/mixed-currencies")
    absurd = await post(orders, b'{"lines": [{"sku": "PALACE", "quantity": 2}]}')
    assert (absurd.status_code, absurd.json()["type"]) == (422, "/problems/total-too-large")
    assert await nothing_changed(orders)


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [
        ({"Content-Type": "text/plain"}, 415, "unsupported-media-type"),
        ({"Content-Encoding": "gzip"}, 415, "unsupported-media-type"),
        ({"Authorization": "Bearer nonsense"}, 401, "unauthenticated"),
        ({"Authorization": ""}, 401, "unauthenticated"),
        ({"Idempotency-Key": ""}, 400, "idempotency-key-invalid"),
        ({"Idempotency-Key": "x" * 256}, 400, "idempotency-key-invalid"),
    ],
)
async def test_wrong_headers_are_refused(orders: Harness, headers: dict[str, str], status: int, slug: str) -> None:
    await orders.send(a_product())
    answer = await post(orders, VALID, **headers)
    assert (answer.status_code, answer.json()["type"]) == (status, f"/problems/{slug}")
    assert await nothing_changed(orders)


async def test_a_key_is_required_to_place(orders: Harness) -> None:
    answer = await orders.http.post("/orders", json={"lines": [LINE]}, headers=orders.as_user())
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-required")


async def test_an_operator_is_no_customer(orders: Harness) -> None:
    headers = orders.as_operator() | {"Idempotency-Key": "k"}
    answer = await orders.http.post("/orders", json={"lines": [LINE]}, headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/orders/not-a-uuid", 404),
        (f"/orders/{2**70}", 404),
        ("/orders/00000000-0000-0000-0000-00000000000A", 404),
        ("/orders/..%2f..%2fetc", 404),
        ("/orders?limit=0", 422),
        ("/orders?limit=101", 422),
        (f"/orders?limit={2**70}", 422),
        ("/orders?status=eaten", 422),
        ("/orders?cursor=%00", 400),
        ("/orders?cursor=AAAA", 400),
        ("/orders/01900000-0000-7000-8000-000000000000?wait=31", 422),
        ("/orders/01900000-0000-7000-8000-000000000000?wait=nan", 422),
        ("/orders/audit", 403),
        ("/orders/", 404),
        ("/nowhere", 404),
    ],
)
async def test_bad_paths_and_parameters(orders: Harness, path: str, status: int) -> None:
    answer = await orders.http.get(path, headers=orders.as_user())
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_wrong_methods_say_which_are_right(orders: Harness) -> None:
    answer = await orders.http.delete("/orders", headers=orders.as_user())
    assert answer.status_code == 405
    assert answer.headers["allow"]
