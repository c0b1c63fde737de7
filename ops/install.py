"""Debian packages the shop can use: installed for root on a bare machine, asked for otherwise."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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
