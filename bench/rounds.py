"""Rounds: every contestant measured again and again in turn (A B C A B C), so that a busy minute disturbs all alike."""

import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Sample:
    """One short round of one contestant: units of work done in `seconds`, CPU seconds of its process for them."""

    units: int
    seconds: float
    cpu_seconds: float
    latencies_ms: tuple[float, float] | None = None
    """p50 and p99, where single answers are timed."""
    rss_mib: float | None = None
    """Resident memory at the end of the round."""
    client_busy_percent: float | None = None
    """How much of a core the load client took; near 100 the figure is the client's."""


@dataclass(frozen=True)
class Row:
    """What all rounds of one contestant come to: medians, and the extremes of the rate."""

    work: str
    contestant: str
    role: str
    """`ours`, `floor`, `peer` or `naive`; `client` is how fast the load client can ask."""
    rate: float
    rate_min: float
    rate_max: float
    rates: tuple[float, ...]
    """Of each round, in their order."""
    cpu_ms_per_unit: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    rss_mib: float | None = None
    client_busy_percent: float | None = None
    rounds: int = 1
    note: str = ""

    def document(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Contestant:
    """Somebody who does the work: `once` runs one round."""

    name: str
    role: str
    once: Callable[[], Awaitable[Sample]]
    note: str = field(default="")


async def interleaved(work: str, contestants: Sequence[Contestant], rounds: int) -> list[Row]:
    """Measure all in turn, `rounds` times; one row each."""
    samples: Mapping[str, list[Sample]] = {contestant.name: [] for contestant in contestants}
    for number in range(1, rounds + 1):
        for contestant in contestants:
            sample = await contestant.once()
            samples[contestant.name].append(sample)
            print(f"  {work}, round {number}: {contestant.name} {sample.units / sample.seconds:,.0f}/s", flush=True)
    return [summarised(work, contestant, samples[contestant.name]) for contestant in contestants]


def summarised(work: str, contestant: Contestant, samples: Sequence[Sample]) -> Row:
    rates = [sample.units / sample.seconds for sample in samples]
    timed = [sample.latencies_ms for sample in samples if sample.latencies_ms]
    busy = [sample.client_busy_percent for sample in samples if sample.client_busy_percent is not None]
    memory = [sample.rss_mib for sample in samples if sample.rss_mib is not None]
    return Row(
        work=work,
        contestant=contestant.name,
        role=contestant.role,
        rate=round(statistics.median(rates), 1),
        rate_min=round(min(rates), 1),
        rate_max=round(max(rates), 1),
        rates=tuple(round(rate, 1) for rate in rates),
        cpu_ms_per_unit=round(statistics.median(1000 * s.cpu_seconds / s.units for s in samples), 3),
        p50_ms=round(statistics.median(p50 for p50, _ in timed), 1) if timed else None,
        p99_ms=round(statistics.median(p99 for _, p99 in timed), 1) if timed else None,
        rss_mib=max(memory) if memory else None,
        client_busy_percent=max(busy) if busy else None,
        rounds=len(samples),
        note=contestant.note,
    )
