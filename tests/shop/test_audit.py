"""The audit of a real shop: whatever is done to its stores, it names exactly that, and accuses nobody else."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from auth_svc.settings import AuthSettings
from auth_svc.store import refresh_tokens, sessions, users
from catalog_svc.tables import reservations, stock_ledger
from contracts.registry import SERVICES
from ops.audit import Check, Finding, Kind, audit, look
from ops.audit.source import path_of, rows
from order_svc.store import orders, timeline
from payment_svc.tables import ledger, operations, payments
from tests.shop.shop import Shop, Visitor
from tests.shop.tampering import Vandal, put_right_afterwards, remove_guards

FAR: Final = datetime(2099, 1, 1, tzinfo=UTC)
LONG_AGO: Final = timedelta(hours=2)


@dataclass(frozen=True)
class Sold:
    """What the shop did before it was tampered with: a paid order and a cancelled one."""

    paid: str
    cancelled: str
    payment: str


Accused = set[tuple[Check, str]]
"""Each breach as its check and one of its ids."""
Tamper = Callable[[Vandal, Sold], Awaitable[Accused]]


async def an_inbox_forgot(vandal: Vandal, sold: Sold) -> Accused:
    event_id = await vandal.event("order", "order.placed.v1", sold.paid)
    inbox = vandal.tables("catalog").inbox
    await vandal.execute("catalog", inbox.delete().where(inbox.c.event_id == event_id))
    return {(Check.MESSAGES, str(event_id))}


async def an_inbox_has_another(vandal: Vandal, sold: Sold) -> Accused:
    """As many ids as were sent, of the same minute: only the set is another."""
    event_id = await vandal.event("order", "order.placed.v1", sold.paid)
    another = UUID(int=event_id.int ^ 1)
    inbox = vandal.tables("catalog").inbox
    await vandal.execute("catalog", inbox.update().where(inbox.c.event_id == event_id).values(event_id=another))
    return {(Check.MESSAGES, str(event_id)), (Check.MESSAGES, str(another))}


async def an_outbox_forgot(vandal: Vandal, sold: Sold) -> Accused:
    """Its readers handled what nobody sent, and the order has a version without an event."""
    event_id = await vandal.event("order", "order.confirmed.v1", sold.paid)
    outbox = vandal.tables("order").outbox
    await vandal.execute("order", outbox.delete().where(outbox.c.event_id == event_id))
    return {(Check.MESSAGES, str(event_id)), (Check.ORDERS, sold.paid)}


async def an_event_from_nowhere(vandal: Vandal, sold: Sold) -> Accused:
    """Its id is no UUIDv7, so it tells no time; it is found all the same."""
    event_id = UUID("ffffffff-ffff-4fff-8fff-ffffffffffff")
    row = {"event_id": event_id, "type": "order.placed.v1", "handled_at": datetime.now(UTC)}
    await vandal.execute("catalog", vandal.tables("catalog").inbox.insert().values(row))
    return {(Check.MESSAGES, str(event_id))}


async def an_event_of_a_key_is_lost(vandal: Vandal, sold: Sold) -> Accused:
    """auth_svc's events have readers like all others."""
    inbox = vandal.tables("payment").inbox
    row = await vandal.row("payment", inbox, inbox.c.type == "signing_key.published.v1")
    await vandal.execute("payment", inbox.delete().where(inbox.c.event_id == row["event_id"]))
    return {(Check.MESSAGES, str(row["event_id"]))}


async def an_event_is_stuck(vandal: Vandal, sold: Sold) -> Accused:
    """The broker took it without our knowing: its readers have handled it, which is no event from nowhere."""
    event_id = await vandal.event("order", "order.confirmed.v1", sold.paid)
    outbox = vandal.tables("order").outbox
    stuck = {"published_at": None, "available_at": FAR, "created_at": datetime.now(UTC) - LONG_AGO}
    await vandal.execute("order", outbox.update().where(outbox.c.event_id == event_id).values(stuck))
    return {(Check.OUTBOX, str(event_id))}


async def an_event_is_parked(vandal: Vandal, sold: Sold) -> Accused:
    event_id = await vandal.event("order", "order.paid.v1", sold.paid)
    outbox = vandal.tables("order").outbox
    parked = {"published_at": None, "parked_at": datetime.now(UTC), "last_error": "the queue is full"}
    await vandal.execute("order", outbox.update().where(outbox.c.event_id == event_id).values(parked))
    return {(Check.OUTBOX, str(event_id))}


