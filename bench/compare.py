"""`make bench-compare`: what changed between two results, and what is noise.

Machines differ from minute to minute, so a rate of ours is first divided by what became of the floors and peers of the
same work, which nobody changed: their median change is the machine's. What is left is a change if the rounds of the two
results do not overlap; else it is noise. CPU per unit is beside it: it suffers less from a busy machine.
"""

import argparse
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.results import RESULTS, Document, NoResultError, found, kind, load

Key = tuple[str, str]


@dataclass(frozen=True)
class Change:
    """One contestant in both results. `machine` is the change of those beside it: 1.2 if they were 20 % faster."""

    work: str
    contestant: str
    before: float
    after: float
    machine: float
    cpu: float
    verdict: str

    @property
    def own(self) -> float:
        """The change that is not the machine's."""
        return self.after / self.before / self.machine


def changes(before: Document, after: Document) -> list[Change]:
    """Ours, in the order of the later result."""
    old, new = _rows(before), _rows(after)
    return [
        _change(old[key], row, _machine(row["work"], old, new))
        for key, row in new.items()
        if row["role"] == "ours" and key in old
    ]


def _change(old: Mapping[str, Any], new: Mapping[str, Any], machine: float) -> Change:
    earlier = [rate * machine for rate in old["rates"]]
    cpu = new["cpu_ms_per_unit"] / old["cpu_ms_per_unit"] if old["cpu_ms_per_unit"] else 1.0
    verdict = _verdict(earlier, new["rates"])
    return Change(new["work"], new["contestant"], old["rate"], new["rate"], machine, cpu, verdict)


def _verdict(earlier: Sequence[float], later: Sequence[float]) -> str:
    if 1 in (len(earlier), len(later)):
        return "one round: cannot be told"
    if min(later) > max(earlier):
        return "faster"
    return "slower" if max(later) < min(earlier) else "noise"


def _machine(work: str, old: Mapping[Key, Mapping[str, Any]], new: Mapping[Key, Mapping[str, Any]]) -> float:
    """The median change of those of a work who are not ours; of all works, if it has none."""
    ratios = {key: row["rate"] / old[key]["rate"] for key, row in new.items() if row["role"] != "ours" and key in old}
    beside = [ratio for (of, _), ratio in ratios.items() if of == work] or list(ratios.values())
    return statistics.median(beside) if beside else 1.0


def _rows(document: Document) -> dict[Key, Mapping[str, Any]]:
    return {(row["work"], row["contestant"]): row for row in document["rows"]}


def table(before: Document, after: Document) -> Iterator[str]:
    """The changes, a line each."""
    yield f"A: {before['at']}, commit {before['commit']}, load {before['load_before'][0]:.1f}"
    yield f"B: {after['at']}, commit {after['commit']}, load {after['load_before'][0]:.1f}"
    yield f"{'work':<34}{'A /s':>10}{'B /s':>10}{'machine':>9}{'own':>8}{'CPU each':>10}  verdict"
    for each in changes(before, after):
        yield (
            f"{each.work:<34}{each.before:>10,.0f}{each.after:>10,.0f}{_percent(each.machine):>9}{_percent(each.own):>8}"
            f"{_percent(each.cpu):>10}  {each.verdict}"
        )


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.0f} %"


def newest_two(folder: Path) -> tuple[Path, Path]:
    """The newest result, and before it the newest that measured some of the same on the same kind of store.

    Raises:
        NoResultError: there are no two.
    """
    paths = found(folder)
    for late in reversed(paths):
        after = load(late)
        for early in reversed(paths[: paths.index(late)]):
            before = load(early)
            if (
                kind(before) == kind(after)
                and before["quick"] == after["quick"]
                and _rows(before).keys() & _rows(after)
            ):
                return early, late
        break
    raise NoResultError(f"{folder} has no two results of the same work on the same kind of store: name them, A=… B=…")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-compare", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, metavar="RESULT", help="the earlier and the later one")
    parser.add_argument("--folder", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if len(arguments.paths) not in {0, 2}:
        parser.error("name two results, or none: A=bench/results/….json B=bench/results/….json")
    try:
        early, late = arguments.paths or newest_two(arguments.folder)
        before, after = load(early), load(late)
    except NoResultError as error:
        raise SystemExit(str(error)) from None
    if kind(before) != kind(after):
        raise SystemExit(f"{early.name} is of {kind(before)}, {late.name} of {kind(after)}: they cannot be compared")
    print("\n".join(table(before, after)))


if __name__ == "__main__":
    main()
