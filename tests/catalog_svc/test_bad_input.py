"""Whatever is sent: the right problem, never a 500, and nothing changed."""

import base64
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from tests.catalog_svc.shop import published, snapshot, stocked
from tests.catalog_svc.test_api import a_product, problem

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

CONTROL, LONE_SURROGATE = "a\u0000b", "\ud800"
BAD_PRODUCTS: Sequence[tuple[str, dict[str, Any]]] = [
    ("/sku", {"sku": "lower"}),
    ("/sku", {"sku": ""}),
    ("/sku", {"sku": "-A"}),
    ("/sku", {"sku": "A" * 33}),
    ("/sku", {"sku": "A\n"}),
    ("/sku", {"sku": 5}),
    ("/title", {"title": ""}),
    ("/title", {"title": " "}),
    ("/title", {"title": " Emma"}),
    ("/title", {"title": "Em\nma"}),
    ("/title", {"title": CONTROL}),
    ("/title", {"title": "E" * 201}),
    ("/title", {"title": None}),
    ("/category", {"category": "C" * 81}),
    ("/description", {"description": "D" * 5_001}),
    ("/price/amount", {"price": {"amount": -1, "currency": "EUR"}}),
    ("/price/amount", {"price": {"amount": 9.99, "currency": "EUR"}}),
    ("/price/amount", {"price": {"amount": "999", "currency": "EUR"}}),
    ("/price/amount", {"price": {"amount": True, "currency": "EUR"}}),
    ("/price/amount", {"price": {"amount": 2**70, "currency": "EUR"}}),
    ("/price/currency", {"price": {"amount": 1, "currency": "eur"}}),
    ("/price", {"price": 999}),
    ("/version", {"version": 7}),
    ("/status", {"status": "listed"}),
]
BAD_ADJUSTMENTS: Sequence[dict[str, Any]] = [
    {"delta": 0, "reason": "x"},
    {"delta": 1.0, "reason": "x"},
    {"delta": "1", "reason": "x"},
    {"delta": 2**70, "reason": "x"},
    {"delta": -1_000_001, "reason": "x"},
    {"delta": 1, "reason": ""},
    {"delta": 1, "reason": CONTROL},
    {"delta": 1},
    {"delta": 1, "reason": "x", "on_hand": 5},
]
BAD_QUERIES: Sequence[dict[str, Any]] = [
    {"limit": 0},
    {"limit": 101},
    {"limit": 10**6},
    {"limit": 2**70},
    {"limit": "ten"},
    {"min_price": -1},
    {"max_price": 2**70},
    {"in_stock": "perhaps"},
    {"sort": "author"},
    {"q": "q" * 101},
    {"q": CONTROL},
    {"category": "\x00"},
]
BAD_PATHS = ["lower", "A" * 33, "A%00", "A%0A", "%F0%9F%98%80", "A'--", "..%2F", "%ff"]


@pytest.fixture
def any_version(operator: dict[str, str]) -> dict[str, str]:
    return {**operator, "If-Match": "*"}


async def test_products_that_are_none(client: httpx.AsyncClient, app: FastAPI, operator: dict[str, str]) -> None:
    for pointer, wrong in BAD_PRODUCTS:
        response = await client.post("/catalog/products", json=a_product() | wrong, headers=operator)
        assert problem(response) == (422, "validation"), wrong
        assert [error["pointer"] for error in response.json()["errors"]] == [pointer], wrong
    assert await published(app.state.runtime) == []


async def test_a_body_that_is_none(client: httpx.AsyncClient, app: FastAPI, any_version: dict[str, str]) -> None:
    await stocked(app.state.runtime, A=1)
    before = (await snapshot(app.state.runtime), await published(app.state.runtime))
    headers = {**any_version, "Content-Type": "application/json"}
    bodies = [b"", b"{", b"[]", b"null", b'{"title": "A", "title": "B"}', b'{"delta": NaN}', b"\xff", b"[" * 20_000]
    bodies += [json.dumps({"title": LONE_SURROGATE}).encode(), b'{"delta": 1e400, "reason": "x"}']
    for method, path in (
        ("POST", "/catalog/products"),
        ("PATCH", "/catalog/products/A"),
        ("POST", "/catalog/products/A/stock"),
    ):
        for body in bodies:
            response = await client.request(method, path, content=body, headers=headers)
            assert problem(response) in {(400, "malformed-json"), (422, "validation")}, (path, body[:40])
        assert problem(await client.request(method, path, content=b"{}", headers=any_version))[0] == 415
        assert problem(await client.request(method, path, content=b" " * 70_000, headers=headers))[0] == 413
    assert before == (await snapshot(app.state.runtime), await published(app.state.runtime))


async def test_a_patch_that_says_nothing(client: httpx.AsyncClient, app: FastAPI, any_version: dict[str, str]) -> None:
    await stocked(app.state.runtime, A=1)
    for patch in ({}, {"title": None}, {"status": None}, {"status": "gone"}, {"sku": "B"}, {"available": 5}):
        response = await client.patch("/catalog/products/A", json=patch, headers=any_version)
        assert problem(response) == (422, "validation"), patch


async def test_adjustments_that_are_none(client: httpx.AsyncClient, app: FastAPI, operator: dict[str, str]) -> None:
    await stocked(app.state.runtime, A=1)
    before = await snapshot(app.state.runtime)
    for wrong in BAD_ADJUSTMENTS:
        response = await client.post("/catalog/products/A/stock", json=wrong, headers=operator)
        assert problem(response) == (422, "validation"), wrong
    assert await snapshot(app.state.runtime) == before


async def test_queries_that_are_none(client: httpx.AsyncClient) -> None:
    for query in BAD_QUERIES:
        response = await client.get("/catalog/products", params=query)
        assert problem(response) == (422, "validation"), query


async def test_paths_that_name_nothing(client: httpx.AsyncClient, any_version: dict[str, str]) -> None:
    for path in BAD_PATHS:
        for method in ("GET", "PATCH", "DELETE"):
            body = {"title": "X"} if method == "PATCH" else None
            response = await client.request(method, f"/catalog/products/{path}", json=body, headers=any_version)
            assert problem(response) == (404, "not-found"), (method, path)


async def test_cursors_that_are_none(client: httpx.AsyncClient, app: FastAPI) -> None:
    await stocked(app.state.runtime, A=0, B=0)
    cursor = (await client.get("/catalog/products", params={"limit": 1})).json()["next_cursor"]
    fingerprint = json.loads(base64.urlsafe_b64decode(cursor + "=="))[0]
    forged = [["x", "a", "A"], [fingerprint, 5, "A"], [fingerprint, None, "A"], [fingerprint, "a", None], [], {}, 1]
    documents = [base64.urlsafe_b64encode(json.dumps(document).encode()).decode() for document in forged]
    for bad in ("", "x", "%%%", "é", cursor[:-4], cursor + "AAAA", *documents):
        response = await client.get("/catalog/products", params={"cursor": bad})
        assert problem(response) == (400, "bad-cursor"), bad
