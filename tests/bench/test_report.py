"""The tables' ratios and targets, and what a round's samples come to."""

from typing import Any

from bench.report import heading, ratios, table
from bench.targets import targets_table
from tests.bench.results import result, row


def _document() -> dict[str, Any]:
    return result([row("hop", "us", "ours", 100, 200, cpu_ms=1.5), row("hop", "them", "peer", 50)])


def test_a_ratio_is_our_median_rate_over_theirs() -> None:
    assert ratios(_document()) == {("hop", "them"): 3.0}


def test_the_table_shows_median_extremes_and_cpu() -> None:
    shown = table(_document())
    assert "| hop | us (ours) | 150 (100-200) |  |  | 1.50 |" in shown
    assert "| 3.0 times | 1.5 times |" in shown


def test_the_heading_names_what_is_installed_only() -> None:
    shown = heading(_document())
    assert "python 3.11.7" in shown
    assert "faststream" not in shown


def test_a_target_is_told_when_it_was_measured_and_met_in_its_own_direction() -> None:
    rows = [
        {"work": "POST /orders", "role": "ours", "contestant": "order_svc", "rate": 1300.0, "p99_ms": 120.0},
        {"work": "event hop", "role": "ours", "contestant": "the chassis", "rate": 1100.0},
    ]
    shown = targets_table({"rows": rows, "cash": None})
    assert "| POST /orders | ≥ 1,200 /s | 1,300.0 /s | met |" in shown
    assert "| POST /orders, p99 | ≤ 100 ms | 120.0 ms | **missed** |" in shown
    assert "| event hop through the chassis | ≥ 1,200 /s | 1,100.0 /s | **missed** |" in shown
    assert "placed to paid" not in shown


def test_a_client_is_nobody_to_be_compared_with() -> None:
    assert ratios(result([row("read", "us", "ours", 100), row("read", "bytes", "client", 9000)])) == {}
