"""What an audit says: findings with the ids they are about, per check, and the report they make together."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class Check(StrEnum):
    """What is compared. The values are stable: scripts may branch on them."""

    MESSAGES = "messages"
    OUTBOX = "outbox"
    BROKER = "broker"
    ORDERS = "orders"
    DEADLINES = "deadlines"
    STOCK = "stock"
    RESERVATIONS = "reservations"
    MONEY = "money"
    LEDGER = "ledger"
    OPERATIONS = "operations"
    PROVIDER = "provider"
    KEYS = "keys"
    IDENTITY = "identity"
    PROJECTIONS = "projections"


ABOUT: Final[Mapping[Check, str]] = MappingProxyType(
    {
        Check.MESSAGES: "every event sent was handled once by each of its readers, and nothing else was",
        Check.OUTBOX: "no event is stuck on its way to the broker",
        Check.BROKER: "every inbox has a consumer",
        Check.ORDERS: "totals, versions, timelines and events of each order agree",
        Check.DEADLINES: "every order ends in time, and no ended one has a deadline",
        Check.STOCK: "per product: received = available + reserved + sold = its ledger",
        Check.RESERVATIONS: "stock is held or sold for exactly the orders that should have it",
        Check.MONEY: "captured once and kept only for paid orders, the same in every book",
        Check.LEDGER: "every payment equals its postings, and postings sum to zero",
        Check.OPERATIONS: "the provider has answered everything it was asked",
        Check.PROVIDER: "the provider's own books say the same",
        Check.KEYS: "every idempotency key made one thing, and everything was made with one",
        Check.IDENTITY: "every order is somebody's, and sessions and tokens keep their rules",
        Check.PROJECTIONS: "what is kept of others' facts is what the journal makes of it (--projections)",
    }
)
"""Each check as a sentence that is true in a sound shop."""

DO: Final[Mapping[Check, str]] = MappingProxyType(
    {
        Check.MESSAGES: "mend what lost it, then `./shop outbox resend --lost`; never sent: somebody published past "
        "the outbox, or a store was restored",
        Check.OUTBOX: "`./shop status` says what keeps events from leaving; `./shop outbox parked` lists refused ones",
        Check.BROKER: "`/readyz` of the service says why it does not read",
        Check.ORDERS: "keep the store as it is and find out what wrote to it",
        Check.DEADLINES: "order_svc's log (`sweep.failed`), and the order's story: `./shop order ID`",
        Check.STOCK: "look at the stock ledger's rows of that product by their time",
        Check.RESERVATIONS: "`./shop order ID`: which of the `stock.` events is missing",
        Check.MONEY: "`GET /payments?order_id=ID`, and the provider's own record",
        Check.LEDGER: "change nothing in the books; add what is missing, with its reason",
        Check.OPERATIONS: "is the provider answering? payment_svc's log (`courier.`)",
        Check.PROVIDER: "settle it with the provider; `GET /payments/audit/provider` names both sides",
        Check.KEYS: "compare the key's row with the stories of what it made: `./shop order ID`",
        Check.IDENTITY: "revoke the session: disable the account, or have the password changed",
        Check.PROJECTIONS: "`./shop rebuild SERVICE` names the rows, `--apply` mends them",
    }
)
"""What to do about a breach of each check, in a line; docs/operations.md says more."""


class Kind(StrEnum):
    """BREACH: it does not add up. MOVING: under way, and not for too long. NOTE: worth knowing, not wrong."""

    BREACH = "breach"
    MOVING = "moving"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`ids` are orders, events, payments, sessions or products, as `text` says; `seconds`: how long it has been so.

    `between`: two services differ about the order `ids[0]`, which an event of it on its way explains.
    `sent_by`: who can send the event `ids[0]` again, which a reader never handled.
    """

    check: Check
    text: str
    ids: tuple[str, ...] = ()
    kind: Kind = Kind.BREACH
    seconds: int | None = None
    between: bool = False
    sent_by: str | None = None

    @property
    def identity(self) -> tuple[Check, str, tuple[str, ...]]:
        """The same in every look at something that stays wrong. Ages are not in a text."""
        return (self.check, self.text, self.ids)

    def to_json(self) -> dict[str, Any]:
        return {"check": self.check.value, "text": self.text, "ids": list(self.ids), "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class Look:
    """What one look saw. `compared` counts the things each check looked at; a check that is not there could not be."""

    findings: tuple[Finding, ...]
    compared: Mapping[Check, int]
    messages_since: datetime
    keys_since: datetime
    at: datetime

    def of(self, kind: Kind) -> list[Finding]:
        return [finding for finding in self.findings if finding.kind is kind]


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be believed after one or more looks. At rest (`moving` is empty) it is the whole truth."""

    breaches: Sequence[Finding]
    moving: Sequence[Finding]
    notes: Sequence[Finding]
    look: Look
    looks: int

    @property
    def sound(self) -> bool:
        return not self.breaches

    def with_check(self, check: Check, compared: int, breaches: Sequence[Finding]) -> "Report":
        """The same with one more check, made in another way than by looking at figures."""
        look = replace(self.look, compared={**self.look.compared, check: compared})
        return replace(self, look=look, breaches=[*self.breaches, *breaches])

    @property
    def result(self) -> str:
        """`breach`, `moving` (no breach, but not at rest either) or `sound`."""
        return "breach" if self.breaches else "moving" if self.moving else "sound"

    def result_of(self, check: Check) -> str:
        """As `result`, for one check; `not looked at` if it could not be."""
        if any(finding.check is check for finding in self.breaches):
            return "breach"
        if check not in self.look.compared:
            return "not looked at"
        return "moving" if any(finding.check is check for finding in self.moving) else "sound"

    def to_json(self) -> dict[str, Any]:
        """The stable shape of `shop audit --json`; times are ISO 8601 in UTC, ages whole seconds."""
        return {
            "result": self.result,
            "at": self.look.at.isoformat(),
            "looks": self.looks,
            "window": {
                "messages_since": self.look.messages_since.isoformat(),
                "keys_since": self.look.keys_since.isoformat(),
            },
            "checks": [
                {
                    "check": check.value,
                    "about": ABOUT[check],
                    "do": DO[check],
                    "compared": self.look.compared.get(check, 0),
                    "result": self.result_of(check),
                }
                for check in Check
            ],
            "breaches": [finding.to_json() for finding in self.breaches],
            "moving": [finding.to_json() for finding in self.moving],
            "notes": [finding.to_json() for finding in self.notes],
        }


def excused(findings: Iterable[Finding], under_way: Set[str] | None) -> tuple[Finding, ...]:
    """A difference between two services about an order with an event on its way is not a breach: it is moving.

    `under_way` None: too many are to list them all.
    """
    return tuple(
        replace(finding, kind=Kind.MOVING)
        if finding.between and finding.kind is Kind.BREACH and (under_way is None or finding.ids[0] in under_way)
        else finding
        for finding in findings
    )


def persistent(looks: Sequence[Look]) -> list[Finding]:
    """The breaches of the last look that every earlier one saw, too: reads of several services are no snapshot."""
    seen = [{finding.identity for finding in look.of(Kind.BREACH)} for look in looks]
    return [finding for finding in looks[-1].of(Kind.BREACH) if all(finding.identity in ids for ids in seen)]


def report(looks: Sequence[Look]) -> Report:
    """What the looks say together; those after the first were taken because of the breaches before."""
    last = looks[-1]
    return Report(
        breaches=persistent(looks), moving=last.of(Kind.MOVING), notes=last.of(Kind.NOTE), look=last, looks=len(looks)
    )
