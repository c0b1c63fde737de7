"""Debian packages the shop can use: installed for root on a bare machine, asked for otherwise."""

import glob
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

from ops.console import ShopConsole

_POLICY = Path("/usr/sbin/policy-rc.d")


def can_install() -> bool:
    """Whether this is root on a machine with apt."""
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def apt_install(package: str, console: ShopConsole) -> bool:
    """Install a package without starting the service it may bring; whether that worked, with apt's words if not."""
    console.step(f"installing {package} with apt-get (once; about a minute)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _nothing_started():
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", package]):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - fixed command
            if done.returncode != 0:
                console.warn(f"{' '.join(command)} failed:\n{(done.stderr or done.stdout)[-600:]}")
                return False
    return True


@contextmanager
def _nothing_started() -> Iterator[None]:
    """Debian starts a service when it is installed, unless this file says no (101: action forbidden by policy)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()


TEST_PROGRAMS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "rabbitmq-server": "/usr/lib/rabbitmq/bin/rabbitmq-server",
        "postgresql": "/usr/lib/postgresql/*/bin/initdb",
        "caddy": "/usr/bin/caddy",
        "chromium": "/usr/bin/chromium",
        "strace": "/usr/bin/strace",
        "prometheus": "/usr/bin/promtool",
    }
)
"""What the whole test suite runs against, by Debian package, and a file that shows it is there."""


def main() -> None:
    """Install what the tests need and is missing; without root, say what that is and what will be skipped."""
    console = ShopConsole()
    missing = [package for package, program in TEST_PROGRAMS.items() if not glob.glob(program)]
    if missing and not can_install():
        console.warn(f"not installed: {', '.join(missing)}. Tests that need them are skipped (or fail, with CI set).")
        return
    for package in missing:
        if not apt_install(package, console):
            raise SystemExit(1)


if __name__ == "__main__":
    main()
