"""The dated documents of `bench/results`: saved, found and read."""

import json
from collections.abc import Mapping, Set
from datetime import datetime
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).parent / "results"
QUICK_RESULTS: Final = Path(".run/bench")
SOAK_SECONDS: Final = 3600
_PATTERN: Final = "*-bench.json"

Document = Mapping[str, Any]


class NoResultError(Exception):
    """There is no such document; the message says where one was looked for."""


def save(document: Document, folder: Path, of: str = "bench") -> Path:
    """Write it under its date, in UTC, and what it is of; names sort by age."""
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{datetime.fromisoformat(document['at']):%Y-%m-%d-%H%M%S}-{of}.json"
    target.write_text(json.dumps(document, indent=2) + "\n")
    return target


def load(path: Path) -> Document:
    """
    Raises:
        NoResultError: it is not there, or no document of `make bench`.
    """
    try:
        document: Document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise NoResultError(f"{path} cannot be read: {error}") from error
    if not isinstance(document, dict) or "rows" not in document:
        raise NoResultError(f"{path} is no result of `make bench`")
    return document


def found(folder: Path = RESULTS) -> list[Path]:
    """All of a folder, the newest last."""
    return sorted(folder.glob(_PATTERN))


def newest_soak(folder: Path = RESULTS) -> tuple[str, Document] | None:
    """Name and content of the newest run of `bench.soak` of at least an hour, with a clean audit."""
    for path in sorted(folder.glob("*-soak.json"), reverse=True):
        document: Document = json.loads(path.read_text())
        if document["pace"]["seconds"] >= SOAK_SECONDS and not document["audit"]:
            return path.name, document
    return None


def kind(document: Document) -> str:
    """`SQLite` or `PostgreSQL`."""
    return str(document["store"]).partition(",")[0]


def newest(parts: Set[str], store: str, folder: Path = RESULTS) -> tuple[str, Document] | None:
    """Name and content of the newest one that measured all these parts in full on this kind of store."""
    for path in reversed(found(folder)):
        document = load(path)
        if not document["quick"] and kind(document) == store and parts <= set(document["parts"]):
            return path.name, document
    return None
