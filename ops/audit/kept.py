"""The last audit's result, kept in a file for whoever looks later. Ids only: nothing of any person is in a report."""

import json
from pathlib import Path
from typing import Any, Final

from ops.audit.findings import Report

MAX_KEPT: Final = 50
"""Findings of each kind that are kept; `counts` tells how many there were."""


def keep_report(path: Path, report: Report) -> None:
    """Put the report in place of the one before, in one step. Only the owner may read it.

    Raises:
        OSError: it cannot be written; what was there stays.
    """
    document = report.to_json()
    kinds = ("breaches", "moving", "notes")
    document["counts"] = {kind: len(document[kind]) for kind in kinds}
    document |= {kind: document[kind][:MAX_KEPT] for kind in kinds}
    temporary = path.with_suffix(".tmp")
    temporary.touch(mode=0o600)
    temporary.write_text(json.dumps(document))
    temporary.replace(path)


def kept_report(path: Path) -> dict[str, Any] | None:
    """What was kept last; None if there is nothing, or nothing that can be read."""
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) and {"result", "at", "counts"} <= document.keys() else None
