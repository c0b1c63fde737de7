"""An operator's verbs for dead letters: looking changes nothing, redriving and discarding may be done twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from chassis.dead_letters import STILL_THERE
from chassis.topology import dead_queue, inbox_queue
from chassis.transport import BrokerUnavailableError, Browse, Delivery, OutgoingMessage, PublishResult
from contracts.envelope import encode
from order_svc.store import RUNTIME, products
from tests.operators.conftest import LETTERS, Desk, a_listing
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)

VERBS = (("GET", ""), ("GET", "/x"), ("POST", "/redrive"), ("POST", "/discard"))


async def known_products(desk: Desk) -> set[str]:
    return {row["sku"] for row in await desk.service.runtime.reader.all(sa.select(products.c.sku))}


async def inbox_count(desk: Desk, event_id: UUID) -> int:
    inbox = RUNTIME.inbox
    rows = await desk.service.runtime.reader.all(sa.select(inbox).where(inbox.c.event_id == event_id))
    return len(rows)


async def test_a_letter_tells_what_it_is_and_why_it_lies_there(desk: Desk) -> None:
    envelope = a_listing(desk).model_copy(update={"type": "product.listed.v9"})
    desk.service.broker.publish(
        OutgoingMessage("shop.events", "product.listed.v1", encode(envelope), str(envelope.id), type=envelope.type)
    )
    await wait_until(lambda: len(desk.service.dead_letters()) == 1)
    [letter] = await desk.letters()
    assert (letter["id"], letter["event_id"]) == (str(envelope.id), str(envelope.id))
    assert (letter["type"], letter["subject"], letter["order_id"]) == ("product.listed.v9", "BOOK-1", None)
    assert (letter["reason"], letter["error_type"]) == ("failed", "UndecodableEventError")
    assert letter["error_message"] == "unknown event type 'product.listed.v9'"
    assert (letter["attempt"], letter["redrives"]) == (1, 0)
    assert letter["original_routing_key"] == "product.listed.v1"
    assert letter["first_failed_at"] == letter["died_at"]


async def test_looking_changes_nothing(desk: Desk) -> None:
    ids = [desk.bury(str(number).encode()) for number in range(5)]
    for _ in range(3):
        assert [letter["id"] for letter in await desk.letters()] == ids
        assert (await desk.get(f"/{ids[2]}")).json()["body"] == "2"
        assert set((await desk.settle("redrive", filter={}, dry_run=True)).values()) == {"would_redrive"}
        discarding = await desk.settle("discard", filter={}, dry_run=True, reason="just looking")
        assert set(discarding.values()) == {"would_discard"}
    assert desk.waiting() == ids


async def test_a_page_is_limited_and_says_that_there_is_more(desk: Desk) -> None:
    ids = [desk.bury(b"{}") for _ in range(3)]
    page = (await desk.get(limit=2)).json()
    assert ([letter["id"] for letter in page["items"]], page["total"], page["more"]) == (ids[:2], 3, True)
    page = (await desk.get(limit=3)).json()
    assert (len(page["items"]), page["total"], page["more"]) == (3, 3, False)


async def test_only_so_many_letters_are_held_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chassis.dead_letters.MAX_HELD", 3)
    ids = [desk.bury(b"{}") for _ in range(5)]
    page = (await desk.get()).json()
    assert (len(page["items"]), page["total"], page["more"]) == (3, 5, True)
    answer = (await desk.post("discard", ids=[ids[4]], reason="test")).json()
    assert [(item["outcome"], item["detail"]) for item in answer["items"]] == [
        ("not_found", "It is not among the first 3 letters; there are more.")
    ]
    assert (await desk.post("discard", filter={}, reason="test")).json()["more"]
    assert desk.waiting() == ids[3:]


async def test_letters_are_found_by_type_error_and_time(desk: Desk) -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    early = desk.bury(b"1", type="a.b.v1", error_type="KeyError", died_at=(noon - timedelta(hours=1)).isoformat())
    late = desk.bury(b"2", type="c.d.v1", error_type="KeyError", died_at=(noon + timedelta(hours=1)).isoformat())
    timeless = desk.bury(b"3", type="a.b.v1", error_type="ValueError", died_at="yesterday")

    async def found(**wanted: str) -> list[str]:
        return [letter["id"] for letter in await desk.letters(**wanted)]

    assert await found(type="a.b.v1") == [early, timeless]
    assert await found(error_type="KeyError") == [early, late]
    assert await found(older_than=noon.isoformat()) == [early]
    assert await found(newer_than=noon.isoformat(), error_type="KeyError") == [late]
    assert await found(type="a.b.v1", error_type="KeyError", newer_than=noon.isoformat()) == []
    assert list(await desk.settle("discard", filter={"type": "c.d.v1"}, reason="test")) == [late]


async def test_a_redriven_letter_is_handled_and_gone(desk: Desk) -> None:
    since = "2026-01-01T10:00:00+00:00"
    envelope = a_listing(desk, "BOOK-9")
    id = desk.bury_event(envelope, attempt=6, first_failed_at=since, original_routing_key=envelope.type, redrives=1)
    other = desk.bury(b"other")
    assert await desk.settle("redrive", ids=[id]) == {id: "redriven"}
    assert desk.waiting() == [other]
    [sent] = desk.service.broker.ready("shop.retry.1s")
    assert (sent.outgoing.routing_key, sent.outgoing.message_id) == (inbox_queue("order"), id)
    assert sent.outgoing.headers == {
        "attempt": 0,
        "redrives": 2,
        "first-failed-at": since,
        "original-routing-key": envelope.type,
        "service": "order",
    }
    await desk.delivered()
    assert await known_products(desk) == {"BOOK-9"}
    assert await inbox_count(desk, envelope.id) == 1


async def test_what_fails_again_counts_its_redrives(desk: Desk) -> None:
    desk.bury(b"still not an event")
    for redrives in (1, 2):
        await desk.settle("redrive", filter={})
        await desk.delivered()
        [letter] = await desk.letters()
        assert (letter["redrives"], letter["attempt"], letter["reason"]) == (redrives, 1, "failed")


async def test_redriving_twice_is_harmless(desk: Desk) -> None:
    envelope = a_listing(desk)
    id = desk.bury_event(envelope)
    desk.bury_event(envelope)
    assert await desk.settle("redrive", ids=[id]) == {id: "redriven"}
    assert await desk.settle("redrive", ids=[id]) == {id: "not_found"}
    await desk.delivered()
    assert await inbox_count(desk, envelope.id) == 1
    assert desk.waiting() == []


async def test_a_crash_between_sending_and_taking_out_leaves_both_and_harms_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = a_listing(desk)
    id = desk.bury_event(envelope)
    with monkeypatch.context() as broken:
        broken.setattr(desk.service.runtime.transport, "browse", losing_acks(desk))
        [item] = (await desk.post("redrive", ids=[id])).json()["items"]
    assert (item["outcome"], item["detail"]) == ("redriven", STILL_THERE)
    assert desk.waiting() == [id]
    assert await desk.settle("redrive", ids=[id]) == {id: "redriven"}
    await desk.delivered()
    assert (await inbox_count(desk, envelope.id), desk.waiting()) == (1, [])


async def test_a_letter_whose_confirm_is_lost_stays(desk: Desk) -> None:
    envelope = a_listing(desk)
    id = desk.bury_event(envelope)
    desk.service.broker.faults.lose_confirms = 1
    assert await desk.settle("redrive", ids=[id]) == {id: "uncertain"}
    assert desk.waiting() == [id]


async def test_a_letter_the_broker_refuses_to_take_back_stays(desk: Desk) -> None:
    ids = [desk.bury(b"a"), desk.bury(b"b")]
    desk.service.broker.faults.refuse = lambda message: "full" if message.body == b"a" else None
    answer = (await desk.post("redrive", ids=ids)).json()
    assert [(item["outcome"], item["detail"]) for item in answer["items"]] == [("refused", "full"), ("redriven", "")]
    assert ids[0] in desk.waiting()


async def test_discarding_twice_is_harmless_and_a_letter_that_comes_again_can_be_discarded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    envelope = a_listing(desk)
    id = desk.bury_event(envelope)
    with monkeypatch.context() as broken:
        broken.setattr(desk.service.runtime.transport, "browse", losing_acks(desk))
        assert await desk.settle("discard", ids=[id], reason="first") == {id: "discarded"}
    assert desk.waiting() == [id]
    assert await desk.settle("discard", ids=[id], reason="second") == {id: "discarded"}
    assert await desk.settle("discard", ids=[id], reason="third") == {id: "not_found"}
    [row] = await desk.service.runtime.reader.all(sa.select(RUNTIME.discards))
    assert row["reason"] == "first"


async def test_a_letter_that_cannot_be_written_down_is_not_thrown_away(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id = desk.bury_event(a_listing(desk))

    async def no_store() -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(desk.service.runtime.writer, "_open_session", no_store)
        answer = await desk.post("discard", ids=[id], reason="test")
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/storage-unavailable")
    assert desk.waiting() == [id]


async def test_two_operators_at_once_both_see_everything(desk: Desk) -> None:
    ids = [desk.bury(b"{}") for _ in range(10)]
    pages = await asyncio.gather(*(desk.letters() for _ in range(5)))
    assert [[letter["id"] for letter in page] for page in pages] == [ids] * 5


async def test_what_one_operator_holds_is_not_hidden_from_another(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [desk.bury(b"first"), desk.bury(b"second")]
    transport, go_on = desk.service.runtime.transport, asyncio.Event()
    publish = transport.publish

    async def slowly(messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        await go_on.wait()
        return await publish(messages)

    turn = Turn()
    monkeypatch.setattr(desk.service.runtime.dead_letters, "_turn", turn)
    monkeypatch.setattr(transport, "publish", slowly)
    redriving = asyncio.create_task(desk.settle("redrive", ids=ids[:1]))
    await wait_until(lambda: len(desk.service.broker.unsettled(dead_queue("order"))) == 2)
    looking = asyncio.create_task(desk.letters())
    await wait_until(lambda: looking.done() or turn.asked == 2)
    go_on.set()
    assert [letter["id"] for letter in await looking] == ids[1:]
    assert await redriving == {ids[0]: "redriven"}


async def test_two_operators_redriving_at_once_send_each_letter_once(desk: Desk) -> None:
    ids = [desk.bury(str(number).encode()) for number in range(10)]
    outcomes = await asyncio.gather(*(desk.settle("redrive", ids=ids) for _ in range(2)))
    assert sorted(set(outcome.values()).pop() for outcome in outcomes) == ["not_found", "redriven"]


async def test_without_the_broker_the_answer_is_503_and_nothing_is_lost(desk: Desk) -> None:
    id = desk.bury(b"{}")
    desk.service.broker.disconnect("order")
    for method, path in VERBS:
        body = {"ids": [id], "reason": "test"} if path == "/discard" else {"ids": [id]}
        answer = await desk.service.http.request(
            method, f"{LETTERS}{path}", headers=desk.headers, json=body if method == "POST" else None
        )
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/broker-unavailable"), path
        assert "Retry-After" in answer.headers
    desk.service.broker.reconnect("order")
    assert await desk.settle("discard", ids=[id], reason="test") == {id: "discarded"}


async def test_the_letter_that_the_broker_buried_says_so(desk: Desk) -> None:
    """Also when it had been retried before: then its first death is another one."""
    envelope = a_listing(desk)
    await desk.service.runtime.consumer.stop()
    subscription = desk.service.runtime.transport.subscribe(inbox_queue("order"), prefetch=1)
    desk.service.broker.publish(
        OutgoingMessage(
            "shop.retry.1s", inbox_queue("order"), encode(envelope), str(envelope.id), headers={"attempt": 1}
        )
    )
    for _ in range(21):
        await subscription.requeue(await subscription.receive(1))
    [letter] = await desk.letters()
    assert (letter["reason"], letter["error_type"], letter["attempt"]) == ("delivery_limit", None, 1)
    assert letter["died_at"] is not None
    assert await desk.settle("redrive", ids=[letter["id"]]) == {str(envelope.id): "redriven"}


async def test_only_operators(desk: Desk) -> None:
    for method, path in VERBS:
        for headers, status in (({}, 401), (desk.service.as_user(), 403)):
            answer = await desk.service.http.request(method, f"{LETTERS}{path}", headers=headers, json={"filter": {}})
            assert answer.status_code == status, (method, path)


BAD_BODIES: Sequence[tuple[str, dict[str, Any], str]] = (
    ("redrive", {}, ""),
    ("redrive", {"ids": ["a"], "filter": {}}, ""),
    ("redrive", {"ids": []}, "/ids"),
    ("redrive", {"ids": ["a"] * 101}, "/ids"),
    ("redrive", {"ids": ["x" * 129]}, "/ids/0"),
    ("redrive", {"filter": {"older_than": "2026-01-01T00:00:00"}}, "/filter/older_than"),
    ("redrive", {"filter": {"colour": "red"}}, "/filter/colour"),
    ("redrive", {"filter": {}, "limit": 1001}, "/limit"),
    ("redrive", {"filter": {}, "dry_run": "yes"}, "/dry_run"),
    ("discard", {"filter": {}}, "/reason"),
    ("discard", {"filter": {}, "reason": ""}, "/reason"),
)


async def test_bad_input_is_told_where(desk: Desk) -> None:
    id = desk.bury(b"{}")
    for verb, body, pointer in BAD_BODIES:
        answer = await desk.post(verb, **body)
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/validation"), (body, answer.text)
        assert pointer in [error["pointer"] for error in answer.json()["errors"]], (body, answer.text)
    for query in ({"limit": 0}, {"limit": 101}, {"older_than": "noon"}, {"type": ""}):
        assert (await desk.get(**query)).status_code == 422, query
    assert desk.waiting() == [id]


async def test_an_unknown_letter_is_404(desk: Desk) -> None:
    assert (await desk.get(f"/{uuid4()}")).status_code == 404
    assert (await desk.get(f"/{'x' * 200}")).status_code == 404


class Turn(asyncio.Lock):
    """Knows how many have asked for it."""

    asked = 0

    async def acquire(self) -> Literal[True]:
        self.asked += 1
        return await super().acquire()


def losing_acks(desk: Desk) -> Any:
    """The transport's `browse` in a process that dies before it settles anything."""
    browse = desk.service.runtime.transport.browse

    class Dying:
        def __init__(self, real: Browse) -> None:
            self.held, self.behind = real.held, real.behind

        async def remove(self, deliveries: Sequence[Delivery]) -> None:
            raise BrokerUnavailableError("the connection was lost")

    @asynccontextmanager
    async def broken(queue: str, *, limit: int, max_bytes: int) -> AsyncIterator[Browse]:
        assert queue == dead_queue("order")
        async with browse(queue, limit=limit, max_bytes=max_bytes) as real:
            yield Dying(real)

    return broken
