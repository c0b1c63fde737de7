"""Messages as sets of ids: what every service sent beside what each reader handled. Pure: figures in, findings out.

Both sides fold their ids by type and by the time inside the id into a count and a digest, so that equal sets are seen
to be equal without sending them; `differing` says where they are not, and only there the ids are asked for.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from chassis.topology import RETRY_TIERS
from contracts.envelope import UndecodableEventError, decode
from contracts.registry import SERVICES
from ops.audit.findings import Check, Finding, Kind
from ops.audit.source import BrokerFigures, Row

RETRY_HORIZON: Final = timedelta(seconds=sum(tier.seconds for tier in RETRY_TIERS)) + timedelta(minutes=5)
"""How long a message may be on its way: every retry tier once, and some time for the handler each time."""
MAX_UNSENT: Final = timedelta(seconds=60)
"""How long an event may wait for the broker."""


@dataclass(frozen=True, slots=True, order=True)
class Channel:
    """One type of event on its way from its producer to one reader."""

    producer: str
    reader: str
    wire_name: str


CHANNELS: Final = tuple(
    Channel(producer, reader, event.wire_name)
    for reader, contract in SERVICES.items()
    for event in contract.reads
    for producer, others in SERVICES.items()
    if event in others.publishes
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Ids of one channel made in `since` ≤ time < `until`, Unix seconds."""

    channel: Channel
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Gap:
    """An id that one side has and the other does not. `at` is when it was sent (or handled, if it came from nowhere).

    `about` is the order, if the event is about one; from an inbox it cannot be told.
    """

    channel: Channel
    event_id: str
    at: datetime
    about: str | None
    from_nowhere: bool = False

    @property
    def ids(self) -> tuple[str, ...]:
        """The event, and the order it is about."""
        return (self.event_id,) if self.about is None else (self.event_id, self.about)


Digests = Mapping[str, Row]
"""Each service's answer at `/audit/messages`."""


def differing(digests: Digests, seconds: int) -> list[Bucket]:
    """The buckets in which a reader's ids are not its producer's."""
    found: list[Bucket] = []
    for channel in CHANNELS:
        sent = _buckets(digests[channel.producer]["sent"].get(channel.wire_name, ()))
        handled = _buckets(digests[channel.reader]["received"].get(channel.wire_name, ()))
        found += [
            Bucket(channel, since, since + seconds)
            for since in sorted(sent.keys() | handled.keys())
            if sent.get(since) != handled.get(since)
        ]
    return found


def compared(digests: Digests) -> int:
    """How many deliveries were compared."""
    return sum(
        bucket["count"]
        for channel in CHANNELS
        for bucket in digests[channel.producer]["sent"].get(channel.wire_name, ())
    )


def _buckets(rows: Iterable[Row]) -> dict[int, tuple[int, str]]:
    return {row["since"]: (row["count"], row["digest"]) for row in rows}


def gaps(channel: Channel, outbox: Iterable[Row], inbox: Iterable[Row]) -> Iterator[Gap]:
    """What one side has alone. An id the broker has not confirmed was handled, perhaps; it is no gap either way."""
    handled = {row["id"]: row for row in inbox}
    for row in outbox:
        if handled.pop(row["id"], None) is None and row["state"] == "sent":
            yield Gap(channel, row["id"], datetime.fromisoformat(row["at"]), row["about"])
    for event_id, row in handled.items():
        yield Gap(channel, event_id, datetime.fromisoformat(row["at"]), None, from_nowhere=True)


def judged(
    found: Iterable[Gap], broker: BrokerFigures | None, discarded: Mapping[str, Set[str]], now: datetime
) -> list[Finding]:
    """Each gap as a finding: from nowhere, discarded by an operator (ids by reader), dead, on its way, or lost."""
    return [
        _discarded(gap, now) if gap.event_id in discarded.get(gap.channel.reader, ()) else _finding(gap, broker, now)
        for gap in found
    ]


def _discarded(gap: Gap, now: datetime) -> Finding:
    text = f"{gap.channel.wire_name} {gap.event_id} was a dead letter of {gap.channel.reader} and was discarded"
    return Finding(Check.MESSAGES, text, gap.ids, Kind.NOTE, max(0, int((now - gap.at).total_seconds())))


def _finding(gap: Gap, broker: BrokerFigures | None, now: datetime) -> Finding:
    channel, age, ids = gap.channel, max(timedelta(), now - gap.at), gap.ids
    name = f"{channel.wire_name} {gap.event_id}"
    if gap.from_nowhere:
        text = f"{name} was handled by {channel.reader}, but {channel.producer} never sent it"
        return Finding(Check.MESSAGES, text, ids)
    seconds = int(age.total_seconds())
    if broker is not None and gap.event_id in broker.dead_ids.get(channel.reader, frozenset()):
        return Finding(Check.MESSAGES, f"{name} is a dead letter of {channel.reader}", ids, Kind.NOTE, seconds)
    if age > allowance(broker):
        text = f"{name} was sent by {channel.producer} and never handled by {channel.reader}"
        return Finding(Check.MESSAGES, text, ids, seconds=seconds, sent_by=channel.producer)
    text = f"{name} is on its way to {channel.reader}"
    return Finding(Check.MESSAGES, text, ids, Kind.MOVING, seconds)


def allowance(broker: BrokerFigures | None) -> timedelta:
    """How old a gap may be: with every queue empty it can be nowhere but lost."""
    return timedelta(seconds=broker.stale_seconds) if broker is not None and broker.empty else RETRY_HORIZON


def outbox(service: str, figures: Row, now: datetime) -> Iterator[Finding]:
    """What one service has not got rid of yet: parked, stuck, or about to be sent."""
    for row in figures["rows"]:
        age = int((now - datetime.fromisoformat(row["at"])).total_seconds())
        name, ids = f"{service}: {row['type']} {row['id']}", (row["id"], row["about"])
        if row["parked"]:
            text = f"{name} is parked in the outbox: {row['last_error'] or 'no reason is written down'}"
            yield Finding(Check.OUTBOX, text, ids, seconds=age)
        elif age > MAX_UNSENT.total_seconds():
            yield Finding(Check.OUTBOX, f"{name} is stuck in the outbox", ids, seconds=age)
        else:
            yield Finding(Check.OUTBOX, f"{name} waits in the outbox", ids, Kind.MOVING, max(0, age))
    unlisted = figures["pending"] + figures["parked"] - len(figures["rows"])
    if unlisted > 0:
        yield Finding(Check.OUTBOX, f"{service}: {unlisted} more events wait in the outbox", kind=Kind.MOVING)


def queues(broker: BrokerFigures) -> Iterator[Finding]:
    """Inboxes nobody reads, and what is in the queues."""
    for service, contract in SERVICES.items():
        if contract.reads and broker.consumers.get(service, 0) < 1:
            yield Finding(Check.BROKER, f"nobody consumes from {service}.inbox", (f"{service}.inbox",))
        if letters := broker.dead.get(service, 0):
            ids = tuple(sorted(broker.dead_ids.get(service, frozenset())))
            yield Finding(Check.BROKER, f"{service}.dead has {letters} dead letters", ids, Kind.NOTE)
    for queue, messages in broker.waiting.items():
        if messages:
            # Counted seconds ago; what is on its way is known exactly from the ids, so this is only worth knowing.
            yield Finding(Check.BROKER, f"{queue} has {messages} messages", (queue,), Kind.NOTE)


def event_id_of(body: bytes) -> str | None:
    """The id of the event in a dead letter, None if it is none. Whoever pasted it may have written anything."""
    try:
        return str(decode(body).id)
    except UndecodableEventError:
        return None
