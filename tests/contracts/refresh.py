"""Writes the committed schemas anew: `python -m tests.contracts.refresh`. It refuses to write a breaking change."""

import sys

from contracts.registry import EVENT_TYPES
from tests.contracts.schemas import as_text, breaking_changes, committed_schema, current_schema, schema_file


def refresh() -> list[str]:
    """Write every schema that may be written; what may not, one sentence each."""
    refused: list[str] = []
    for wire_name, event in EVENT_TYPES.items():
        path = schema_file(wire_name)
        schema = current_schema(event)
        broken = list(breaking_changes(committed_schema(wire_name), schema)) if path.exists() else []
        refused += [f"{wire_name}: {change}" for change in broken]
        if not broken:
            path.parent.mkdir(exist_ok=True)
            path.write_text(as_text(schema))
    return refused


if __name__ == "__main__":
    problems = refresh()
    if problems:
        advice = "Publish the next version (….v2) beside it. Never published yet? Delete its schema file first."
        sys.exit("\n".join(["Not written:", *problems, advice]))
    sys.stdout.write(f"{len(EVENT_TYPES)} schemas are current\n")
