"""The shape of each event as a JSON Schema, and what may not change about it once it is published."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from contracts.envelope import Event

GOLDEN: Final = Path(__file__).parents[2] / "contracts" / "golden"
REFRESH: Final = "python -m tests.contracts.refresh"

Schema = Mapping[str, Any]

_SAYS_NOTHING_ABOUT_SHAPE: Final = frozenset({"title", "description", "default", "examples"})
_COMPARED_APART: Final = frozenset({"properties", "required", "items", "additionalProperties"})


def golden_file(wire_name: str) -> Path:
    """The committed sample document of an event."""
    return GOLDEN / f"{wire_name}.json"


def schema_file(wire_name: str) -> Path:
    """The committed schema of an event's data."""
    return GOLDEN / "schema" / f"{wire_name}.json"


def current_schema(event: type[Event]) -> dict[str, Any]:
    """The schema of the class as it is now, references written out in place."""
    schema = event.model_json_schema()
    inlined: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    return inlined


def committed_schema(wire_name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(schema_file(wire_name).read_text())
    return schema


def as_text(schema: Schema) -> str:
    """How a schema is written into its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def breaking_changes(old: Schema, new: Schema, where: str = "data") -> Iterator[str]:
    """What in `new` would hurt a reader or a producer of `old`, one sentence each.

    An optional field more, or another description, hurts nobody. Everything else does: consumers and producers are
    deployed one after the other, and the journal holds old events for ever.
    """
    if _shape(old) != _shape(new):
        yield f"{where} is of another type"
        return
    if _closed(new) and not _closed(old):
        yield f"{where} refuses unknown fields now"
    yield from _property_changes(old, new, where)
    if "items" in old and "items" in new:
        yield from breaking_changes(old["items"], new["items"], f"{where}[]")


def _property_changes(old: Schema, new: Schema, where: str) -> Iterator[str]:
    before, after = old.get("properties", {}), new.get("properties", {})
    needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
    for name in before:
        if name not in after:
            yield f"{where}.{name} is gone"
            continue
        if name in needed_before - needed_after:
            yield f"{where}.{name} may be missing now, and its readers count on it"
        yield from breaking_changes(before[name], after[name], f"{where}.{name}")
    for name in needed_after - needed_before:
        yield f"{where}.{name} is required now, and events already published are without it"
    if _closed(old):
        yield from (f"{where}.{name} is new, and old readers refuse it there" for name in after if name not in before)


def _shape(schema: Schema) -> dict[str, Any]:
    ignored = _SAYS_NOTHING_ABOUT_SHAPE | _COMPARED_APART
    return {key: value for key, value in schema.items() if key not in ignored}


def _closed(schema: Schema) -> bool:
    return schema.get("additionalProperties") is False


def _inlined(node: Any, definitions: Schema) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _inlined({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    return {key: _inlined(value, definitions) for key, value in node.items() if key != "$defs"}
