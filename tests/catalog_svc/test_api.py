"""The catalog over HTTP: browsing for anyone, changes for operators."""

from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from catalog_svc.schemas import ProductPage, ProductView
from contracts.catalog import ProductChanged, ProductListed, ProductRetired, StockAdjusted
from tests.catalog_svc.shop import published
from tests.support.tokens import TokenMint

Headers = dict[str, str]


def a_product(sku: str = "BK-1", **fields: Any) -> dict[str, Any]:
    return {
        "sku": sku,
        "title": f"Title of {sku}",
        "author": "Jane Austen",
        "category": "Fiction",
        "description": "A novel.",
        "price": {"amount": 999, "currency": "EUR"},
        **fields,
    }


async def create(client: httpx.AsyncClient, operator: Headers, sku: str, *, stock: int = 0, **fields: Any) -> None:
    response = await client.post("/catalog/products", json=a_product(sku, **fields), headers=operator)
    assert response.status_code == 201, response.text
    if stock:
        await adjust(client, operator, sku, stock)


async def adjust(client: httpx.AsyncClient, headers: Headers, sku: str, delta: int) -> httpx.Response:
    return await client.post(
        f"/catalog/products/{sku}/stock", json={"delta": delta, "reason": "delivery"}, headers=headers
    )


async def skus(client: httpx.AsyncClient, **query: Any) -> list[str]:
    response = await client.get("/catalog/products", params=query)
    assert response.status_code == 200, response.text
    return [item["sku"] for item in response.json()["items"]]


def problem(response: httpx.Response) -> tuple[int, str]:
    assert response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].removeprefix("/problems/")


async def test_a_new_product(client: httpx.AsyncClient, operator: Headers, app: FastAPI) -> None:
    response = await client.post("/catalog/products", json=a_product(), headers=operator)
    assert response.status_code == 201
    assert response.headers["location"] == "/catalog/products/BK-1"
    assert response.json() == {**a_product(), "available": 0, "version": 1, "status": "listed"}
    read = await client.get("/catalog/products/BK-1")
    assert read.json() == response.json()
    assert read.headers["etag"] == response.headers["etag"]
    assert read.headers["cache-control"] == "public, max-age=5"
    [event] = await published(app.state.runtime)
    assert isinstance(event, ProductListed)
    again = await client.post("/catalog/products", json=a_product(title="Another"), headers=operator)
    assert problem(again) == (409, "product-exists")


async def test_a_price_in_another_currency_is_refused(client: httpx.AsyncClient, operator: Headers) -> None:
    price = {"amount": 1, "currency": "USD"}
    response = await client.post("/catalog/products", json=a_product(price=price), headers=operator)
    assert problem(response) == (422, "currency-not-accepted")


async def test_a_change_needs_the_version_it_is_based_on(
    client: httpx.AsyncClient, operator: Headers, app: FastAPI
) -> None:
    await create(client, operator, "BK-1")
    etag = (await client.get("/catalog/products/BK-1")).headers["etag"]
    await adjust(client, operator, "BK-1", 3)  # a delivery or a sale is no conflict with a new title
    patch = {"title": "Emma"}
    assert problem(await client.patch("/catalog/products/BK-1", json=patch, headers=operator)) == (
        428,
        "precondition-required",
    )
    response = await client.patch("/catalog/products/BK-1", json=patch, headers={**operator, "If-Match": etag})
    assert response.status_code == 200
    assert response.json() == {**a_product(title="Emma"), "available": 3, "version": 2, "status": "listed"}
    for stale in (etag, '"7.0"', "nonsense", '"1"'):
        headers = {**operator, "If-Match": stale}
        refused = await client.patch("/catalog/products/BK-1", json={"title": "X"}, headers=headers)
        assert problem(refused) == (412, "precondition-failed"), stale
    weak = {**operator, "If-Match": f'"1.0", W/{response.headers["etag"]}'}
    assert (await client.patch("/catalog/products/BK-1", json=patch, headers=weak)).status_code == 200
    assert [type(event) for event in await published(app.state.runtime, about="BK-1")] == [
        ProductListed,
        StockAdjusted,
        ProductChanged,
    ]


async def test_a_retired_product_is_shown_but_not_listed(
    client: httpx.AsyncClient, operator: Headers, app: FastAPI
) -> None:
    await create(client, operator, "BK-1")
    assert problem(await client.delete("/catalog/products/BK-1", headers=operator)) == (428, "precondition-required")
    any_version = {**operator, "If-Match": "*"}
    for _ in range(2):
        assert (await client.delete("/catalog/products/BK-1", headers=any_version)).status_code == 204
    assert (await client.get("/catalog/products/BK-1")).json()["status"] == "retired"
    assert await skus(client) == []
    assert (await client.get("/catalog/categories")).json() == {"items": []}
    refused = await client.patch("/catalog/products/BK-1", json={"title": "X"}, headers=any_version)
    assert problem(refused) == (409, "product-retired")
    back = await client.patch("/catalog/products/BK-1", json={"status": "listed"}, headers=any_version)
    assert back.json()["version"] == 3
    assert await skus(client) == ["BK-1"]
    kinds = [type(event) for event in await published(app.state.runtime)]
    assert kinds == [ProductListed, ProductRetired, ProductListed]


