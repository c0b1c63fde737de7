"""One look at a whole shop: reads every service's figures part by part and hands them to the tally.

Memory stays small whatever the shop has sold: orders are read in ranges of ids, messages as digests, and idempotency
keys are held against what they made by sums. What grows are the ids of all accounts.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Set
from datetime import datetime
from typing import Any, Final

from chassis.figures import MAX_LISTED
from contracts.registry import SERVICES
from ops.audit import messages
from ops.audit.findings import Look
from ops.audit.keys import HOUR, MADE_BY, KeyBook
from ops.audit.messages import Bucket, Channel, Gap
from ops.audit.orders import Chunk, ProviderBooks
from ops.audit.source import Row, Source, pages, path_of, rows
from ops.audit.tally import Tally, take_made

_MINUTE: Final = 60
_AT_ONCE: Final = 24 * HOUR


async def look(source: Source) -> Look:
    """Everything once. Raises what the source raises: a service or the broker could not be asked."""
    summaries = await _summaries(source)
    keys = {service: await _key_book(source, service, summaries[service]) for service in MADE_BY}
    tally = Tally(summaries, keys, await _provider_books(source))
    async for chunk in _chunks(source):
        tally.take(chunk)
    if any(book.differing() for book in keys.values()):
        tally.take_named(await _named(source, summaries, keys))
    tally.take_users([row["id"] async for page in pages(source, "auth", "/users") for row in page["items"]])
    digests = await _all_digests(source, int(tally.messages_since.timestamp()), int(tally.now.timestamp()))
    gaps = await _gaps(source, messages.differing(digests, HOUR))
    tally.take_messages(messages.compared(digests), gaps, await source.broker())
    return tally.look()


async def figures(source: Source) -> dict[str, Any]:
    """Every figure of a small shop in one document: summaries, and under `orders` all rows of each service."""
    documents = {service: dict(summary) for service, summary in (await _summaries(source)).items()}
    documents["order"]["orders"] = await rows(source, "order", "/orders")
    documents["catalog"]["orders"] = await rows(source, "catalog", "/reservations")
    documents["payment"]["orders"] = await rows(source, "payment", "/orders")
    broker = await source.broker()
    return documents | {"broker": {"dead": dict(broker.dead) if broker else {}}}


async def _summaries(source: Source) -> Mapping[str, Row]:
    found = await asyncio.gather(*(source.get(service, path_of(service)) for service in SERVICES))
    return dict(zip(SERVICES, found, strict=True))


async def _provider_books(source: Source) -> ProviderBooks | None:
    """The provider's own books, None if they cannot be had or are known to have gaps.

    `GET /payments/audit/provider` answers a page: `payments`, each `{"payment_id", "reference", "captured", "refunded",
    "captures", "status"}` with amounts in minor units and `captures` how often money was taken; `next_cursor`, to be
    given back as `cursor`; `complete`, false if this provider forgets; and `discrepancies`, what payment_svc has found
    itself, each `{"reference", "difference", "state", "payment_id", "order_id", "detail"}`.
    """
    charges: dict[str, Row] = {}
    cursor: str | None = None
    while True:
        page = await source.get("payment", path_of("payment", "/provider", cursor=cursor))
        if page is None or not page["complete"]:
            return None
        for row in page["payments"]:
            name = row["payment_id"] or row["reference"]
            charges[name] = _together(charges[name], row) if name in charges else row
        cursor = page["next_cursor"]
        if cursor is None:
            return ProviderBooks(charges, page["discrepancies"])


def _together(first: Row, second: Row) -> Row:
    """Two references of the provider for one payment of ours: what counts is what was taken and given back in all."""
    return {**second, **{name: first[name] + second[name] for name in ("captured", "refunded", "captures")}}


async def _key_book(source: Source, service: str, summary: Row, named: Set[int] = frozenset()) -> KeyBook:
    book: KeyBook | None = None
    async for page in pages(source, service, "/keys"):
        if book is None:
            kept_since = datetime.fromisoformat(page["kept_since"])
            book = KeyBook(service, kept_since, datetime.fromisoformat(summary["at"]), named)
        for row in page["items"]:
            if datetime.fromisoformat(row["at"]) > book.kept_since:
                book.take_key(row["route"], row["made"])
    if book is None:
        raise ValueError(f"{service}_svc has no list of its keys")
    return book


async def _named(source: Source, summaries: Mapping[str, Row], keys: Mapping[str, KeyBook]) -> Mapping[str, KeyBook]:
    """Both sides once more, with the ids of the hours that differ. Rare, so it may take as long as the first time."""
    books = {name: await _key_book(source, name, summaries[name], book.differing()) for name, book in keys.items()}
    async for chunk in _chunks(source):
        take_made(books, chunk)
    return books


async def _chunks(source: Source) -> AsyncIterator[Chunk]:
    """All orders and what is known about them, in ranges that end where a page of orders does.

    The others have hardly more rows in a range than there are orders, so one large page of theirs holds it.
    """
    after: str | None = None
    async for page in pages(source, "order", "/orders"):
        until = page["next"]
        stock, money = await asyncio.gather(
            rows(source, "catalog", "/reservations", after=after, until=until, limit=MAX_LISTED),
            rows(source, "payment", "/orders", after=after, until=until, limit=MAX_LISTED),
        )
        yield Chunk(tuple(page["items"]), tuple(stock), tuple(money))
        after = until


async def _all_digests(source: Source, since: int, now: int) -> messages.Digests:
    """Hour by hour from `since` on, a day per request: no service has to look through everything at once."""
    found: dict[str, dict[str, dict[str, list[Row]]]] = {service: {"sent": {}, "received": {}} for service in SERVICES}
    while since <= now:
        # The last part has no end: ids may tell any time, if they are forged or of another kind.
        end = {"until_before": since + _AT_ONCE} if since + _AT_ONCE <= now else {}
        for service, part in (await _digests(source, since=since, bucket=HOUR, **end)).items():
            for side, by_type in found[service].items():
                for wire_name, buckets in part[side].items():
                    by_type.setdefault(wire_name, []).extend(buckets)
        since += _AT_ONCE
    return found


async def _digests(source: Source, **parameters: int) -> messages.Digests:
    paths = [source.get(service, path_of(service, "/messages", **parameters)) for service in SERVICES]
    return dict(zip(SERVICES, await asyncio.gather(*paths), strict=True))


async def _gaps(source: Source, hours: list[Bucket]) -> list[Gap]:
    """The ids behind buckets that differ; looked for minute by minute first, because a busy hour has many."""
    found: list[Gap] = []
    for since in sorted({bucket.since for bucket in hours}):
        digests = await _digests(source, since=since, until_before=since + HOUR, bucket=_MINUTE)
        for channel, minutes in _by_channel(messages.differing(digests, _MINUTE)).items():
            found += await _gaps_of(source, channel, since=minutes[0].since, until_before=minutes[-1].until)
    return found


def _by_channel(buckets: list[Bucket]) -> dict[Channel, list[Bucket]]:
    found: dict[Channel, list[Bucket]] = {}
    for bucket in buckets:
        found.setdefault(bucket.channel, []).append(bucket)
    return found


async def _gaps_of(source: Source, channel: Channel, **span: int) -> list[Gap]:
    """The inbox first: what was handled was sent before, so nothing seems to come from nowhere."""
    inbox = await rows(source, channel.reader, "/messages/received", type=channel.wire_name, **span)
    outbox = await rows(source, channel.producer, "/messages/sent", type=channel.wire_name, **span)
    return list(messages.gaps(channel, outbox, inbox))
