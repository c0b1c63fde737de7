"""The tests can fail: each seeded bug is put into a copy of the tree, and the test named for it fails there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.seeded_bugs.bugs import BUGS, SeededBug

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 100.0
HANGING_SECONDS: Final = 20
"""Waiting for ever for what a bug has lost is a way to notice it."""
_LEFT_OUT: Final = shutil.ignore_patterns(".*", "__pycache__", "*.db*", "docs", "edge", "results")
_MARKS: Final = {"rabbit": pytest.mark.rabbit, "postgres": pytest.mark.postgres}

pytestmark = pytest.mark.exhaustive


@pytest.mark.parametrize(
    "bug", [pytest.param(bug, id=bug.name, marks=[_MARKS[server] for server in bug.needs]) for bug in BUGS]
)
def test_a_seeded_bug_is_caught(bug: SeededBug, tmp_path: Path) -> None:
    tree = a_copy(tmp_path)
    plant(bug, tree)
    code, output = run_tests(tree, bug.caught_by)
    assert code == pytest.ExitCode.TESTS_FAILED, f"{bug.what}: nobody noticed\n{output}"
    assert failed(output) & {_without_parameters(node) for node in bug.caught_by}, output


def test_without_a_bug_the_same_tests_pass(tmp_path: Path) -> None:
    """Else a test that fails in any copy would pass for one that caught something."""
    nodes = [node for bug in BUGS if not bug.needs for node in bug.caught_by]
    code, output = run_tests(a_copy(tmp_path), nodes)
    assert code == pytest.ExitCode.OK, output


def test_there_are_sixteen_of_them() -> None:
    assert len({bug.name for bug in BUGS}) == len(BUGS) == 16


def a_copy(folder: Path) -> Path:
    """The tree as it is now, in a folder of its own."""
    return Path(shutil.copytree(ROOT, folder / "tree", ignore=_LEFT_OUT))


def plant(bug: SeededBug, tree: Path) -> None:
    """Break the copy. A bug whose code is no longer there has to be written anew: it would test nothing."""
    for name, edits in bug.files.items():
        text = (tree / name).read_text()
        for sound, broken in edits:
            assert text.count(sound) == 1, f"{bug.name}: {name} has {text.count(sound)} times {sound!r}"
            text = text.replace(sound, broken)
        (tree / name).write_text(text)


def run_tests(tree: Path, nodes: Iterable[str]) -> tuple[int, str]:
    """Run these tests of the copy; exit status and what was printed."""
    options = ["-q", "-n", "0", "-p", "no:cacheprovider", "--tb=short", "-rfE", f"--timeout={HANGING_SECONDS}"]
    command = [sys.executable, "-m", "pytest", *options, *nodes]
    done = subprocess.run(  # noqa: S603 - our own tests
        command, cwd=tree, env=_environment(), capture_output=True, text=True, timeout=SECONDS, check=False
    )
    return done.returncode, done.stdout[-6000:] + done.stderr[-2000:]


def failed(output: str) -> set[str]:
    """The tests that failed in their own body or fixtures, without their parameters."""
    return {_without_parameters(node) for node in re.findall(r"^FAILED (\S+)", output, re.MULTILINE)}


def _without_parameters(node: str) -> str:
    return node.partition("[")[0]


def _environment() -> dict[str, str]:
    """Ours, without what pytest and its workers put there for themselves."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
