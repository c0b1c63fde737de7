"""The audit finds what does not add up, by its ids, and nothing in a shop that does."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import pytest

from contracts.registry import SERVICES
from ops.audit import BrokerFigures, Check, Finding, Kind, look
from ops.audit.messages import CHANNELS
from tests.ops.audited import (
    NOW,
    ORDER,
    PAYMENT,
    SKU,
    USER,
    AuditedShop,
    Message,
    a_reservation,
    an_id,
    an_order,
    seconds_ago,
    some_money,
)

OTHER: Final = an_id(7)
PLACED: Final = "order.placed.v1"
OLD: Final = 3 * 3600

Bend = Callable[[AuditedShop], Any]


async def one(shop: AuditedShop, kind: Kind = Kind.BREACH) -> Finding:
    [finding] = (await look(shop)).of(kind)
    return finding


async def test_a_sound_shop_has_no_breach_and_nothing_moving() -> None:
    found = await look(AuditedShop())
    assert found.findings == ()
    assert found.compared[Check.ORDERS] == 1
    assert found.compared[Check.MESSAGES] > 20
    assert Check.PROVIDER not in found.compared


def test_every_reader_of_every_event_is_compared() -> None:
    """auth_svc's events have readers, too."""
    assert {(c.reader, c.wire_name) for c in CHANNELS} == {
        (reader, event.wire_name) for reader, contract in SERVICES.items() for event in contract.reads
    }
    assert {c.producer for c in CHANNELS} == set(SERVICES)


@pytest.mark.parametrize(
    ("bend", "check", "accused", "said"),
    [
        (lambda s: s.orders[0].update(flaws=["its timeline is not 1 to 7"]), Check.ORDERS, ORDER, "not 1 to 7"),
        (lambda s: s.orders[0].update(deadline_at=seconds_ago(-60)), Check.DEADLINES, ORDER, "still has a deadline"),
        (lambda s: s.summaries["catalog"]["stock"][0].update(available=9), Check.STOCK, SKU, "received 10 is not"),
        (lambda s: s.summaries["catalog"]["stock"][0].update(balanced=False), Check.STOCK, SKU, "stock ledger"),
        (lambda s: s.summaries["catalog"]["ledger_orders_unknown"].append(OTHER), Check.STOCK, OTHER, "no reservation"),
        (lambda s: s.reservations[0].update(state="held"), Check.RESERVATIONS, ORDER, "is paid, but stock is held"),
        (lambda s: s.reservations[0].update(ledger=["X: 1"]), Check.RESERVATIONS, ORDER, "X: 1"),
        (lambda s: s.reservations[0]["lines"][0].update(quantity=1), Check.RESERVATIONS, ORDER, "other lines"),
        (lambda s: s.reservations.append(a_reservation(OTHER)), Check.RESERVATIONS, OTHER, "nobody placed it"),
        (lambda s: s.reservations.clear(), Check.RESERVATIONS, ORDER, "no stock is committed"),
        (
            lambda s: s.money.append(some_money(OTHER, captured=0, payments=[])),
            Check.MONEY,
            OTHER,
            "order_svc does not",
        ),
        (lambda s: s.money[0].update(captures=2), Check.MONEY, PAYMENT, "captured 2 times"),
        (lambda s: s.money[0].update(held=2000), Check.MONEY, ORDER, "still authorised"),
        (lambda s: s.money[0].update(requested=1999), Check.MONEY, ORDER, "1999 EUR was asked for"),
        (
            lambda s: s.money[0]["payments"][0].update(ledger=["held 1, in the ledger 0"]),
            Check.LEDGER,
            PAYMENT,
            "held 1",
        ),
        (lambda s: s.summaries["payment"]["breaches"].append("books differ"), Check.LEDGER, None, "books differ"),
        (lambda s: s.keys["order"].clear(), Check.KEYS, ORDER, "without a key"),
        (lambda s: s.keys["payment"].clear(), Check.KEYS, PAYMENT, "without a key"),
        (lambda s: s.keys["order"].append({**s.keys["order"][0], "made": OTHER}), Check.KEYS, OTHER, "does not exist"),
        (lambda s: s.keys["order"].append(s.keys["order"][0]), Check.KEYS, ORDER, "under 2 keys"),
        (lambda s: s.keys["order"].append({**s.keys["order"][0], "made": None}), Check.KEYS, None, "name no order"),
        (lambda s: s.users.clear(), Check.IDENTITY, USER, "never had such an account"),
        (lambda s: s.summaries["auth"]["live_token_astray"].append(OTHER), Check.IDENTITY, OTHER, "never issued"),
        (lambda s: s.summaries["auth"]["open_of_closed_account"].append(OTHER), Check.IDENTITY, OTHER, "closed"),
        (lambda s: s.summaries["auth"]["revoked_untold"].append(OTHER), Check.IDENTITY, OTHER, "no event says so"),
    ],
)
async def test_every_breach_is_found(bend: Bend, check: Check, accused: str | None, said: str) -> None:
    shop = AuditedShop()
    bend(shop)
    found = await one(shop)
    assert found.check is check
    assert said in found.text
    assert accused is None or accused in found.ids