async def a_hole_in_a_timeline(vandal: Vandal, sold: Sold) -> Accused:
    hole = timeline.c.order_id == UUID(sold.paid)
    await vandal.execute("order", timeline.delete().where(hole, timeline.c.seq == 2))
    return {(Check.ORDERS, sold.paid)}


async def a_status_nobody_decided(vandal: Vandal, sold: Sold) -> Accused:
    await vandal.execute("order", orders.update().where(orders.c.id == UUID(sold.paid)).values(status="fulfilled"))
    return {(Check.ORDERS, sold.paid)}


async def a_total_that_is_no_sum(vandal: Vandal, sold: Sold) -> Accused:
    """And not what the customer was asked for."""
    cancelled = orders.c.id == UUID(sold.cancelled)
    await vandal.execute("order", orders.update().where(cancelled).values(total_amount=orders.c.total_amount + 1))
    return {(Check.ORDERS, sold.cancelled), (Check.MONEY, sold.cancelled)}


async def a_deadline_nobody_needs(vandal: Vandal, sold: Sold) -> Accused:
    await vandal.execute("order", orders.update().where(orders.c.id == UUID(sold.paid)).values(deadline_at=FAR))
    return {(Check.DEADLINES, sold.paid)}


async def stock_for_nobody(vandal: Vandal, sold: Sold) -> Accused:
    """Held for an order that was never placed; and nothing was taken from the shelf for it."""
    order_id = uuid4()
    row = await vandal.row("catalog", reservations, reservations.c.order_id == UUID(sold.paid))
    row |= {"order_id": order_id, "state": "held", "expires_at": FAR}
    await vandal.execute("catalog", reservations.insert().values(row))
    return {(Check.RESERVATIONS, str(order_id))}


async def stock_for_a_cancelled_order(vandal: Vandal, sold: Sold) -> Accused:
    cancelled = reservations.c.order_id == UUID(sold.cancelled)
    await vandal.execute("catalog", reservations.update().where(cancelled).values(state="held", expires_at=FAR))
    return {(Check.RESERVATIONS, sold.cancelled)}


async def a_movement_is_missing(vandal: Vandal, sold: Sold) -> Accused:
    sale = stock_ledger.c.order_id == UUID(sold.paid)
    await vandal.execute("catalog", stock_ledger.delete().where(sale, stock_ledger.c.kind == "sell"))
    return {(Check.STOCK, "MOBY"), (Check.RESERVATIONS, sold.paid)}


async def a_movement_for_nobody(vandal: Vandal, sold: Sold) -> Accused:
    order_id = uuid4()
    sale = stock_ledger.c.order_id == UUID(sold.paid)
    await vandal.execute("catalog", stock_ledger.update().where(sale).values(order_id=order_id))
    return {(Check.STOCK, str(order_id)), (Check.RESERVATIONS, sold.paid)}


async def money_was_taken_twice(vandal: Vandal, sold: Sold) -> Accused:
    """The second payment has no posting and no key, either."""
    row = await vandal.row("payment", payments, payments.c.id == UUID(sold.payment))
    second = row | {"id": uuid4()}
    await vandal.execute("payment", payments.insert().values(second))
    return {(Check.MONEY, sold.paid), (Check.LEDGER, ""), (Check.LEDGER, sold.paid), (Check.KEYS, str(second["id"]))}


async def a_posting_is_missing(vandal: Vandal, sold: Sold) -> Accused:
    posting = ledger.c.fact == f"payment:{sold.payment}:captured"
    await vandal.execute("payment", ledger.delete().where(posting))
    return {(Check.LEDGER, ""), (Check.LEDGER, sold.paid), (Check.MONEY, "")}


async def the_provider_never_answers(vandal: Vandal, sold: Sold) -> Accused:
    pending = {"state": "pending", "done_at": None, "next_at": FAR, "created_at": datetime.now(UTC) - LONG_AGO}
    one = operations.c.id == f"pay:{sold.payment}:capture"
    await vandal.execute("payment", operations.update().where(one).values(pending))
    return {(Check.OPERATIONS, sold.paid)}


