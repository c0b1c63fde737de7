"""The OpenAPI document, completed with what the framework cannot see, and a page that shows it without any script."""

import base64
import hashlib
import html
from collections.abc import Iterator, Mapping
from typing import Any, Final

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.openapi.utils import get_openapi
from fastapi.routing import iter_route_contexts
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse, Response

from chassis.auth import Bearer
from chassis.body import BodyReader
from chassis.problems import MEDIA_TYPE

_REFERENCES: Final = "#/components/schemas/{model}"
_PROBLEM_SCHEMA: Final[Mapping[str, Any]] = {
    "title": "Problem",
    "description": "RFC 9457. `type` is stable; branch on it.",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "examples": ["/problems/not-found"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "urn:uuid: and the request's id, as in our logs."},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "message")},
            },
        },
    },
}


def install_openapi(app: FastAPI) -> None:
    """Make `app.openapi()` tell the truth about bodies, errors and roles."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents to extend its document


def build(app: FastAPI) -> dict[str, Any]:
    """The document: bodies read by `json_body`, the required role as `x-role`, every error as a problem."""
    document = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
    )
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas["Problem"] = dict(_PROBLEM_SCHEMA)
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            operation = document["paths"].get(route.path_format, {}).get(method.lower())
            if operation is not None:
                _complete(operation, route.dependant, schemas)
    return document


def docs_page(document: Mapping[str, Any]) -> Response:
    """The document as HTML; no script, no asset, nothing loaded from anywhere."""
    rows = "".join(
        _operation_html(method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    )
    schemas = "".join(_schema_html(name, schema) for name, schema in document["components"]["schemas"].items())
    title = html.escape(document["info"]["title"])
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{_STYLE}</style><h1>{title}</h1>"
        f"<p>{html.escape(document['info'].get('description', ''))}</p>"
        f'<p>Machine-readable: <a href="openapi.json">openapi.json</a></p>{rows}<h2>Schemas</h2>{schemas}</html>'
    )
    policy = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; frame-ancestors 'none'"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _complete(operation: dict[str, Any], dependant: Dependant, schemas: dict[str, Any]) -> None:
    responses: dict[str, Any] = operation.setdefault("responses", {})
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    responses.setdefault(
        "default",
        {
            "description": "A problem (RFC 9457)",
            "content": {MEDIA_TYPE: {"schema": {"$ref": _REFERENCES.format(model="Problem")}}},
        },
    )
    for dependency in _calls(dependant):
        if isinstance(dependency, BodyReader):
            operation["requestBody"] = _request_body(dependency, schemas)
        elif isinstance(dependency, Bearer):
            operation["x-role"] = dependency.role or "any"


def _calls(dependant: Dependant) -> Iterator[Any]:
    yield dependant.call
    for child in dependant.dependencies:
        yield from _calls(child)


def _request_body(reader: BodyReader, schemas: dict[str, Any]) -> dict[str, Any]:
    _, definitions = models_json_schema([(reader.model, "validation")], ref_template=_REFERENCES)
    schemas.update(definitions["$defs"])
    reference = {"$ref": _REFERENCES.format(model=reader.model.__name__)}
    return {"required": not reader.optional, "content": {"application/json": {"schema": reference}}}


def _operation_html(method: str, path: str, operation: Mapping[str, Any]) -> str:
    role = operation.get("x-role")
    notes = [f"needs role: {role}"] if role else []
    notes += [f"{p['in']} {p['name']}{'' if p.get('required') else '?'}" for p in operation.get("parameters", ())]
    if body := operation.get("requestBody"):
        notes.append("body " + _schema_link(next(iter(body["content"].values()))["schema"]))
    answers = ", ".join(f"{code} {html.escape(r.get('description', ''))}" for code, r in operation["responses"].items())
    text = operation.get("description") or operation.get("summary", "")
    return (
        f"<details><summary><b>{method.upper()}</b> <code>{html.escape(path)}</code></summary>"
        f"<p>{html.escape(text)}</p><ul>{''.join(f'<li>{note}</li>' for note in notes)}<li>answers {answers}</li></ul>"
        "</details>"
    )


def _schema_link(schema: Mapping[str, Any]) -> str:
    name = html.escape(str(schema.get("$ref", "")).rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _schema_html(name: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<li><code>{html.escape(field)}</code> {html.escape(_type_of(definition))}</li>"
        for field, definition in schema.get("properties", {}).items()
    )
    text = html.escape(schema.get("description", ""))
    return f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3><p>{text}</p><ul>{rows}</ul>'


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type_of(option) for option in schema["anyOf"])
    if "items" in schema:
        return f"list of {_type_of(schema['items'])}"
    return str(schema.get("format") or schema.get("type") or schema.get("enum") or "any")


_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "details{border:1px solid #8886;border-radius:6px;padding:.4rem .8rem;margin:.4rem 0}code{font-size:.95em}"
    "summary{cursor:pointer}b{display:inline-block;min-width:4.5rem}"
)
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
