"""The tutorial works as written: its files, edits and commands are applied in order to a copy, and say what it says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from docs.tools.pages import DOCS

ROOT = DOCS.parent
BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.DOTALL | re.MULTILINE)
FOLDERS = ("contracts", "chassis", "auth_svc", "catalog_svc", "order_svc", "payment_svc", "ops", "tests")


def test_the_fifth_service_can_be_added_as_the_tutorial_says(tmp_path: Path) -> None:
    copy_of_the_repository(tmp_path)
    printed = ""
    counts = dict.fromkeys(("python", "diff", "bash", "output"), 0)
    for kind, name, text in BLOCK.findall((DOCS / "tutorial" / "fifth-service.md").read_text()):
        counts[kind] += 1
        match kind:
            case "python":
                create(tmp_path / name, text)
            case "diff":
                edit(tmp_path / name, text)
            case "bash":
                printed = run(text, tmp_path)
            case "output":
                missing = [line for line in text.splitlines() if line not in printed]
                assert not missing, f"{missing} are not in what was printed:\n{printed}"
    assert min(counts.values()) >= 2, counts


def copy_of_the_repository(target: Path) -> None:
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, target / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", target)
    if (cache := ROOT / ".mypy_cache").exists():  # what `make check` has checked need not be checked again
        shutil.copytree(cache, target / cache.name)
    (target / ".venv").symlink_to(sys.prefix)


def create(path: Path, text: str) -> None:
    assert not path.exists(), f"{path.name} is there already"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit(path: Path, diff: str) -> None:
    """Replace what the diff shows, which has to be there exactly once."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if line[0] in " -")
    after = "".join(line[1:] for line in lines if line[0] in " +")
    text = path.read_text()
    assert text.count(before) == 1, f"{path.name} has not exactly one place that reads:\n{before}"
    path.write_text(text.replace(before, after))


def run(commands: str, folder: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "COV"))}
    done = subprocess.run(  # noqa: S603 - the page's own commands, which a test is to run
        ["/bin/bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout
