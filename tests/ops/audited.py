"""A shop made of figures: what the services of a sound one would answer to an auditor, to be bent by a test."""

import copy
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from chassis.figures import MODULUS, lowest_id, made_at
from contracts.registry import SERVICES
from ops.audit import BrokerFigures

NOW: Final = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
SKU: Final = "BOOK-1"
USER: Final = "01900000-0000-7000-8000-00000000000a"
KEPT: Final = timedelta(days=7)


def an_id(number: int, at: datetime = NOW - timedelta(hours=1)) -> str:
    """A UUIDv7-like id made at `at`."""
    return str(UUID(int=lowest_id(int(at.timestamp())).int | 0x7 << 76 | 0b10 << 62 | number))


ORDER: Final = an_id(1)
PAYMENT: Final = an_id(2)


def seconds_ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat()


@dataclass
class Message:
    """An event id in an outbox or inbox."""

    id: str
    at: str = field(default_factory=lambda: seconds_ago(3600))
    state: str = "sent"
    about: str = ORDER


def _summaries() -> dict[str, Any]:
    outbox: dict[str, Any] = {"pending": 0, "parked": 0, "oldest_pending_at": None, "rows": []}
    found: dict[str, Any] = {
        service: {
            "at": NOW.isoformat(),
            "kept_since": (NOW - KEPT).isoformat(),
            "outbox": copy.deepcopy(outbox),
            "discarded": {},
        }
        for service in SERVICES
    }
    found["auth"] |= {"open_sessions": 1, "live_token_astray": [], "open_of_closed_account": [], "revoked_untold": []}
    stock = {"sku": SKU, "received": 10, "available": 8, "reserved": 0, "sold": 2, "balanced": True}
    found["catalog"] |= {"stock": [stock], "ledger_orders_unknown": []}
    ledger = {"EUR": {"provider_balance": 2000, "sales": -2000, "refunds": 0}}
    found["payment"] |= {"operations_pending": [], "refunds_failed": [], "breaches": [], "ledger": ledger}
    return found


def an_order(order_id: str = ORDER, **differences: Any) -> dict[str, Any]:
    """A paid order of two books."""
    return {
        "id": order_id,
        "user_id": USER,
        "status": "paid",
        "currency": "EUR",
        "total": 2000,
        "captured": 2000,
        "refunded": 0,
        "placed_at": seconds_ago(3600),
        "moved_at": seconds_ago(3590),
        "deadline_at": None,
        "lines": [{"sku": SKU, "quantity": 2}],
        "flaws": [],
        **differences,
    }


def a_reservation(order_id: str = ORDER, **differences: Any) -> dict[str, Any]:
    lines = [{"sku": SKU, "quantity": 2}]
    return {"order_id": order_id, "state": "committed", "lines": lines, "ledger": [], **differences}


def some_money(order_id: str = ORDER, payment_id: str = PAYMENT, **differences: Any) -> dict[str, Any]:
    payment = {"id": payment_id, "created_at": seconds_ago(3600), "captured": 2000, "refunded": 0, "ledger": []}
    return {
        "order_id": order_id,
        "requested": 2000,
        "currency": "EUR",
        "captures": 1,
        "held": 0,
        "captured": 2000,
        "refunded": 0,
        "payments": [payment],
        **differences,
    }


@dataclass
class AuditedShop:
    """A source that answers from its fields; `page` rows at a time. `before_look` may change it, look by look."""

    summaries: dict[str, Any] = field(default_factory=_summaries)
    orders: list[dict[str, Any]] = field(default_factory=lambda: [an_order()])
    reservations: list[dict[str, Any]] = field(default_factory=lambda: [a_reservation()])
    money: list[dict[str, Any]] = field(default_factory=lambda: [some_money()])
    charges: list[dict[str, Any]] | None = None
    discrepancies: list[dict[str, Any]] = field(default_factory=list)
    provider_remembers: bool = True
    users: list[str] = field(default_factory=lambda: [USER])
    keys: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    sent: dict[tuple[str, str], list[Message]] = field(default_factory=lambda: defaultdict(list))
    received: dict[tuple[str, str], list[Message]] = field(default_factory=lambda: defaultdict(list))
    queues: BrokerFigures | None = field(
        default_factory=lambda: BrokerFigures(waiting={}, dead={}, consumers=dict.fromkeys(SERVICES, 1))
    )
    page: int = 1000
    before_look: Callable[[int], None] = lambda _: None
    looks: int = 0
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        used = (("order", "POST /orders", ORDER), ("payment", "POST /payments", PAYMENT))
        for service, route, made in used:
            self.keys.setdefault(service, [{"at": seconds_ago(3600), "route": route, "made": made}])
        for producer, contract in SERVICES.items():
            for number, event in enumerate(contract.publishes):
                message = Message(an_id(100 + number))
                self.sent[producer, event.wire_name].append(message)
                for reader, others in SERVICES.items():
                    if event in others.reads:
                        self.received[reader, event.wire_name].append(message)

    async def broker(self) -> BrokerFigures | None:
        return self.queues

    async def get(self, service: str, path: str) -> Any:
        self.asked.append(path)
        parts = urlsplit(path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        what = parts.path.partition("/audit")[2]
        if what == "":
            if service == "auth":
                self.looks += 1
                self.before_look(self.looks)
            return self.summaries[service]
        if what == "/messages":
            return self._digests(service, asked)
        if what.startswith("/messages/"):
            return self._ids(service, what.rpartition("/")[2], asked)
        if what == "/keys":
            return {"items": self.keys[service], "kept_since": (NOW - timedelta(days=2)).isoformat(), "next": None}
        if what == "/provider":
            return self._provider_page(asked)
        lists: dict[str, tuple[list[dict[str, Any]], str]] = {
            "/users": ([{"id": user_id} for user_id in self.users], "id"),
            "/reservations": (self.reservations, "order_id"),
            "/orders": (self.orders, "id") if service == "order" else (self.money, "order_id"),
        }
        rows, key = lists[what]
        return self._page(rows, key, asked)

    def _provider_page(self, asked: dict[str, str]) -> dict[str, Any] | None:
        """Its pages go by a cursor of its own: here, how many rows were told."""
        if self.charges is None:
            return None
        begin = int(asked.get("cursor", "0"))
        end = begin + self.page
        more = end < len(self.charges)
        return {
            "payments": self.charges[begin:end],
            "complete": self.provider_remembers,
            "next_cursor": str(end) if more else None,
            "discrepancies": self.discrepancies,
        }

    def _page(self, rows: list[dict[str, Any]], key: str, asked: dict[str, str]) -> dict[str, Any]:
        within = [row for row in rows if asked.get("after", "") < row[key] <= asked.get("until", "g")]
        items = sorted(within, key=lambda row: str(row[key]))[: self.page]
        return {"items": items, "next": items[-1][key] if len(items) == self.page else None}

    def _ids(self, service: str, side: str, asked: dict[str, str]) -> dict[str, Any]:
        kept = (self.sent if side == "sent" else self.received)[service, asked["type"]]
        rows = [vars(message) for message in kept if _within(message, asked)]
        return self._page(rows, "id", asked)

    def _digests(self, service: str, asked: dict[str, str]) -> dict[str, Any]:
        return {"sent": _folded(self.sent, service, asked), "received": _folded(self.received, service, asked)}


def _folded(
    kept: dict[tuple[str, str], list[Message]], service: str, asked: dict[str, str]
) -> dict[str, list[dict[str, Any]]]:
    bucket = int(asked["bucket"])
    found: dict[str, list[dict[str, Any]]] = {}
    for (owner, wire_name), rows in kept.items():
        sums: dict[int, tuple[int, int]] = {}
        for message in rows:
            if owner == service and message.state == "sent" and _within(message, asked):
                since = made_at(UUID(message.id)) // bucket * bucket
                count, total = sums.get(since, (0, 0))
                sums[since] = (count + 1, (total + UUID(message.id).int) % MODULUS)
        if sums:
            found[wire_name] = [
                {"since": since, "count": count, "digest": f"{total:032x}"} for since, (count, total) in sums.items()
            ]
    return found


def _within(message: Message, asked: dict[str, str]) -> bool:
    at = made_at(UUID(message.id))
    return int(asked["since"]) <= at < int(asked.get("until_before", 1 << 50))