async def test_stock_goes_in_and_out(client: httpx.AsyncClient, operator: Headers) -> None:
    await create(client, operator, "BK-1")
    response = await adjust(client, operator, "BK-1", 5)
    assert response.json() == {"sku": "BK-1", "on_hand": 5, "reserved": 0, "available": 5, "sold": 0}
    assert problem(await adjust(client, operator, "BK-1", -6)) == (409, "stock-negative")
    assert problem(await adjust(client, operator, "BK-2", 1)) == (404, "not-found")
    assert (await client.get("/catalog/products/BK-1")).json()["available"] == 5


async def test_a_stock_key_is_honoured(client: httpx.AsyncClient, operator: Headers, mint: TokenMint) -> None:
    await create(client, operator, "BK-1")
    await create(client, operator, "BK-2")
    keyed = {**operator, "Idempotency-Key": "demo-stock"}
    first = await adjust(client, keyed, "BK-1", 5)
    again = await adjust(client, keyed, "BK-1", 5)
    assert (again.status_code, again.content) == (first.status_code, first.content)
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert (await client.get("/catalog/products/BK-1")).json()["available"] == 5
    assert problem(await adjust(client, keyed, "BK-1", 6)) == (422, "idempotency-key-reused")
    assert problem(await adjust(client, keyed, "BK-2", 5)) == (422, "idempotency-key-reused")
    somebody_else = {**mint.headers(uuid4(), roles=("operator",)), "Idempotency-Key": "demo-stock"}
    assert (await adjust(client, somebody_else, "BK-1", 5)).json()["on_hand"] == 10
    assert problem(await adjust(client, {**operator, "Idempotency-Key": "\t"}, "BK-1", 5)) == (
        400,
        "idempotency-key-invalid",
    )
    refused = {**operator, "Idempotency-Key": "too-much"}
    assert problem(await adjust(client, refused, "BK-1", -11)) == (409, "stock-negative")
    await adjust(client, operator, "BK-1", 1)
    assert (await adjust(client, refused, "BK-1", -11)).json()["on_hand"] == 0


async def test_filters(client: httpx.AsyncClient, operator: Headers) -> None:
    await create(client, operator, "A", title="Wuthering Heights", author="Emily Brontë", stock=2)
    await create(client, operator, "B", title="100% Emma", price={"amount": 1, "currency": "EUR"})
    await create(client, operator, "C", title="Leaves_of Grass", category="Poetry", stock=1)
    assert await skus(client, q="BRONTE") == ["A"]
    assert await skus(client, q="emily  brontë") == ["A"]
    assert await skus(client, q="bront em") == ["A"]
    assert await skus(client, q="heights emily") == ["A"]  # of title and author, in any order
    assert await skus(client, q="em") == ["B", "A"]
    assert await skus(client, q="100% emma") == ["B"]
    assert await skus(client, q="rontë") == []  # from within a word nothing is found
    assert await skus(client, q="emma heights") == []
    assert await skus(client, q="leaves of") == ["C"]
    assert await skus(client, q="c") == ["C"]  # by its SKU; no word begins with the letter
    for nothing in ("%", "_", "\\", "%%%"):
        assert await skus(client, q=nothing) == [], nothing
    assert await skus(client, q="") == ["B", "C", "A"]
    assert await skus(client, category="Poetry") == ["C"]
    assert await skus(client, category="poetry") == []
    assert await skus(client, in_stock="true") == ["C", "A"]
    assert await skus(client, in_stock="false") == ["B"]
    assert await skus(client, max_price=998) == ["B"]
    assert await skus(client, min_price=2, max_price=999, in_stock="true", category="Fiction", q="heig") == ["A"]
    assert (await client.get("/catalog/categories")).json() == {
        "items": [{"name": "Fiction", "count": 2}, {"name": "Poetry", "count": 1}]
    }


