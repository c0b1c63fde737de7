"""`python -m tests.simulation --seed 7` tells one world's story; `--seeds 20000` runs as many worlds on every core."""

import argparse
import os
import sys
import time

from tests.simulation.many import Tally, summaries
from tests.simulation.seeds import run_seed

PROGRESS_SECONDS = 10.0
SHOWN_REPORTS = 3


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="tell the whole story of one world")
    what.add_argument("--seeds", type=int, help="run this many worlds and report those that end wrongly")
    parser.add_argument("--from", dest="first", type=int, default=1, help="the first of them (default 1)")
    parser.add_argument("--stop", action="store_true", help="stop at the first that ends wrongly")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one per core)")
    arguments = parser.parse_args()
    if arguments.seed is not None:
        return tell(arguments.seed)
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    return run_many(seeds, arguments.workers, stop=arguments.stop)


def tell(seed: int) -> int:
    """One world, line by line; exit status 1 if something was wrong in it."""
    result = run_seed(seed)
    print(result.story.render())
    print(f"seed {seed}: {result.orders} orders, {sum(result.troubles.values())} troubles, history {result.digest}")
    for finding in result.findings:
        print(f"✗ {result.story.named(finding)}")
    return 1 if result.findings else 0


def run_many(seeds: range, workers: int, *, stop: bool) -> int:
    """Many worlds on all cores; exit status 1 and the seeds if any ended wrongly."""
    tally, started, told = Tally(), time.monotonic(), time.monotonic()
    for summary in summaries(seeds, workers):
        tally.add(summary)
        if summary.report is not None and len(tally.failed) <= SHOWN_REPORTS:
            print(summary.report, flush=True)
        if tally.failed and stop:
            break
        if time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            print(_progress(tally, seeds, told - started), flush=True)
    print(_progress(tally, seeds, time.monotonic() - started))
    print("  ".join(f"{kind} {count:,}" for kind, count in sorted(tally.troubles.items())))
    if tally.failed:
        print(f"✗ seeds {' '.join(str(seed) for seed in sorted(summary.seed for summary in tally.failed))}")
    return 1 if tally.failed else 0


def _progress(tally: Tally, seeds: range, seconds: float) -> str:
    rate = tally.worlds / seconds if seconds else 0.0
    return (
        f"{tally.worlds:,} of {len(seeds):,} worlds, {rate:.1f} a second, {tally.orders:,} orders, "
        f"{sum(tally.troubles.values()):,} troubles, {len(tally.failed)} ended wrongly"
    )


if __name__ == "__main__":
    sys.exit(main())
