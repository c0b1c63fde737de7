"""What must be true at the end: the journal of the client, the orders of the shop and its books agree."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.chaos.customers import ENDS, Visit
from tests.chaos.journal import read_journal
from tests.chaos.plan import Kind
from tests.chaos.record import Ask, Record

Order = Mapping[str, Any]

KEPT: Final = ("total", "lines", "placed_at")
"""What of an order never changes after it was answered."""
OUT_OF_TIME: Final = frozenset({"payment_timeout", "stock_timeout"})
SHOWN: Final = 20


@dataclass(slots=True)
class Verdict:
    """Each list holds what is wrong, with ids; empty lists are a pass. `late` is an honest order the deadline ended."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    altered: list[str] = field(default_factory=list)
    phantom: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    astray: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    conduct: list[str] = field(default_factory=list)
    audit: list[str] = field(default_factory=list)

    @property
    def breaches(self) -> list[str]:
        """Whatever breaks a promise, one line each."""
        named = ("lost", "doubled", "altered", "phantom", "unresolved", "astray", "conduct", "audit")
        return [f"{name}: {text}" for name in named for text in getattr(self, name)]

    @property
    def passed(self) -> bool:
        return not self.breaches and not self.late


@dataclass(slots=True)
class Asked:
    """Everything the journal knows about one idempotency key of an order."""

    attempts: int = 0
    answers: list[Order] = field(default_factory=list)
    refused: bool = False


def judge(journal: Path, visits: Sequence[Visit], orders: Sequence[Order], record: Record) -> Verdict:
    """Compare what customers were told with what is there; the audit is added by whoever can ask for it."""
    asked = _placed(journal)
    there = {order["id"]: order for order in orders}
    verdict = Verdict(conduct=[*record.complaints])
    known: set[str] = set()
    for key, entry in asked.items():
        ids = {answer["id"] for answer in entry.answers}
        known |= ids
        if len(ids) > 1:
            verdict.doubled.append(f"key {key} made orders {sorted(ids)}")
        if not ids and not entry.refused:
            verdict.unresolved.append(f"key {key}: {entry.attempts} attempts and no certain answer")
        for answer in entry.answers:
            _compare(answer, there.get(answer["id"]), verdict)
    verdict.phantom += [f"order {order_id} was never answered to anybody" for order_id in there.keys() - known]
    _ends(visits, there, verdict)
    return verdict


def unsteady(record: Record, until: float) -> list[str]:
    """What went wrong before anything was done to the shop."""
    failed = [ask for ask in record.asks if 0 <= ask.at < until and ask.failed]
    return [f"before the first fault: {_told(ask)}" for ask in failed[:SHOWN]]


def harmed(record: Record) -> list[str]:
    """What one stopped service did to the others: nothing, or it is here."""
    found: list[str] = []
    for fault in record.faults:
        if fault.kind == Kind.OUTAGE:
            end = fault.healed or math.inf
            others = (ask for ask in record.asks if ask.service not in fault.name and fault.begin <= ask.at < end)
            found += [f"{fault.name}, and {_told(ask)}" for ask in others if ask.failed]
    return found[:SHOWN]


def _told(ask: Ask) -> str:
    return f"at {ask.at:.1f} s {ask.service} did not answer '{ask.call}' ({ask.outcome}, status {ask.status or 'none'})"


def _placed(journal: Path) -> dict[str, Asked]:
    """Per idempotency key of an order: its attempts, and every 201."""
    keys: dict[int, str] = {}
    asked: dict[str, Asked] = defaultdict(Asked)
    for entry in read_journal(journal):
        if entry.get("call") == "place":
            keys[entry["n"]] = entry["key"]
            asked[entry["key"]].attempts += 1
        elif entry["n"] in keys and entry.get("outcome") == "ok":
            asked[keys[entry["n"]]].answers.append(json.loads(entry["answer"]))
        elif entry["n"] in keys and entry.get("outcome") == "no":
            asked[keys[entry["n"]]].refused = True
    return dict(asked)


def _compare(answer: Order, order: Order | None, verdict: Verdict) -> None:
    if order is None:
        verdict.lost.append(f"order {answer['id']} was answered 201 and is not there")
        return
    changed = [name for name in KEPT if answer[name] != order[name]]
    if changed:
        verdict.altered.append(f"order {order['id']}: {', '.join(changed)} are not as they were answered")


def _ends(visits: Iterable[Visit], there: Mapping[str, Order], verdict: Verdict) -> None:
    for visit in visits:
        if visit.refusal:
            verdict.astray.append(f"visit {visit.number} ({visit.intent}) was refused: {visit.refusal}")
        order = there.get(str(visit.order["id"])) if visit.order else None
        if order is None or order["status"] == ENDS[visit.intent]:
            continue
        text = f"order {order['id']} ({visit.intent}) is {order['status']}, {order['status_reason'] or 'no reason'}"
        if order["status"] == "cancelled" and order["status_reason"] in OUT_OF_TIME:
            verdict.late.append(text)
        else:
            verdict.astray.append(text)
