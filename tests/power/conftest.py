"""strace for whoever asks, services that run under it, and how thorough a run is to be."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import shop, shop_processes
from tests.power.lone import LoneService

__all__ = ["lone", "shop", "shop_processes", "strace"]

THOROUGH = os.environ.get("POWER") == "full"


@pytest.fixture(scope="session", autouse=True)
def strace() -> None:
    """Every test here needs strace, and the right to look at another process with it."""
    reason = "strace is not installed (apt-get install strace)"
    if shutil.which("strace"):
        sleeper = subprocess.Popen(["/bin/sleep", "60"])
        try:
            watching = ["timeout", "--preserve-status", "-s", "INT", "1", "strace", "-o", "/dev/null", "-p"]
            done = subprocess.run([*watching, str(sleeper.pid)], capture_output=True, text=True, check=False)  # noqa: S603 - fixed
        finally:
            sleeper.kill()
            sleeper.wait()
        if "attached" in done.stderr:
            return
        reason = f"strace may not look at other processes here: {done.stderr.strip()}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


Lone = Callable[..., LoneService]


@pytest.fixture
async def lone(tmp_path: Path) -> AsyncIterator[Lone]:
    """Makes services that run alone, in folders of their own; whatever runs at the end is killed."""
    made: list[LoneService] = []

    def make(name: str, **options: Any) -> LoneService:
        folder = tmp_path / f"{len(made)}"
        folder.mkdir()
        made.append(LoneService(name, folder, **options))
        return made[-1]

    yield make
    for service in made:
        await service.kill()