async def an_order_without_a_key(vandal: Vandal, sold: Sold) -> Accused:
    keys = vandal.tables("order").idempotency
    await vandal.execute("order", keys.delete().where(keys.c.body.contains(sold.paid)))
    return {(Check.KEYS, sold.paid)}


async def an_order_is_gone(vandal: Vandal, sold: Sold) -> Accused:
    """Everybody else still knows it."""
    await vandal.execute("order", orders.delete().where(orders.c.id == UUID(sold.paid)))
    return {(check, sold.paid) for check in (Check.KEYS, Check.RESERVATIONS, Check.MONEY)} | {(Check.MONEY, "")}


async def a_stranger_ordered(vandal: Vandal, sold: Sold) -> Accused:
    await vandal.execute("order", orders.update().where(orders.c.id == UUID(sold.paid)).values(user_id=uuid4()))
    return {(Check.IDENTITY, sold.paid)}


async def a_token_nobody_issued(vandal: Vandal, sold: Sold) -> Accused:
    row = await vandal.row("auth", sessions)
    await vandal.execute("auth", sessions.update().where(sessions.c.id == row["id"]).values(current_hash="f" * 64))
    return {(Check.IDENTITY, str(row["id"]))}


async def a_session_of_two(vandal: Vandal, sold: Sold) -> Accused:
    """Its token belongs to another session: two live tokens in one family."""
    row = await vandal.row("auth", sessions)
    other = await vandal.row("auth", sessions, sessions.c.id != row["id"])
    token = refresh_tokens.c.hash == row["current_hash"]
    await vandal.execute("auth", refresh_tokens.update().where(token).values(session_id=other["id"]))
    return {(Check.IDENTITY, str(row["id"]))}


async def an_account_is_closed_and_its_session_is_not(vandal: Vandal, sold: Sold) -> Accused:
    row = await vandal.row("auth", sessions, sessions.c.user_id != await _operator(vandal))
    await vandal.execute("auth", users.update().where(users.c.id == row["user_id"]).values(status="disabled"))
    return {(Check.IDENTITY, str(row["id"]))}


async def a_revocation_nobody_was_told(vandal: Vandal, sold: Sold) -> Accused:
    row = await vandal.row("auth", sessions, sessions.c.user_id != await _operator(vandal))
    now = datetime.now(UTC)
    await vandal.execute("auth", sessions.update().where(sessions.c.id == row["id"]).values(revoked_at=now))
    return {(Check.IDENTITY, str(row["id"]))}


async def _operator(vandal: Vandal) -> UUID:
    """Who asks for the audit: a session of theirs that is closed could not."""
    found: UUID = (await vandal.row("auth", users, users.c.email == AuthSettings().operator_email))["id"]
    return found


async def a_letter_was_thrown_away(vandal: Vandal, sold: Sold) -> Accused:
    """By an operator, who says so: worth knowing, and no breach."""
    event_id = await vandal.event("order", "order.placed.v1", sold.paid)
    tables, wire_name = vandal.tables("catalog"), "order.placed.v1"
    letter = {"id": "letter", "event_id": event_id, "type": wire_name, "reason": "", "discarded_by": uuid4()}
    await vandal.execute("catalog", tables.inbox.delete().where(tables.inbox.c.event_id == event_id))
    await vandal.execute("catalog", tables.discards.insert().values(letter | {"discarded_at": datetime.now(UTC)}))
    return set()


TAMPERS: Final[tuple[Tamper, ...]] = (
    an_inbox_forgot,
    an_inbox_has_another,
    a_letter_was_thrown_away,
    an_outbox_forgot,
    an_event_from_nowhere,
    an_event_of_a_key_is_lost,
    an_event_is_stuck,
    an_event_is_parked,
    a_hole_in_a_timeline,
    a_status_nobody_decided,
    a_total_that_is_no_sum,
    a_deadline_nobody_needs,
    stock_for_nobody,
    stock_for_a_cancelled_order,
    a_movement_is_missing,
    a_movement_for_nobody,
    money_was_taken_twice,
    a_posting_is_missing,
    the_provider_never_answers,
    an_order_without_a_key,
    an_order_is_gone,
    a_stranger_ordered,
    a_token_nobody_issued,
    a_session_of_two,
    an_account_is_closed_and_its_session_is_not,
    a_revocation_nobody_was_told,
)


