"""Worlds of many seeds end well, the same seed has the same history, and every kind of trouble comes up."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from tests.simulation.faults import RATES
from tests.simulation.seeds import Result, run_seed

CHUNK = 25
CHUNKS = 12


def run_well(seed: int) -> Result:
    result = run_seed(seed)
    assert not result.findings, f"\n{result.report}"
    return result


def test_a_world_without_trouble_ends_well() -> None:
    result = run_well(0)
    assert result.orders
    assert not result.troubles


def test_worlds_of_the_first_seeds_end_well_and_have_every_trouble() -> None:
    troubles: Counter[str] = Counter()
    for seed in range(1, CHUNK + 1):
        troubles.update(run_well(seed).troubles)
    assert troubles.keys() == RATES.keys()


@pytest.mark.exhaustive
@pytest.mark.parametrize("chunk", range(1, CHUNKS))
def test_worlds_end_well(chunk: int) -> None:
    for seed in range(chunk * CHUNK + 1, (chunk + 1) * CHUNK + 1):
        run_well(seed)


def test_the_same_seed_has_the_same_history() -> None:
    seeds = (3, 9, 12)
    here = [run_seed(seed).digest for seed in seeds]
    assert [run_seed(seed).digest for seed in seeds] == here
    program = f"from tests.simulation.seeds import run_seed\nfor seed in {seeds}: print(run_seed(seed).digest)"
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    there = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert there.stdout.split() == here


def test_another_seed_has_another_history() -> None:
    assert run_seed(3).digest != run_seed(4).digest
