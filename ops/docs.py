"""Documents made from the contracts: `docs/events.md` for people and `docs/asyncapi.json` for tools."""

import inspect
import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic.json_schema import models_json_schema

from chassis.topology import EVENTS, inbox_queue
from contracts.envelope import Envelope, Event
from contracts.registry import EVENT_TYPES, SERVICES

NOTE: Final = "<!-- Made by `python -m docs.tools` from contracts/; change it there. -->"
_REFERENCE: Final = "#/components/schemas/{model}"

_HEAD: Final = f"""# Events

{NOTE}

Every event is one CloudEvents 1.0 document in JSON (structured mode), published to the topic exchange `{EVENTS}` with
its type as routing key. What it says never changes its meaning: a new field is optional, anything else is a new version
(`….v2`) beside the old one. Readers ignore fields they do not know.

| attribute | what it is |
|---|---|
| `id` | unique per event; every reader takes an id once, ever |
| `source` | `/auth`, `/catalog`, `/order` or `/payment` |
| `type` | the name below; also the routing key |
| `subject` | the id of the aggregate the fact is about |
| `time` | when it was decided, UTC |
| `correlationid` | the whole conversation: everything about an order has the order's id |
| `causationid` | the event or request that caused this one |
| `aggregateversion` | the aggregate's version after it. Gaps are normal |
| `traceparent` | W3C trace context of what decided it, if the request that began it brought one or traces are on |
| `data` | the fields below |

The same values travel as AMQP properties (`message_id`, `type`, `app_id`, `correlation_id`, `timestamp`), so they
can be read in RabbitMQ's UI without opening the body. No event carries personal data: a user is an id.

Amounts are `{{"amount": 1180, "currency": "EUR"}}`: minor units, never a float. Delivery is at least once and in any
order; see [architecture](architecture.md#what-is-guaranteed). A sample of each event is in `contracts/golden`.
"""


def events_page() -> str:
    """The page about all events."""
    sections = [_HEAD, _matrix()]
    for service, contract in SERVICES.items():
        if contract.publishes:
            sections.append(f"## Published by {service}\n")
            sections += [_section(event) for event in contract.publishes]
    return "\n".join(sections).rstrip() + "\n"


def asyncapi_document() -> dict[str, Any]:
    """The same as an AsyncAPI 3.0 document: a channel and a message per event, what each service sends and receives."""
    models: list[type[Envelope] | type[Event]] = [Envelope, *EVENT_TYPES.values()]
    _, schema = models_json_schema([(model, "validation") for model in models], ref_template=_REFERENCE)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Orderflow events",
            "version": "1.0.0",
            "description": "What the four services tell each other. Every message is a CloudEvents 1.0 document.",
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": {"broker": {"host": "127.0.0.1:5682", "protocol": "amqp", "description": "`make run`'s own node."}},
        "channels": {name: _channel(name) for name in EVENT_TYPES},
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(event) for name, event in EVENT_TYPES.items()},
            "schemas": schema["$defs"],
        },
    }


def asyncapi_text() -> str:
    """The AsyncAPI document as it is committed."""
    return json.dumps(asyncapi_document(), indent=2, ensure_ascii=False) + "\n"


def readers_of(event: type[Event]) -> list[str]:
    """The services that read an event."""
    return [service for service, contract in SERVICES.items() if event in contract.reads]


def _matrix() -> str:
    rows = ["## Who reads what\n", "| event | published by | read by |", "|---|---|---|"]
    for service, contract in SERVICES.items():
        for event in contract.publishes:
            readers = ", ".join(readers_of(event)) or "nobody but the journal"
            rows.append(f"| [`{event.wire_name}`](#{_anchor(event)}) | {service} | {readers} |")
    return "\n".join(rows) + "\n"


def _section(event: type[Event]) -> str:
    schema = event.model_json_schema()
    rows = [
        f"### {event.wire_name}\n",
        inspect.cleandoc(event.__doc__ or "") + "\n",
        f"Subject: `{event.subject_field}`.\n",
        "| field | type | |",
        "|---|---|---|",
    ]
    required = schema.get("required", [])
    rows += [
        f"| `{name}` | {_type(field)} | {'' if name in required else f'optional, default `{_default(field)}`'} |"
        for name, field in schema["properties"].items()
    ]
    return "\n".join(rows) + "\n"


def _anchor(event: type[Event]) -> str:
    return event.wire_name.replace(".", "")


def _type(field: dict[str, Any]) -> str:
    if "$ref" in field:
        return str(field["$ref"]).rpartition("/")[2]
    if "anyOf" in field:
        return " or ".join(_type(option) for option in field["anyOf"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    return str({"uuid": "UUID", "date-time": "time"}.get(field.get("format", ""), field.get("type", "any")))


def _default(field: dict[str, Any]) -> str:
    return json.dumps(field.get("default"))


def _channel(name: str) -> dict[str, Any]:
    return {
        "address": name,
        "messages": {"event": {"$ref": f"#/components/messages/{name}"}},
        "bindings": {"amqp": {"is": "routingKey", "exchange": {"name": EVENTS, "type": "topic", "durable": True}}},
    }


def _message(event: type[Event]) -> dict[str, Any]:
    return {
        "name": event.wire_name,
        "summary": inspect.cleandoc(event.__doc__ or "").splitlines()[0],
        "contentType": "application/cloudevents+json",
        "correlationId": {"location": "$message.payload#/correlationid"},
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": event.wire_name},
                        "data": {"$ref": f"#/components/schemas/{event.__name__}"},
                    },
                },
            ]
        },
    }


def _operations() -> Iterator[tuple[str, dict[str, Any]]]:
    for service, contract in SERVICES.items():
        for action, events in (("send", contract.publishes), ("receive", contract.reads)):
            for event in events:
                summary = f"{service}_svc publishes it" if action == "send" else f"from {inbox_queue(service)}"
                yield (
                    f"{service}.{action}.{event.wire_name}",
                    {"action": action, "channel": {"$ref": f"#/channels/{event.wire_name}"}, "summary": summary},
                )
