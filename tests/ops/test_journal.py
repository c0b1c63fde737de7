"""Asking the journal and sending from a file: what is selected, how it reads, and that a bad file sends nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from chassis.topology import inbox_queue
from chassis.transport.memory import MemoryBroker, MemoryTransport
from contracts.envelope import Envelope
from ops.journal import Entry, NoJournalError, Selection, about, entry_line, journal_url, moment
from ops.replay import BadEventsError, NotSentError, read_by, read_events, send
from tests.support.replay import STORIES, load_story

HAPPY = load_story("happy_path.jsonl")
PLACED = next(line.envelope for line in HAPPY.lines if line.envelope.type == "order.placed.v1")
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("selection", "types"),
    [
        (Selection(type="order.placed"), {"order.placed.v1"}),
        (Selection(type="order.p*"), {"order.placed.v1", "order.payment_requested.v1", "order.paid.v1"}),
        (Selection(id=PLACED.id), {"order.placed.v1"}),
        (Selection(service="catalog", order=PLACED.correlationid), {"stock.reserved.v1", "stock.committed.v1"}),
        (Selection(subject=PLACED.subject, type="payment.*"), set()),
        (Selection(since=PLACED.time, type="product.*"), set()),
    ],
)
def test_a_selection_wants_all_that_it_names(selection: Selection, types: set[str]) -> None:
    assert {line.envelope.type for line in HAPPY.lines if selection.meets(line.envelope)} == types


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("3d", NOW - timedelta(days=3)),
        ("2026-03-14T10:00:00+01:00", datetime(2026, 3, 14, 9, tzinfo=UTC)),
        ("2026-03-14", datetime(2026, 3, 14, tzinfo=UTC)),
    ],
)
def test_since_is_a_while_ago_or_a_time(text: str, at: datetime) -> None:
    assert moment(text, NOW) == at


@pytest.mark.parametrize("text", ["", "m", "yesterday", "-5m", "10 minutes"])
def test_since_is_nothing_else(text: str) -> None:
    with pytest.raises(ValueError, match="isoformat"):
        moment(text, NOW)


def test_a_line_says_when_who_what_and_about_whom() -> None:
    line = entry_line(Entry(7, PLACED, b"")).plain
    for part in (PLACED.time.strftime("%Y-%m-%d %H:%M:%S"), "order ", "order.placed.v1", PLACED.subject, "EUR", "x"):
        assert part in line
    long = PLACED.model_copy(update={"data": {"reason": "x" * 500}})
    assert len(about(long)) == 100


def test_a_shop_without_a_broker_has_no_journal() -> None:
    with pytest.raises(NoJournalError, match="keeps no journal"):
        journal_url({"embedded": True})


def a_file(folder: Path, *lines: str) -> Path:
    file = folder / "events.jsonl"
    file.write_text("\n".join(lines))
    return file


def test_every_bad_line_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    good = next(line for line in (STORIES / HAPPY.name).read_text().splitlines() if line.startswith("{"))
    file = a_file(tmp_path, "# a story", good, "{", good.replace("product.listed.v1", "product.lifted.v1"))
    with pytest.raises(BadEventsError) as error:
        read_events(file)
    assert [line.split(": ")[0] for line in str(error.value).splitlines()] == [f"{file}:3", f"{file}:4"]


def test_a_file_without_events_or_no_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadEventsError, match="no events"):
        read_events(a_file(tmp_path, "# nothing yet"))
    with pytest.raises(BadEventsError, match="cannot be read"):
        read_events(tmp_path / "elsewhere.jsonl")


async def test_a_service_gets_what_it_reads_under_the_old_ids_and_nobody_else_does() -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker, "operator")
    await transport.start()
    letters = read_by("payment", read_events(STORIES / HAPPY.name))
    await send(transport, letters, "payment")
    wanted = [e for e in envelopes() if e.type in {"order.payment_requested.v1", "order.confirmed.v1"}]
    assert [m.outgoing.message_id for m in broker.ready(inbox_queue("payment"))] == [str(e.id) for e in wanted]
    assert not broker.ready(inbox_queue("catalog"))
    assert not broker.journal
    await transport.stop()


async def test_the_bus_gets_all_of_it_and_the_journal_too() -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker, "operator")
    await transport.start()
    await send(transport, read_events(STORIES / HAPPY.name), None)
    assert [message.message_id for message in broker.journal] == [str(envelope.id) for envelope in envelopes()]
    await transport.stop()


async def test_what_the_broker_refuses_is_named_with_how_far_it_got() -> None:
    broker = MemoryBroker()
    transport = MemoryTransport(broker, "operator")
    await transport.start()
    letters = read_events(STORIES / HAPPY.name)
    unlucky = letters[1].envelope.id
    broker.faults.refuse = lambda message: "no room" if message.message_id == str(unlucky) else None
    with pytest.raises(NotSentError, match=rf"{len(letters) - 1} of {len(letters)} events.*{unlucky}: nacked, no room"):
        await send(transport, letters, None)
    await transport.stop()


def envelopes() -> list[Envelope]:
    return [line.envelope for line in HAPPY.lines]


def test_ids_are_looked_for_before_anything_is_decoded() -> None:
    selection = Selection(order=UUID(int=1))
    assert not selection.may_meet(b"{not even JSON")
