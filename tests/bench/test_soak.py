"""An hour of load is judged for what it was: a leak is told from what fills up, from noise and from a bad minute."""

import json
import math
import random
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench.page import BEGIN, END, performance_page
from bench.results import newest_soak, save
from bench.soak.judge import FLAT_MIB_PER_HOUR, Point, theil_sen, trend
from bench.soak.people import WISHES
from bench.soak.picture import soak_picture
from bench.soak.report import grown, report
from bench.soak.run import trends
from tests.bench.commands import need_rabbitmq, output_of
from tests.bench.soaked import WARM_UP, document, windows

MINUTES = [60.0 * minute for minute in range(1, 61)]
NOISE = random.Random(3)


def series(per_hour: float, noise: float = 0.0) -> list[Point]:
    return [(at, 120 + per_hour * at / 3600 + NOISE.uniform(-noise, noise)) for at in MINUTES]


def test_the_slope_of_a_line_is_its_slope() -> None:
    assert theil_sen([(0, 1), (2, 2), (4, 3)]) == (0.5, 0.5, 0.5)


def test_the_slope_does_not_care_for_some_points_that_are_far_off() -> None:
    points = series(12)
    points[10:20] = [(at, 900.0) for at, _ in points[10:20]]
    slope, low, high = theil_sen(points)
    assert slope * 3600 == pytest.approx(12, abs=1)
    assert low <= slope <= high


def test_the_interval_has_the_true_slope_in_it_and_is_wider_the_more_noise_there_is() -> None:
    widths = []
    for noise in (0.5, 5.0):
        _, low, high = (3600 * each for each in theil_sen(series(6, noise)))
        assert low < 6 < high
        widths.append(high - low)
    assert widths[0] < widths[1]


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, 2.0), (1.0, 3.0)]])
def test_there_is_no_slope_of_one_moment(points: list[Point]) -> None:
    with pytest.raises(ValueError, match="slope"):
        theil_sen(points)


def test_what_every_order_leaves_behind_is_a_leak() -> None:
    a_leak = 5 * 3600 * 300 / 2**20  # of 300 bytes, at five orders a second
    assert not trend(series(a_leak, noise=0.5), WARM_UP, FLAT_MIB_PER_HOUR).flat


@pytest.mark.parametrize("per_hour", [0.0, 1.0, -20.0])
def test_noise_is_flat_and_so_is_what_shrinks(per_hour: float) -> None:
    assert trend(series(per_hour, noise=2), WARM_UP, FLAT_MIB_PER_HOUR).flat


def test_what_fills_up_while_it_warms_is_flat() -> None:
    filling = [(at, 150 - 40 * math.exp(-at / 120)) for at in MINUTES]
    found = trend(filling, WARM_UP, FLAT_MIB_PER_HOUR)
    assert found.flat
    assert found.first < found.last <= found.most
    assert found.late_slope <= found.slope


def test_a_leak_that_began_late_shows_in_the_second_half() -> None:
    late = [(at, 120 + max(0.0, at - 2400) / 3600 * 60) for at in MINUTES]
    assert trend(late, WARM_UP, FLAT_MIB_PER_HOUR).late_slope > 20


def test_every_process_has_its_trends() -> None:
    ran = windows(60, memory={"order": lambda minute: 100 + minute / 6}, fds={"payment": lambda minute: 30 + minute})
    memory, files = trends(ran, WARM_UP, "rss_mib"), trends(ran, WARM_UP, "fds")
    assert memory["order"].slope == pytest.approx(10)
    assert [name for name, found in memory.items() if not found.flat] == ["order"]
    assert files["payment"].slope == pytest.approx(60)
    assert [name for name, found in files.items() if not found.flat] == ["payment"]


