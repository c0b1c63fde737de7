"""Runs what failed in the last run once more, by itself: `make test-again`, and CI's second try.

Some tests have real processes, brokers and disks in real time, on machines that are not theirs alone. A failure that
does not come again is still a defect: it is named as unsteady, for somebody to look at. More than a few at once are no
accident and get no second try.
"""

import json
import sys
from pathlib import Path

import pytest

FAILED = Path(__file__).parent.parent / ".pytest_cache/v/cache/lastfailed"
MOST = 3


def main() -> int:
    """The exit status: 0 if all of them pass now, 1 if not, or if there are too many or none."""
    failed = list(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not 0 < len(failed) <= MOST:
        print(f"▸ {len(failed)} tests failed: no second try (it is for one to {MOST})")
        return 1
    status = pytest.main(["-n", "0", "-q", *failed])
    verdict = "unsteady: passes alone" if status == 0 else "not steady alone either"
    for test in failed:
        print(f"▸ {verdict}: {test}")
    return int(status != 0)


if __name__ == "__main__":
    sys.exit(main())
