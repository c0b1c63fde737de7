"""The table's ratios, and what a round's samples come to."""

from bench.report import ratios, table
from bench.rounds import Contestant, Sample, summarised


async def _never() -> Sample:
    raise AssertionError("not run")


def _document() -> dict[str, object]:
    ours = summarised("hop", Contestant("us", "ours", _never), [Sample(100, 1, 0.1), Sample(100, 0.5, 0.2)])
    peer = summarised("hop", Contestant("them", "peer", _never), [Sample(50, 1, 0.1)])
    return {
        "at": "2026-01-01T00:00:00+00:00",
        "cores": 2,
        "load_before": (1.0, 1.0, 1.0),
        "load_after": (2.0, 1.0, 1.0),
        "stolen_percent": 0.0,
        "store": "SQLite",
        "rows": [ours.document(), peer.document()],
    }


def test_a_ratio_is_our_median_rate_over_theirs() -> None:
    assert ratios(_document()) == {("hop", "them"): 3.0}


def test_the_table_shows_median_extremes_and_cpu() -> None:
    shown = table(_document())
    assert "| hop | us (ours) | 150 (100-200) |  |  | 1.50 |" in shown
    assert "3.0 times" in shown
