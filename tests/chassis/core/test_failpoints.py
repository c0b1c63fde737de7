"""Failpoints strike at the hit they were asked for, tell what they saw, and are spelt as the code spells them."""

import ast
import os
import signal
from pathlib import Path

import pytest

import chassis
from chassis.failpoints import POINTS, FailpointError, Failpoints

ROOT = Path(chassis.__file__).parents[1]


def sites() -> set[str]:
    """The points the code passes: the literal of every `….hit("…")`."""
    found: set[str] = set()
    for package in ("chassis", "auth_svc", "catalog_svc", "order_svc", "payment_svc"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "hit":
                    found |= {str(ast.literal_eval(argument)) for argument in node.args}
    return found


def test_every_listed_point_is_in_the_code_and_the_other_way_round() -> None:
    assert sites() == set(POINTS)


def test_a_point_strikes_at_its_hit_and_in_its_service_only() -> None:
    failpoints = Failpoints("order", "order.sweep.before:raise@2,order.sweep.before:raise@3,auth.sweep.after:raise")
    failpoints.hit("sweep.before")
    for _ in range(2):
        with pytest.raises(FailpointError, match=r"sweep\.before"):
            failpoints.hit("sweep.before")
    failpoints.hit("sweep.before")
    failpoints.hit("sweep.after")


@pytest.mark.parametrize(
    "specification",
    ["order.sweep:kill", "shop.sweep.before:kill", "order.sweep.before", "order.sweep.before:kill@soon", "kill"],
)
def test_a_misspelt_one_is_refused(specification: str) -> None:
    with pytest.raises(ValueError, match="unknown failpoint"):
        Failpoints("order", specification)


def test_the_trace_has_each_first_hit_and_each_strike(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    failpoints = Failpoints.from_environment(
        "order", {"FAILPOINT": "order.sweep.after:raise@2", "FAILPOINT_TRACE": str(trace)}
    )
    failpoints.hit("sweep.before")
    failpoints.hit("sweep.before")
    failpoints.hit("sweep.after")
    with pytest.raises(FailpointError):
        failpoints.hit("sweep.after")
    assert trace.read_text().splitlines() == [
        "order.armed",
        "order.sweep.before",
        "order.sweep.after",
        "order.sweep.after:raise@2",
    ]


def test_a_running_process_is_armed_from_a_file_by_a_signal(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGUSR1)
    file = tmp_path / "failpoint"
    try:
        failpoints = Failpoints.from_environment("order", {"FAILPOINT": f"@{file}"})
        failpoints.hit("sweep.before")
        file.write_text("order.sweep.before:raise\n")
        os.kill(os.getpid(), signal.SIGUSR1)
        with pytest.raises(FailpointError):
            failpoints.hit("sweep.before")
    finally:
        signal.signal(signal.SIGUSR1, before)
