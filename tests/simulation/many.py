"""Many worlds on every core; of each only its summary is kept."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context

from tests.simulation.seeds import Result, run_seed


@dataclass(frozen=True)
class Summary:
    """What is left of a world when its story is dropped; the report is kept if something was wrong."""

    seed: int
    orders: int
    troubles: dict[str, int]
    report: str | None

    @classmethod
    def of(cls, result: Result) -> "Summary":
        return cls(result.seed, result.orders, result.troubles, result.report if result.findings else None)


@dataclass
class Tally:
    """The sum of many worlds."""

    worlds: int = 0
    orders: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    failed: list[Summary] = field(default_factory=list)

    def add(self, summary: Summary) -> None:
        self.worlds += 1
        self.orders += summary.orders
        self.troubles.update(summary.troubles)
        if summary.report is not None:
            self.failed.append(summary)


def summaries(seeds: range, workers: int) -> Iterator[Summary]:
    """Those of these worlds, as they come."""
    if workers == 1:
        yield from map(_summary, seeds)
        return
    with get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(_summary, seeds, chunksize=10)


def _summary(seed: int) -> Summary:
    return Summary.of(run_seed(seed))
