"""An HTTP client for apps in this process: ASGI and nothing else, because a world makes a hundred calls."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client received."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The slug of a problem, `ok` of anything else."""
        return str(self.json.get("type", "")).rpartition("/")[2] if self.status >= 400 else "ok"


@dataclass(frozen=True, slots=True)
class Call:
    """A request, ready to be sent any number of times."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def to(self, app: FastAPI) -> Coroutine[Any, Any, Answer]:
        return _ask(app, self)


def call(method: str, path: str, body: object = None, **headers: str) -> Call:
    """A request with a JSON body, if any."""
    if body is None:
        return Call(method, path, b"", headers)
    return Call(method, path, json.dumps(body).encode(), {"content-type": "application/json", **headers})


async def _ask(app: FastAPI, request: Call) -> Answer:
    path, _, query = request.path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in request.headers.items()],
        "client": ("192.0.2.1", 12345),
        "server": ("shop", 80),
        "state": {},
    }
    incoming = [{"type": "http.request", "body": request.body, "more_body": False}]
    received: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        await asyncio.Event().wait()  # the client never hangs up
        raise AssertionError

    async def send(message: dict[str, Any]) -> None:
        received.append(message)

    send_: Callable[[Any], Coroutine[Any, Any, None]] = send
    await app(scope, receive, send_)
    body = b"".join(message.get("body", b"") for message in received[1:])
    headers = {name.decode(): value.decode() for name, value in received[0]["headers"]}
    return Answer(received[0]["status"], body, headers)