@pytest.mark.parametrize(
    ("status", "said"),
    [("cancelled", "2000 was kept"), ("refunded", "2000 was kept"), ("awaiting_payment", "2000 was kept")],
)
async def test_money_is_kept_for_paid_orders_only(status: str, said: str) -> None:
    shop = AuditedShop(orders=[an_order(status=status)])
    assert any(said in finding.text for finding in (await look(shop)).of(Kind.BREACH))


async def test_books_that_differ_show_per_order_and_in_the_sum() -> None:
    shop = AuditedShop(money=[some_money(captured=1999)])
    said = [finding.text for finding in (await look(shop)).of(Kind.BREACH)]
    assert any("has 1999 captured and 0 refunded in payment_svc, 2000 and 0 in order_svc" in text for text in said)
    assert any("1999 of 2000 was captured" in text for text in said)
    assert "Σ captured EUR: 2000 in order_svc, 1999 in payment_svc, 2000 in the ledger" in said


async def test_goods_of_a_refunded_order_may_stay_sold() -> None:
    ledger = {"EUR": {"provider_balance": 0, "sales": -2000, "refunds": 2000}}
    shop = AuditedShop(orders=[an_order(status="refunded", refunded=2000)], money=[some_money(refunded=2000)])
    shop.summaries["payment"]["ledger"] = ledger
    assert (await look(shop)).findings == ()


class TestMessages:
    async def test_lost(self) -> None:
        shop = AuditedShop()
        lost = shop.received["catalog", PLACED].pop()
        found = await one(shop)
        assert (found.check, found.ids) == (Check.MESSAGES, (lost.id, ORDER))
        assert "never handled by catalog" in found.text

    async def test_from_nowhere(self) -> None:
        shop = AuditedShop()
        shop.received["catalog", PLACED].append(Message(OTHER))
        found = await one(shop)
        assert (found.check, found.ids) == (Check.MESSAGES, (OTHER,))
        assert "order never sent it" in found.text

    async def test_as_many_but_others(self) -> None:
        """Counts would say that all is well."""
        shop = AuditedShop()
        lost = shop.received["catalog", PLACED].pop()
        shop.received["catalog", PLACED].append(Message(OTHER))
        assert {finding.ids[0] for finding in (await look(shop)).of(Kind.BREACH)} == {lost.id, OTHER}

    async def test_a_dead_letter_is_worth_knowing(self) -> None:
        shop = AuditedShop()
        dead = shop.received["catalog", PLACED].pop()
        shop.queues = BrokerFigures(
            waiting={},
            dead={"catalog": 1},
            consumers={"catalog": 1, "order": 1, "payment": 1},
            dead_ids={"catalog": frozenset({dead.id})},
        )
        found = await look(shop)
        assert found.of(Kind.BREACH) == []
        assert [finding.check for finding in found.of(Kind.NOTE)] == [Check.MESSAGES, Check.BROKER]
        assert all(dead.id in finding.ids for finding in found.of(Kind.NOTE))

    async def test_a_letter_thrown_away_is_worth_knowing(self) -> None:
        shop = AuditedShop()
        thrown_away = shop.received["catalog", PLACED].pop()
        shop.summaries["catalog"]["discarded"] = {PLACED: [thrown_away.id]}
        found = await look(shop)
        assert found.of(Kind.BREACH) == []
        assert [finding.ids for finding in found.of(Kind.NOTE)] == [(thrown_away.id, ORDER)]

    @pytest.mark.parametrize(
        ("queues", "age", "kind"),
        [
            (None, 600, Kind.MOVING),
            (None, OLD, Kind.BREACH),
            ({"waiting": {"catalog.inbox": 1}}, 600, Kind.MOVING),
            ({"waiting": {"catalog.inbox": 1}}, OLD, Kind.BREACH),
            ({"stale_seconds": 10}, 5, Kind.MOVING),
            ({"stale_seconds": 10}, 30, Kind.BREACH),
        ],
    )
    async def test_how_long_one_may_be_on_its_way(self, queues: dict[str, Any] | None, age: int, kind: Kind) -> None:
        """While queues hold something, or nobody can see them: as long as retries take. Else as old as the counts."""
        shop = AuditedShop()
        on_its_way = Message(OTHER, seconds_ago(age))
        shop.sent["order", PLACED].append(on_its_way)
        empty: dict[str, Any] = {"waiting": {}, "dead": {}, "consumers": {"catalog": 1, "order": 1, "payment": 1}}
        shop.queues = None if queues is None else BrokerFigures(**{**empty, **queues})
        [found] = [finding for finding in (await look(shop)).findings if finding.check is Check.MESSAGES]
        assert (found.kind, found.seconds) == (kind, age)

    async def test_an_unconfirmed_event_may_have_been_handled(self) -> None:
        """The broker took it and its confirm was lost: it goes out again, and that is no event from nowhere."""
        shop = AuditedShop()
        message = shop.sent["order", PLACED][0]
        shop.sent["order", PLACED] = [replace(message, state="waiting")]
        assert (await look(shop)).of(Kind.BREACH) == []

    async def test_only_what_every_outbox_still_has_is_compared(self) -> None:
        """Sent rows go after a week, inbox ids after a month."""
        shop = AuditedShop()
        old = an_id(5, NOW - timedelta(days=8))
        shop.received["catalog", PLACED].append(Message(old))
        found = await look(shop)
        assert found.findings == ()
        assert timedelta(days=6, hours=22) <= NOW - found.messages_since < timedelta(days=7)

    async def test_an_inbox_nobody_reads(self) -> None:
        shop = AuditedShop()
        shop.queues = BrokerFigures(waiting={}, dead={}, consumers={"catalog": 1, "payment": 1})
        found = await one(shop)
        assert (found.check, found.ids) == (Check.BROKER, ("order.inbox",))


