"""How the audit looks: again before it accuses, in pages, at ids only where sets differ; and what it says."""

import io
import json

import pytest
from rich.console import Console

from contracts.registry import SERVICES
from ops.audit import ABOUT, LOOKS, Check, Report, audit
from ops.cli.audit import MAX_SHOWN, show
from ops.console import ShopConsole
from tests.ops.audited import (
    NOW,
    AuditedShop,
    Message,
    a_reservation,
    an_id,
    an_order,
    seconds_ago,
    some_money,
)


async def looked(shop: AuditedShop, *, wait: float = 0.0) -> Report:
    return await audit(shop, wait=wait, pause=0)


async def test_a_sound_shop_is_looked_at_once() -> None:
    shop = AuditedShop()
    report = await looked(shop)
    assert (report.result, report.looks, shop.looks) == ("sound", 1, 1)


async def test_a_breach_is_one_if_it_is_seen_each_time() -> None:
    shop = AuditedShop(users=[])
    report = await looked(shop)
    assert (report.result, report.looks) == ("breach", LOOKS)
    assert [finding.check for finding in report.breaches] == [Check.IDENTITY]


async def test_what_is_gone_at_the_second_look_was_none() -> None:
    shop = AuditedShop(users=[])

    def registered(number: int) -> None:
        if number == 2:
            shop.users.append(an_order()["user_id"])

    shop.before_look = registered
    report = await looked(shop)
    assert (report.result, report.looks) == ("sound", 2)


async def test_another_breach_at_every_look_is_none() -> None:
    """A shop at work: some order is always between two states, never the same one twice."""
    shop = AuditedShop()

    def sold_one_more(number: int) -> None:
        for order in shop.orders:
            order["captured"] = 2000
        add_a_sale(shop, an_id(number + 50), an_id(number + 60))
        shop.orders[-1]["captured"] = 0

    shop.before_look = sold_one_more
    report = await looked(shop)
    assert (report.result, report.looks) == ("sound", 2)


async def test_it_waits_for_rest() -> None:
    shop = AuditedShop(orders=[an_order(status="confirmed", moved_at=seconds_ago(1))])

    def paid(number: int) -> None:
        if number == 2:
            shop.orders = [an_order()]

    shop.before_look = paid
    assert (await looked(shop, wait=10)).result == "sound"
    assert shop.looks == 2


def add_a_sale(shop: AuditedShop, order_id: str, payment_id: str) -> None:
    """Another paid order, in everybody's books."""
    shop.orders.append(an_order(order_id))
    shop.reservations.append(a_reservation(order_id))
    shop.money.append(some_money(order_id, payment_id))
    shop.keys["order"].append({"at": seconds_ago(3600), "route": "POST /orders", "made": order_id})
    shop.keys["payment"].append({"at": seconds_ago(3600), "route": "POST /payments", "made": payment_id})
    shelf, ledger = shop.summaries["catalog"]["stock"][0], shop.summaries["payment"]["ledger"]["EUR"]
    shelf["available"], shelf["sold"] = shelf["available"] - 2, shelf["sold"] + 2
    ledger["provider_balance"], ledger["sales"] = ledger["provider_balance"] + 2000, ledger["sales"] - 2000


@pytest.fixture(params=[1, 2, 3, 4, 1000])
def many(request: pytest.FixtureRequest) -> AuditedShop:
    """Three orders, so many to a page."""
    shop = AuditedShop(page=request.param)
    add_a_sale(shop, an_id(10), an_id(20))
    add_a_sale(shop, an_id(11), an_id(21))
    return shop


async def test_pages_are_one_list(many: AuditedShop) -> None:
    report = await looked(many)
    assert report.result == "sound"
    assert report.look.compared[Check.ORDERS] == report.look.compared[Check.RESERVATIONS] == 3


@pytest.mark.parametrize("number", [0, 1, 2])
async def test_a_breach_is_found_on_any_page(many: AuditedShop, number: int) -> None:
    order_id = many.reservations.pop(number)["order_id"]
    assert [finding.ids for finding in (await looked(many)).breaches] == [(order_id,)]


async def test_what_only_another_service_knows_is_found_beyond_the_last_order(many: AuditedShop) -> None:
    many.reservations.append(a_reservation(an_id(99)))
    assert [finding.ids for finding in (await looked(many)).breaches] == [(an_id(99),)]


async def test_ids_are_asked_for_only_where_sets_differ() -> None:
    shop = AuditedShop()
    await looked(shop)
    assert not any("/messages/" in path for path in shop.asked)
    lost = Message(an_id(7))
    shop.sent["order", "order.placed.v1"].append(lost)
    await looked(shop)
    asked = {path for path in shop.asked if "/messages/" in path}
    assert {path.partition("?")[0] for path in asked} == {
        "/orders/audit/messages/sent",
        "/catalog/audit/messages/received",
    }
    assert all("type=order.placed.v1" in path for path in asked)


async def test_the_document_for_scripts() -> None:
    """Its shape is stable: a script may read it."""
    shop = AuditedShop(users=[])
    document = json.loads(json.dumps((await looked(shop)).to_json()))
    assert set(document) == {"result", "at", "looks", "window", "checks", "breaches", "moving", "notes"}
    assert (document["result"], document["at"], document["looks"]) == ("breach", NOW.isoformat(), LOOKS)
    assert set(document["window"]) == {"messages_since", "keys_since"}
    results = {row["check"]: row["result"] for row in document["checks"]}
    assert list(results) == [check.value for check in Check]
    unseen = dict.fromkeys(("provider", "projections"), "not looked at")
    assert results == dict.fromkeys(results, "sound") | {"identity": "breach"} | unseen
    [breach] = document["breaches"]
    assert set(breach) == {"check", "text", "ids", "seconds"}
    assert breach["ids"] == [an_order()["id"], an_order()["user_id"]]


async def shown(shop: AuditedShop) -> str:
    out = io.StringIO()
    show(await looked(shop), ShopConsole(Console(file=out, width=160, no_color=True)))
    return out.getvalue()


async def test_the_table_for_people() -> None:
    text = await shown(AuditedShop())
    assert all(check.value in text and ABOUT[check] in text for check in Check)
    assert "not looked at" in text
    assert "✓ stock, money and messages add up" in text


async def test_a_long_list_is_cut_for_people() -> None:
    shop = AuditedShop()
    shop.summaries["auth"]["revoked_untold"] = [an_id(number) for number in range(MAX_SHOWN + 5)]
    text = await shown(shop)
    assert text.count("was revoked, and no event says so") == MAX_SHOWN
    assert "and 5 more" in text
    assert f"{MAX_SHOWN + 5} breaches" in text


async def test_without_a_broker_to_ask_it_says_so() -> None:
    shop = AuditedShop(queues=None)
    report = await looked(shop)
    assert report.sound
    assert report.result_of(Check.BROKER) == "not looked at"
    assert set(SERVICES) == set(shop.summaries)
