"""The locked requirements go together: who installs two of the files gets one version of each package."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def pins(name: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([a-z0-9._-]+)(?:\[[a-z,]+\])?==(\S+)", (ROOT / name).read_text()))


@pytest.mark.parametrize("other", ["requirements-otel.txt", "requirements-dev.txt"])
def test_a_package_has_one_version(other: str) -> None:
    ours, theirs = pins("requirements.txt"), pins(other)
    assert ours
    assert {name: theirs[name] for name in ours.keys() & theirs.keys() if theirs[name] != ours[name]} == {}


def test_contributors_have_what_exports_traces() -> None:
    exporting = pins("requirements-otel.txt")
    assert "opentelemetry-sdk" in exporting
    assert exporting.items() <= pins("requirements-dev.txt").items()


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-otel.txt", "requirements-dev.txt"])
def test_each_package_is_locked_by_hash_and_no_address_is_kept(name: str) -> None:
    text = (ROOT / name).read_text()
    entries = re.split(r"(?m)^(?=\S)", text)[1:]
    assert all("--hash=sha256:" in entry for entry in entries if not entry.startswith("#"))
    assert "://" not in text