class TestUnderWay:
    def waiting(self, shop: AuditedShop, age: int, **differences: Any) -> None:
        row = {"id": OTHER, "type": PLACED, "about": ORDER, "at": seconds_ago(age), "attempts": 1, "parked": False}
        outbox = shop.summaries["order"]["outbox"]
        outbox["rows"].append(row | {"last_error": None} | differences)
        outbox["pending"] += 1

    async def test_an_event_about_to_be_sent(self) -> None:
        shop = AuditedShop()
        self.waiting(shop, 5)
        found = await one(shop, Kind.MOVING)
        assert (found.check, found.ids, found.seconds) == (Check.OUTBOX, (OTHER, ORDER), 5)

    async def test_an_event_that_does_not_leave(self) -> None:
        shop = AuditedShop()
        self.waiting(shop, 61)
        assert "stuck in the outbox" in (await one(shop)).text

    async def test_a_parked_event(self) -> None:
        shop = AuditedShop()
        self.waiting(shop, 5, parked=True, last_error="refused")
        assert "parked in the outbox: refused" in (await one(shop)).text

    async def test_a_difference_about_an_order_with_an_event_on_its_way_is_no_breach(self) -> None:
        shop = AuditedShop(orders=[an_order(captured=0, status="awaiting_payment")])
        assert (await look(shop)).of(Kind.BREACH) != []
        self.waiting(shop, 5)
        found = await look(shop)
        assert found.of(Kind.BREACH) == []
        assert {finding.check for finding in found.of(Kind.MOVING)} >= {Check.OUTBOX, Check.MONEY, Check.RESERVATIONS}

    async def test_what_one_service_says_against_itself_is_one_whatever_moves(self) -> None:
        shop = AuditedShop(orders=[an_order(flaws=["its total is no sum"])])
        self.waiting(shop, 5)
        assert (await one(shop)).check is Check.ORDERS

    async def test_a_backlog_too_long_to_list_explains_every_difference(self) -> None:
        shop = AuditedShop(orders=[an_order(captured=0)])
        shop.summaries["order"]["outbox"]["pending"] = 5000
        assert (await look(shop)).of(Kind.BREACH) == []

    @pytest.mark.parametrize(("age", "kind"), [(30, Kind.MOVING), (700, Kind.BREACH)])
    async def test_a_call_to_the_provider(self, age: int, kind: Kind) -> None:
        shop = AuditedShop()
        operation = {"id": f"pay:{PAYMENT}:capture", "order_id": ORDER, "payment_id": PAYMENT}
        shop.summaries["payment"]["operations_pending"] = [operation | {"created_at": seconds_ago(age)}]
        found = await one(shop, kind)
        assert (found.check, found.ids, found.seconds) == (Check.OPERATIONS, (ORDER, PAYMENT), age)

    @pytest.mark.parametrize(
        ("differences", "kind"),
        [
            ({"status": "pending", "deadline_at": seconds_ago(-60)}, Kind.MOVING),
            ({"status": "pending", "deadline_at": seconds_ago(29), "moved_at": seconds_ago(600)}, Kind.MOVING),
            ({"status": "pending", "deadline_at": seconds_ago(31)}, Kind.BREACH),
            ({"status": "awaiting_payment", "deadline_at": seconds_ago(31)}, Kind.BREACH),
            ({"status": "confirmed", "moved_at": seconds_ago(60)}, Kind.MOVING),
            ({"status": "confirmed", "moved_at": seconds_ago(OLD)}, Kind.BREACH),
            ({"status": "refunding", "moved_at": seconds_ago(OLD)}, Kind.BREACH),
        ],
    )
    async def test_how_long_an_order_may_be_open(self, differences: dict[str, Any], kind: Kind) -> None:
        found = await look(AuditedShop(orders=[an_order(**differences)]))
        [deadline] = [finding for finding in found.findings if finding.check is Check.DEADLINES]
        assert (deadline.kind, deadline.ids) == (kind, (ORDER,))


