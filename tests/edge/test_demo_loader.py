"""The demo shelf is sound, and loading it is safe to interrupt and to repeat."""

import re
from collections import Counter

import httpx
import pytest

from ops.demo.books import demo_books
from ops.demo.loader import DemoLoadError, LoadReport, OperatorLogin, Progress, ShopUrls, load_demo_shop
from tests.edge.fake_shop import FakeShop

OPERATOR = OperatorLogin(email="operator@example.org", password="correct horse battery")
URLS = ShopUrls.at_edge("http://shop/")
BOOKS = demo_books()[:12]


@pytest.fixture
def shop() -> FakeShop:
    return FakeShop(users={OPERATOR.email: OPERATOR.password})


async def load(shop: FakeShop, progress: Progress | None = None) -> LoadReport:
    transport = httpx.ASGITransport(app=shop.app())
    return await load_demo_shop(URLS, OPERATOR, BOOKS, transport=transport, progress=progress)


def test_the_shelf_is_worth_browsing() -> None:
    books = demo_books()
    assert len(books) >= 130
    assert len({book.sku for book in books}) == len({(book.title, book.author) for book in books}) == len(books)
    assert min(Counter(book.category for book in books).values()) >= 5
    assert sum(book.stock == 0 for book in books) == 2
    assert sum(1 <= book.stock <= 3 for book in books) >= 3
    assert {book.price.currency for book in books} == {"EUR"}
    assert all(300 <= book.price.amount <= 5000 for book in books)
    sentences = [len(re.findall(r"[.!?](?=\s|$)", book.description)) for book in books]
    assert all(1 <= count <= 3 for count in sentences)


async def test_loading_lists_every_book_with_its_copies(shop: FakeShop) -> None:
    seen: list[int] = []
    report = await load(shop, progress=lambda report, total: seen.append(report.done * 100 // total))
    assert (report.created, report.failures) == (len(BOOKS), [])
    assert {sku: product["available"] for sku, product in shop.products.items()} == {b.sku: b.stock for b in BOOKS}
    assert seen[-1] == 100


async def test_loading_again_changes_nothing(shop: FakeShop) -> None:
    await load(shop)
    shop.products[BOOKS[0].sku]["available"] = 4
    report = await load(shop)
    assert (report.created, report.completed, report.already_there) == (0, 0, len(BOOKS))
    assert shop.products[BOOKS[0].sku]["available"] == 4
    assert shop.products[BOOKS[1].sku]["available"] == BOOKS[1].stock


async def test_a_run_that_died_before_the_copies_is_completed(shop: FakeShop) -> None:
    await load(shop)
    shop.products[BOOKS[0].sku]["available"] = 0
    del shop.kept[f"demo-stock-{BOOKS[0].sku}"]
    report = await load(shop)
    assert report.completed == 1
    assert shop.products[BOOKS[0].sku]["available"] == BOOKS[0].stock


async def test_a_sold_out_book_is_not_filled_up_again(shop: FakeShop) -> None:
    await load(shop)
    shop.products[BOOKS[0].sku]["available"] = 0
    await load(shop)
    assert shop.products[BOOKS[0].sku]["available"] == 0


async def test_lost_answers_add_no_copies_twice(shop: FakeShop) -> None:
    shop.lose_answers = 3
    report = await load(shop)
    assert report.failures == []
    assert {sku: product["available"] for sku, product in shop.products.items()} == {b.sku: b.stock for b in BOOKS}


async def test_a_book_that_fails_is_named_and_the_others_are_loaded(shop: FakeShop) -> None:
    def explode(request: httpx.Request) -> httpx.Response:
        if b"BK-0003" in request.content:
            errors = [{"pointer": "/title", "message": "is too long"}]
            return httpx.Response(422, json={"title": "Validation failed", "errors": errors})
        return httpx.Response(201, json={})

    report = await load_demo_shop(URLS, "a token", BOOKS, transport=httpx.MockTransport(explode))
    assert report.created == len(BOOKS) - 1
    [line] = report.failures
    assert line.startswith("BK-0003 ")
    assert "POST /catalog/products answered 422 (Validation failed; /title is too long)" in line


async def test_a_wrong_password_is_said_in_words(shop: FakeShop) -> None:
    shop.users[OPERATOR.email] = "another one entirely"
    with pytest.raises(DemoLoadError, match=r"operator@example\.org could not log in: POST /auth/login answered 401"):
        await load(shop)