@pytest.mark.parametrize("sort", ["title", "price", "-price", "newest"])
async def test_pages_hold_every_product_once_in_order(client: httpx.AsyncClient, operator: Headers, sort: str) -> None:
    """Equal titles, prices and times: only the SKU tells them apart, across every page border."""
    for number in range(7):
        price = {"amount": 100 + number // 3, "currency": "EUR"}
        await create(client, operator, f"BK-{number}", title=f"Émile {number // 2}", price=price)
    in_one = await skus(client, sort=sort, limit=100)
    assert sorted(in_one) == [f"BK-{number}" for number in range(7)]
    assert in_one == (sorted(in_one, reverse=True) if sort in {"-price", "newest"} else sorted(in_one))
    paged: list[str] = []
    cursor = None
    for _ in range(4):
        query = {"sort": sort, "limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/catalog/products", params=query)).json()
        paged += [item["sku"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert paged == in_one


async def test_a_product_is_found_by_what_it_is_called_now(client: httpx.AsyncClient, operator: Headers) -> None:
    await create(client, operator, "BK-1", title="Emma, or not")
    await client.patch(
        "/catalog/products/BK-1", json={"title": "Not Persuasion"}, headers={**operator, "If-Match": "*"}
    )
    assert await skus(client, q="emma") == []
    assert await skus(client, q="persuasion not austen") == ["BK-1"]
    await client.patch("/catalog/products/BK-1", json={"description": "New."}, headers={**operator, "If-Match": "*"})
    assert await skus(client, q="bk-1") == ["BK-1"]


async def test_a_page_stays_in_place_while_products_come_and_go(client: httpx.AsyncClient, operator: Headers) -> None:
    for title in "BDF":
        await create(client, operator, title, title=title)
    page = (await client.get("/catalog/products", params={"limit": 2})).json()
    await create(client, operator, "A", title="A")
    await client.delete("/catalog/products/D", headers={**operator, "If-Match": "*"})
    await create(client, operator, "E", title="E")
    assert await skus(client, limit=2, cursor=page["next_cursor"]) == ["E", "F"]


async def test_a_cursor_belongs_to_its_sort_and_filters(client: httpx.AsyncClient, operator: Headers) -> None:
    for number in range(3):
        await create(client, operator, f"BK-{number}")
    cursor = (await client.get("/catalog/products", params={"limit": 1})).json()["next_cursor"]
    assert await skus(client, limit=2, cursor=cursor) == ["BK-1", "BK-2"]
    for other in ({"sort": "price"}, {"q": "title"}, {"in_stock": "true"}, {"max_price": "5"}):
        response = await client.get("/catalog/products", params={"cursor": cursor, **other})
        assert problem(response) == (400, "bad-cursor"), other


async def test_unchanged_pages_are_not_sent_again(client: httpx.AsyncClient, operator: Headers) -> None:
    await create(client, operator, "BK-1")
    for path in ("/catalog/products", "/catalog/products/BK-1", "/catalog/categories"):
        first = await client.get(path)
        etag = first.headers["etag"]
        for known in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            unchanged = await client.get(path, headers={"If-None-Match": known})
            assert (unchanged.status_code, unchanged.content) == (304, b"")
            assert unchanged.headers["etag"] == etag
            assert unchanged.headers["cache-control"] == first.headers["cache-control"]
    for path in ("/catalog/products", "/catalog/products/BK-1"):
        etag = (await client.get(path)).headers["etag"]
        await adjust(client, operator, "BK-1", 1)
        changed = await client.get(path, headers={"If-None-Match": etag})
        assert changed.status_code == 200, path


async def test_what_is_shown_is_what_is_described(client: httpx.AsyncClient, operator: Headers) -> None:
    """Bodies are built by hand; the models stand in the API's description."""
    await create(client, operator, "BK-1", title='Émile \U0001f4da "quoted"', description="a\n\tb", stock=3)
    one = (await client.get("/catalog/products/BK-1")).content
    assert ProductView.model_validate_json(one).model_dump_json().encode() == one
    page = (await client.get("/catalog/products")).content
    assert ProductPage.model_validate_json(page).model_dump_json().encode() == page
    described = (await client.get("/openapi.json")).json()["paths"]["/catalog/products/{sku}"]["get"]
    assert described["parameters"][0]["name"] == "sku"
    assert described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/ProductView")
    for sku in ("bk-1", "BK-2", "BK-1%0A", "%00", "A" * 33):
        assert problem(await client.get(f"/catalog/products/{sku}")) == (404, "not-found"), sku


async def test_who_may_do_what(client: httpx.AsyncClient, mint: TokenMint) -> None:
    customer = mint.headers()
    for method, path in (
        ("POST", "/catalog/products"),
        ("PATCH", "/catalog/products/BK-1"),
        ("DELETE", "/catalog/products/BK-1"),
        ("POST", "/catalog/products/BK-1/stock"),
        ("GET", "/catalog/audit"),
    ):
        assert problem(await client.request(method, path, json={})) == (401, "unauthenticated")
        assert problem(await client.request(method, path, json={}, headers=customer)) == (403, "forbidden")