class TestProvider:
    """Its own books, if payment_svc can show them."""

    def charge(self, **differences: Any) -> dict[str, Any]:
        charge = {"payment_id": PAYMENT, "reference": "pi_1", "captured": 2000, "refunded": 0, "captures": 1}
        return charge | differences

    async def test_equal(self) -> None:
        found = await look(AuditedShop(charges=[self.charge()]))
        assert (found.findings, found.compared[Check.PROVIDER]) == ((), 1)

    @pytest.mark.parametrize(
        ("charges", "accused", "said"),
        [
            ([{}], PAYMENT, "0 and 0 at the provider"),
            ([{"captured": 1999}], PAYMENT, "1999 and 0 at the provider"),
            ([{"captures": 2}], PAYMENT, "captured 2 times at the provider"),
            ([{"captured": 2000}, {"payment_id": OTHER}], OTHER, "payment_svc does not know it"),
            ([{"captured": 2000}, {"payment_id": None, "reference": "pi_2"}], "pi_2", "payment_svc does not know it"),
        ],
    )
    async def test_different(self, charges: list[dict[str, Any]], accused: str, said: str) -> None:
        rows = [self.charge(**differences) for differences in charges if differences]
        found = await one(AuditedShop(charges=rows))
        assert (found.check, accused in found.ids) == (Check.PROVIDER, True)
        assert said in found.text

    async def test_two_references_of_one_payment_are_what_they_took_together(self) -> None:
        let_go = self.charge(reference="pi_0", captured=0, refunded=0, captures=0)
        assert (await look(AuditedShop(charges=[self.charge(), let_go]))).findings == ()

    async def test_in_pages(self) -> None:
        nothing_taken = [self.charge(payment_id=an_id(n), captured=0, captures=0) for n in range(30, 34)]
        shop = AuditedShop(charges=[*nothing_taken, self.charge()], page=2)
        assert (await look(shop)).findings == ()

    async def test_books_with_gaps_prove_nothing(self) -> None:
        """The simulated provider forgets with its process."""
        found = await look(AuditedShop(charges=[], provider_remembers=False))
        assert (found.findings, Check.PROVIDER in found.compared) == ((), False)

    @pytest.mark.parametrize(("state", "kind"), [("open", Kind.BREACH), ("suspected", Kind.NOTE)])
    async def test_what_payment_svc_found_itself(self, state: str, kind: Kind) -> None:
        row = {"reference": "pi_1", "difference": "held", "state": state, "payment_id": PAYMENT, "order_id": ORDER}
        shop = AuditedShop(charges=[self.charge()], discrepancies=[row | {"detail": "held here, not there"}])
        assert (await one(shop, kind)).ids == (ORDER, PAYMENT, "pi_1")
