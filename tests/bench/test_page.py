"""docs/performance.md and its picture are what the newest results give; `tests/docs` sees that they are current."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.page import BEGIN, END, performance_page, performance_picture
from bench.results import save
from tests.bench.results import result, row

PAGE = f"# Performance\n\nbefore\n{BEGIN}\nold\n{END}\nafter\n"


def test_the_part_between_the_marks_is_the_newest_full_result(tmp_path: Path) -> None:
    save(result([row("hop", "us", "ours", 111, 111)], at="2026-01-01T00:00:00+00:00"), tmp_path)
    newest = save(result([row("hop", "us", "ours", 222, 222)], at="2026-01-02T00:00:00+00:00"), tmp_path)
    save(result([row("hop", "us", "ours", 333, 333)], at="2026-01-03T00:00:00+00:00", quick=True), tmp_path)
    save(result([row("hop", "us", "ours", 444, 444)], at="2026-01-04T00:00:00+00:00", parts=["hop"]), tmp_path)
    page = performance_page(PAGE, tmp_path)
    assert newest.name in page
    assert "| 222 (222-222) |" in page
    assert not any(figure in page for figure in ("111", "333", "444", "old"))
    assert page.startswith("# Performance\n\nbefore\n")
    assert page.endswith("\nafter\n")
    assert performance_page(page, tmp_path) == page


def test_a_result_on_postgresql_stands_beside_the_one_on_sqlite(tmp_path: Path) -> None:
    save(result([row("hop", "us", "ours", 222)]), tmp_path)
    other = result([row("hop", "us", "ours", 555)], at="2026-01-02T00:00:00+00:00", store="PostgreSQL, fsync=on")
    save(other | {"parts": ["cash", "hop", "orders"]}, tmp_path)
    page = performance_page(PAGE, tmp_path)
    assert page.index("### On SQLite") < page.index("| 222 (") < page.index("### On PostgreSQL") < page.index("| 555 (")


def test_without_a_full_result_the_page_says_so(tmp_path: Path) -> None:
    assert "There is no full result yet" in performance_page(PAGE, tmp_path)


def test_a_page_without_its_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="marks"):
        performance_page("# Performance\n", tmp_path)


def test_the_picture_draws_who_has_somebody_beside_them_each_work_to_its_own_scale(tmp_path: Path) -> None:
    rows = [
        row("hop", "us & co", "ours", 100, 100),
        row("hop", "by hand", "floor", 200, 200),
        row("read", "bytes", "client", 90_000),
        row("read", "us", "ours", 4000),
        row("read", "them", "naive", 1000),
        row("backlog", "us", "ours", 7),
    ]
    save(result(rows), tmp_path)
    picture = ET.fromstring(performance_picture(tmp_path))  # noqa: S314 - our own document
    texts = [text.text for text in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert {"us & co", "by hand", "them", "hop, per second", "read, per second"} <= set(texts)
    assert not {"bytes", "backlog, per second"} & set(texts)
    bars = [float(bar.attrib["width"]) for bar in picture.iter("{http://www.w3.org/2000/svg}rect")][4:]
    assert bars[0] * 2 == pytest.approx(bars[1], abs=0.2)
    assert bars[2] == pytest.approx(bars[1], abs=0.2), "the fastest of each work is as long"
