"""An hour of steady load, and whether memory stays flat: `python -m bench.soak --rate 8 --minutes 60`.

A shop of real processes (as `make run` starts it, with a private broker) on SQLite or a private PostgreSQL. People
come at a fixed pace (`people.py`), and once a minute everything that could grow is looked at (`watch.py`). Fails if the
audit is not clean, and if memory or open files of a process of ours are not flat (`judge.py`).
"""

import argparse
import tempfile
from pathlib import Path
from typing import Final

import uvloop

from bench.processes import end_in_order_when_told
from bench.results import QUICK_RESULTS, RESULTS, save
from bench.soak.report import grown, report
from bench.soak.run import Pace, soak
from bench.stores import KINDS, stores

QUICK: Final = Pace(rate=4, seconds=12, window=2)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--rate", type=float, default=8, help="orders due per second")
    parser.add_argument("--minutes", type=float, default=60, help="how long they come")
    parser.add_argument("--store", choices=KINDS, default="sqlite", help="where the services keep their rows")
    parser.add_argument("--quick", action="store_true", help="some seconds: does it run? Memory is not judged")
    parser.add_argument(
        "--results", type=Path, help="where the dated JSON goes (default: bench/results; quick: .run/bench)"
    )
    options = parser.parse_args()
    if min(options.rate, options.minutes) <= 0:
        parser.error("--rate and --minutes are more than 0")
    pace = QUICK if options.quick else Pace(options.rate, options.minutes * 60, min(60, options.minutes * 6))
    end_in_order_when_told()
    with tempfile.TemporaryDirectory(prefix="orderflow-soak-") as name:
        folder = Path(name)
        with stores(options.store, folder / "stores") as fresh:
            document = {"quick": options.quick, **uvloop.run(soak(pace, folder / "shop", fresh))}
    print(f"wrote {save(document, options.results or (QUICK_RESULTS if options.quick else RESULTS), 'soak')}")
    print(f"\n{report(document)}\n")
    failures = [*document["audit"], *([] if options.quick else grown(document))]
    raise SystemExit("\n".join(failures) or 0)


if __name__ == "__main__":
    main()
