"""The report of a run as data: what was configured, what happened, what it cost, and the verdict. One JSON document."""

import math
import os
import platform
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Final

from tests.chaos.customers import Visit
from tests.chaos.plan import BROKER_KINDS, Config, Kind, Phase, Plan
from tests.chaos.record import Backlog, Inflicted, Record
from tests.chaos.verdict import Verdict

SCHEMA: Final = 1
LASTING: Final = frozenset(
    {*(kind.value for kind in BROKER_KINDS), Kind.FREEZE, Kind.OUTAGE, Kind.UNBIND, Kind.LEADER_FREEZE, Kind.NODE_KILL}
)
CALM_SAMPLES: Final = 3
CALM_FLOOR: Final = 20
"""A backlog this small is no backlog: it is what is on its way at any moment."""

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and when it ran; `load` is the one-minute load average before."""

    at: str
    commit: str
    cores: int | None
    python: str
    load: float

    @classmethod
    def here(cls) -> "Machine":
        git = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(git, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
        return cls(
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            commit=done.stdout.strip() or "unknown",
            cores=os.cpu_count(),
            python=platform.python_version(),
            load=round(os.getloadavg()[0], 2),
        )


def summarise(
    config: Config, machine: Machine, plan: Plan, record: Record, visits: Sequence[Visit], verdict: Verdict
) -> Document:
    """The whole report; its keys are only ever added to within one `schema`."""
    calm = calm_backlog(record.backlog, config.steady)
    return {
        "schema": SCHEMA,
        "passed": verdict.passed,
        "config": asdict(config),
        "machine": asdict(machine) | {"load_after": round(os.getloadavg()[0], 2)},
        "verdict": asdict(verdict),
        "counts": _counts(record, visits),
        "phases": [_phase(phase, record) for phase in plan.phases],
        "faults": [_fault(fault, record, calm) for fault in record.faults],
        "calm_backlog": calm,
        "series": _series(record),
    }


def percentiles(seconds: Iterable[float]) -> dict[str, float | int]:
    """Milliseconds; nearest rank, so that p99 of few is the largest. Only the count, if there are none."""
    found = sorted(seconds)
    if not found:
        return {"count": 0}
    ranks = {f"p{q}": found[min(len(found) - 1, math.ceil(len(found) * q / 100) - 1)] for q in (50, 95, 99)}
    return {"count": len(found), **{name: _ms(value) for name, value in ranks.items()}, "max": _ms(found[-1])}


def calm_backlog(backlog: Sequence[Backlog], steady: float) -> int:
    """How much waits while nothing is wrong: the most seen in the steady phase, and half as much again."""
    seen = [total for sample in backlog if sample.at < steady and (total := sample.total) is not None]
    return max(CALM_FLOOR, round(1.5 * max(seen, default=0)))


def recovered_after(healed: float, backlog: Sequence[Backlog], calm: int, until: float = math.inf) -> float | None:
    """Seconds from `healed` until the backlog was calm for three looks in a row; None if it never was."""
    run: list[float] = []
    for sample in backlog:
        if not healed <= sample.at < until:
            continue
        total = sample.total
        run = [*run, sample.at] if total is not None and total <= calm else []
        if len(run) == CALM_SAMPLES:
            return round(run[0] - healed, 1)
    return None


def nothing_paid(begin: float, end: float, record: Record) -> float:
    """The longest time between `begin` and `end` in which no order came to be paid, in seconds."""
    paid = sorted(offer.paid for offer in record.offers if offer.paid is not None and begin <= offer.paid < end)
    moments = [begin, *paid, end]
    return round(max(after - before for before, after in pairwise(moments)), 1)


def _counts(record: Record, visits: Sequence[Visit]) -> Document:
    return {
        "offered": len(visits),
        "accepted": sum(1 for visit in visits if visit.order is not None),
        "paid": sum(1 for visit in visits if visit.offer.paid is not None),
        "by_intent": dict(Counter(visit.intent.value for visit in visits)),
        "requests": dict(Counter(ask.call for ask in record.asks)),
        "outcomes": dict(Counter(f"{ask.call}: {ask.outcome}" for ask in record.asks)),
        "faults": dict(Counter(fault.kind for fault in record.faults)),
        "restarts": dict(record.restarts),
    }


def _phase(phase: Phase, record: Record) -> Document:
    """What customers met who came in this phase."""
    offers = [offer for offer in record.offers if phase.begin <= offer.at < phase.end]
    asks = [ask for ask in record.asks if phase.begin <= ask.at < phase.end]
    accepted = [offer for offer in offers if offer.accepted is not None]
    paid = [offer for offer in offers if offer.paid is not None]
    return {
        "name": phase.name,
        "begin": phase.begin,
        "end": phase.end,
        "offered": len(offers),
        "accepted": len(accepted),
        "accepted_at_once": sum(1 for offer in accepted if offer.attempts == 1),
        "paid": len(paid),
        "place": percentiles(ask.seconds for ask in asks if ask.call == "place" and ask.outcome == "ok"),
        "accept": percentiles(offer.accepted - offer.at for offer in accepted if offer.accepted is not None),
        "pay": percentiles(ask.seconds for ask in asks if ask.call == "pay" and ask.outcome == "ok"),
        "placed_to_paid": percentiles(offer.paid - offer.at for offer in paid if offer.paid is not None),
        "outcomes": dict(Counter(f"{ask.call}: {ask.outcome}" for ask in asks)),
    }


def _fault(fault: Inflicted, record: Record, calm: int) -> Document:
    document: Document = asdict(fault)
    document["begin"] = round(fault.begin, 2)
    document["healed"] = healed = round(fault.healed, 2) if fault.healed is not None else None
    if healed is not None and fault.kind in LASTING:
        offers = [offer for offer in record.offers if fault.begin <= offer.at < healed]
        document["offered"] = len(offers)
        document["accepted"] = sum(1 for offer in offers if offer.accepted is not None)
        document["accepted_at_once"] = sum(1 for o in offers if o.accepted is not None and o.attempts == 1)
        following = min((f.begin for f in record.faults if f.begin > healed and f.kind in LASTING), default=math.inf)
        document["recovered_after"] = recovered_after(healed, record.backlog, calm, following)
        document["nothing_paid"] = nothing_paid(fault.begin, healed, record)
        document["largest_backlog"] = max(
            (s.total for s in record.backlog if fault.begin <= s.at < following and s.total is not None), default=None
        )
    return document


def _series(record: Record) -> Document:
    """Per second of the load: arrivals, orders paid, POST /orders latency; and the backlog as it was sampled."""
    end = math.ceil(max([0.0, *(ask.at for ask in record.asks), *(sample.at for sample in record.backlog)]))
    seconds = range(end + 1)
    offered = Counter(int(offer.at) for offer in record.offers)
    accepted = Counter(int(offer.accepted) for offer in record.offers if offer.accepted is not None)
    paid = Counter(int(offer.paid) for offer in record.offers if offer.paid is not None)
    places: dict[int, list[float]] = {}
    for ask in record.asks:
        if ask.call == "place" and ask.outcome == "ok" and ask.at >= 0:
            places.setdefault(int(ask.at), []).append(ask.seconds)
    return {
        "offered": [offered[second] for second in seconds],
        "accepted": [accepted[second] for second in seconds],
        "paid": [paid[second] for second in seconds],
        "place_p50": [_quantile(places.get(second), 0.50) for second in seconds],
        "place_p99": [_quantile(places.get(second), 0.99) for second in seconds],
        "backlog": [
            {"at": round(s.at, 1), "outbox": dict(s.outbox), "inbox": dict(s.inbox) if s.inbox is not None else None}
            for s in record.backlog
        ],
    }


def _quantile(seconds: list[float] | None, q: float) -> float | None:
    if not seconds:
        return None
    found = sorted(seconds)
    return _ms(found[min(len(found) - 1, math.ceil(len(found) * q) - 1)])


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
