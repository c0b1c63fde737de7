"""`make bench` in its smallest form: every part runs, with everybody but FastStream, which is in .venv-bench only."""

from pathlib import Path

import pytest

from bench.__main__ import PARTS
from bench.page import IN_FULL
from bench.results import found, load
from tests.bench.commands import need_rabbitmq, output_of

WORKS = {
    "event hop": {"floor", "ours"},
    "backlog of 300 events": {"ours"},
    "GET a product": {"client", "floor", "ours", "naive"},
    "GET 20 of a category": {"floor", "ours", "naive"},
    "GET a product, 304": {"floor", "ours", "naive"},
    "POST /orders": {"floor", "ours", "naive"},
    "journal read": {"floor", "ours"},
    "rebuild of order_svc's products": {"floor", "ours"},
}


@pytest.mark.rabbit
@pytest.mark.e2e
@pytest.mark.timeout(400)
async def test_the_whole_benchmark_runs(tmp_path: Path) -> None:
    need_rabbitmq()
    text = await output_of("bench", "--quick", "--without-peers", "--results", str(tmp_path))
    assert "left out, as asked: FastStream" in text
    (path,) = found(tmp_path)
    document = load(path)
    roles: dict[str, set[str]] = {}
    for row in document["rows"]:
        roles.setdefault(row["work"], set()).add(row["role"])
    assert roles == WORKS
    assert [phase["phase"] for phase in document["cash"]["phases"]] == [
        "one order at a time",
        "sustained",
        "a quarter of them",
    ]
    assert document["cash"]["audit"] == []
    assert {each["service"] for each in document["cash"]["memory"]} == {"auth", "catalog", "order", "payment"}


def test_the_page_is_made_of_results_with_every_part() -> None:
    assert set(PARTS) == IN_FULL