def test_the_run_fails_by_what_is_ours_and_only_shows_what_is_not() -> None:
    growing = document(memory=dict.fromkeys(("order", "broker"), lambda minute: 100 + minute / 6))
    [found] = grown(growing)
    assert found.startswith("order: 10 MiB an hour")
    assert grown(document()) == []
    text = report(growing)
    assert "| order_svc | 100.2 | 110.0 | 110.0 | +10.0 (+10.0 to +10.0) | +10.0 | **no** |" in text
    assert "| broker | 100.2 | 110.0 | 110.0 | +10.0 (+10.0 to +10.0) | +10.0 | not judged |" in text


def test_the_report_tells_what_was_done_and_what_an_order_left() -> None:
    text = report(document())
    assert "3,600 seen through, 0 not." in text
    assert "Audit afterwards: clean." in text
    assert "| 10 | 600 | 10 / 10 / 10 | 100 / 100 / 500 | 60.0 | 10.0 | 3, 2 | 0.0 | 1.5 |" in text
    assert "| order | 1.7 | 500 | orders 1.00 |" in text
    assert "| broker's files | 3.1 | 900 | events in the journal 8.00 |" in text


def test_the_page_shows_the_newest_clean_hour(tmp_path: Path) -> None:
    save(document(at="2026-01-01T00:00:00+00:00"), tmp_path, "soak")
    wanted = save(document(at="2026-01-02T00:00:00+00:00"), tmp_path, "soak")
    save(document(at="2026-01-03T00:00:00+00:00", audit=["stock does not add up"]), tmp_path, "soak")
    save(document(minutes=30, at="2026-01-04T00:00:00+00:00"), tmp_path, "soak")
    found = newest_soak(tmp_path)
    assert found
    assert found[0] == wanted.name
    page = performance_page(f"# Performance\n{BEGIN}\n{END}\n", tmp_path)
    assert "### An hour of load" in page
    assert f"From `bench/results/{wanted.name}`" in page
    assert performance_page(page, tmp_path) == page


def test_the_picture_draws_a_line_for_every_process_from_the_left_to_the_right() -> None:
    svg = "{http://www.w3.org/2000/svg}"
    picture = ET.fromstring(soak_picture(document(memory={"order": lambda minute: minute})))  # noqa: S314 - our own
    texts = [text.text for text in picture.iter(f"{svg}text")]
    assert {"order_svc 60", "auth_svc 100", "broker 100", "p50 100", "p95 100", "60 min"} <= set(texts)
    assert sum(path.attrib.get("fill") == "none" for path in picture.iter(f"{svg}path")) == 6 + 2
    alike = ("auth_svc 100", "catalog_svc 100", "payment_svc 100", "auditor 100", "broker 100")
    heights = sorted(float(text.attrib["y"]) for text in picture.iter(f"{svg}text") if text.text in alike)
    assert [later - earlier for earlier, later in pairwise(heights)] == pytest.approx([14] * 4), (
        "no name covers another"
    )
    assert "<svg" in soak_picture(None)


@pytest.mark.rabbit
@pytest.mark.e2e
@pytest.mark.timeout(240)
async def test_people_come_for_some_seconds_and_everything_is_looked_at(tmp_path: Path) -> None:
    need_rabbitmq()
    await output_of("bench.soak", "--quick", "--results", str(tmp_path))
    ran = _only_result(tmp_path)
    assert ran["audit"] == []
    assert {"auth", "catalog", "order", "payment", "broker"} <= ran["memory"].keys()
    done = {what for window in ran["windows"] for what in window["done"]}
    assert WISHES.keys() <= done, "everything people may come for was tried"
    assert not any(window["errors"] for window in ran["windows"])
    orders = sum(window["orders"] for window in ran["windows"])
    assert ran["rested"]["stores"]["order"]["rows"]["orders"] == orders
    assert ran["rested"]["journal_messages"] > orders
    assert all(use["rss_mib"] > 10 and use["fds"] > 3 for use in ran["rested"]["uses"].values())


def _only_result(folder: Path) -> Any:
    [path] = folder.glob("*-soak.json")
    return json.loads(path.read_text())