async def test_whatever_is_tampered_with_is_named_and_nothing_else(shop: Shop) -> None:
    """One shop for all of it, put right each time: a shop of its own for each would take a minute."""
    sold = await _sold(shop)
    await remove_guards(shop)
    source = await shop.source()
    for tamper in TAMPERS:
        async with put_right_afterwards(shop) as vandal:
            expected = await tamper(vandal, sold)
            found = (await look(source)).of(Kind.BREACH)
        assert _named(found, expected), f"{tamper.__name__}: {found}"
        assert {finding.check for finding in found} == {check for check, _ in expected}, f"{tamper.__name__}: {found}"
    await shop.audit()


def _named(found: list[Finding], expected: Accused) -> bool:
    """Every breach names an expected id (none, if it is about a sum), and every expected id is named."""
    named = {
        (finding.check, accused_id)
        for finding in found
        for accused_id in (finding.ids or ("",))
        if (finding.check, accused_id) in expected
    }
    return named == expected


LISTS: Final[tuple[tuple[str, str, dict[str, str]], ...]] = (
    ("auth", "/users", {}),
    ("catalog", "/reservations", {}),
    ("order", "/orders", {}),
    ("order", "/keys", {}),
    ("payment", "/orders", {}),
    ("payment", "/keys", {}),
    ("order", "/messages/sent", {"type": "order.placed.v1"}),
    ("catalog", "/messages/received", {"type": "order.placed.v1"}),
)


async def test_pages_of_one_are_the_whole_list_and_operators_only(shop: Shop) -> None:
    await _sold(shop)
    source, operator, customer = await shop.source(), await shop.operator(), await shop.register("elsa")
    for service, what, parameters in LISTS:
        whole = await rows(source, service, what, **parameters)
        assert len(whole) >= 2 - (what == "/keys" and service == "payment"), what
        assert await rows(source, service, what, limit=1, **parameters) == whole, what
    paths = [path_of(service, what, **parameters) for service, what, parameters in LISTS]
    paths += [path_of(service, what) for service in SERVICES for what in ("", "/messages", "/keys")]
    for path in paths:
        assert (await shop.request("GET", path)).status_code == 401, path
        assert (await shop.request("GET", path, headers=customer.headers)).status_code == 403, path
    for forged in ("x", "WzFd", "bnVsbA", "é", "WyJhIiwgImIiLCAiYyJd"):
        path = path_of("order", "/keys", after=forged)
        answer = await shop.request("GET", path, headers=operator.headers)
        assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-cursor"), forged


async def _sold(shop: Shop) -> Sold:
    await shop.stock(MOBY=10, EMMA=10)
    buyer = await shop.register("anne")
    paid = await buyer.buy(MOBY=2)
    cancelled = await buyer.place(EMMA=1)
    await buyer.until(cancelled, "awaiting_payment")
    assert (await buyer.cancel(cancelled)).is_success
    await shop.audit()
    [payment] = await buyer.payments(paid)
    return Sold(paid, cancelled, payment["id"])


async def test_a_busy_shop_is_not_accused_and_a_thief_in_it_is(shop: Shop) -> None:
    """Customers buy, cancel and are refunded all the while; every audit but the last is of a shop at work."""
    sold = await _sold(shop)
    await shop.stock(BUSY=1_000_000)
    buyers = [await shop.register(name) for name in ("bert", "cora", "dirk")]
    closing = asyncio.Event()

    async def shops(buyer: Visitor) -> None:
        while not closing.is_set():
            order_id = await buyer.buy(BUSY=1)
            await buyer.cancel(order_id)
            await buyer.cancel(await buyer.place(BUSY=2))

    source, vandal = await shop.source(), Vandal(shop)
    async with asyncio.TaskGroup() as customers:
        for buyer in buyers:
            customers.create_task(shops(buyer))
        reports = [await audit(source, pause=0.05) for _ in range(5)]
        accused = await a_hole_in_a_timeline(vandal, sold)
        last = await audit(source, pause=0.05)
        closing.set()
    assert [report.breaches for report in reports] == [[]] * len(reports)
    assert any(report.moving for report in reports), "the shop was too quiet to prove anything"
    assert {(finding.check, finding.ids[0]) for finding in last.breaches} == accused
