"""The counted operations do what they say; callgrind itself is not run here, it takes a minute."""

import re
from pathlib import Path

import pytest

from bench import counts


@pytest.mark.parametrize("name", counts.WORKLOADS)
async def test_an_operation_is_counted_when_it_is_warm(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    switched: list[str] = []
    monkeypatch.setattr(counts, "_count", switched.append)
    monkeypatch.setattr(counts, "WARM_UP", 2)
    monkeypatch.setattr(counts, "TIMES", 3)
    await counts.work(name)
    assert switched == ["on", "off"]


async def test_what_is_refused_is_not_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with counts.WORKLOADS["get_product"](tmp_path) as _:
        pass
    monkeypatch.setattr(counts, "SKU", "NOT-THERE")
    async with counts.WORKLOADS["get_product"](tmp_path / "another") as ask:
        with pytest.raises(RuntimeError, match="answered 404"):
            await ask(1)


def test_who_has_no_valgrind_is_told_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench.counts"])
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SystemExit):
        counts.main()
    assert re.search("apt-get install valgrind", capsys.readouterr().err)
