"""What changed between two results is told from what is noise, and from what the machine did."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench.compare import changes, main, newest_two
from bench.results import NoResultError, save
from tests.bench.results import result, row


def _pair(ours: tuple[float, ...], floor: tuple[float, ...]) -> dict[str, Any]:
    return result([row("hop", "us", "ours", *ours), row("hop", "by hand", "floor", *floor)])


def test_rounds_that_do_not_overlap_are_a_change() -> None:
    (change,) = changes(_pair((100, 110), (500, 500)), _pair((150, 160), (500, 500)))
    assert (change.verdict, round(change.own, 2)) == ("faster", 1.48)
    (change,) = changes(_pair((150, 160), (500, 500)), _pair((100, 110), (500, 500)))
    assert change.verdict == "slower"


def test_rounds_that_overlap_are_noise() -> None:
    (change,) = changes(_pair((100, 160), (500, 500)), _pair((150, 170), (500, 500)))
    assert change.verdict == "noise"


def test_a_faster_machine_is_no_faster_shop() -> None:
    (change,) = changes(_pair((100, 110), (500, 500)), _pair((200, 220), (1000, 1000)))
    assert (change.verdict, change.machine, change.own) == ("noise", 2.0, 1.0)


def test_a_slower_machine_does_not_hide_a_faster_shop() -> None:
    (change,) = changes(_pair((100, 110), (500, 500)), _pair((100, 110), (250, 250)))
    assert (change.verdict, change.own) == ("faster", 2.0)


def test_one_round_tells_nothing() -> None:
    (change,) = changes(_pair((100,), (500,)), _pair((900,), (500,)))
    assert change.verdict == "one round: cannot be told"


def test_the_newest_two_of_the_same_work_and_store_are_taken(tmp_path: Path) -> None:
    wanted = save(_pair((100,), (500,)) | {"at": "2026-01-01T00:00:00+00:00"}, tmp_path)
    save(result([row("other", "us", "ours", 1)], at="2026-01-02T00:00:00+00:00"), tmp_path)
    save(_pair((1,), (1,)) | {"at": "2026-01-03T00:00:00+00:00", "store": "PostgreSQL, fsync=on"}, tmp_path)
    newest = save(_pair((100,), (500,)) | {"at": "2026-01-04T00:00:00+00:00"}, tmp_path)
    assert newest_two(tmp_path) == (wanted, newest)


def test_one_result_cannot_be_compared(tmp_path: Path) -> None:
    save(_pair((100,), (500,)), tmp_path)
    with pytest.raises(NoResultError, match="no two results"):
        newest_two(tmp_path)


def test_results_of_two_kinds_of_store_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, store in zip(paths, ("SQLite, WAL", "PostgreSQL, fsync=on"), strict=True):
        path.write_text(json.dumps(result([], store=store)))
    monkeypatch.setattr("sys.argv", ["compare", *map(str, paths)])
    with pytest.raises(SystemExit, match="cannot be compared"):
        main()


def test_the_comparison_is_printed_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save(_pair((100, 110), (500, 500)), tmp_path)
    save(_pair((150, 160), (500, 500)) | {"at": "2026-01-04T00:00:00+00:00"}, tmp_path)
    monkeypatch.setattr("sys.argv", ["compare", "--folder", str(tmp_path)])
    main()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["hop", "105", "155", "+0", "%", "+48", "%", "+0", "%", "faster"]
