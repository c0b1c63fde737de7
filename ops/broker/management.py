"""RabbitMQ's management API, as far as operators and tests need it: figures, virtual hosts, definitions."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import quote

import httpx


class ManagementError(Exception):
    """The management API refused or did not answer."""


class ManagementApi:
    """A client of one node's management API; a context manager."""

    def __init__(self, url: str, user: str, password: str, *, timeout: float = 10.0) -> None:
        self._http = httpx.Client(base_url=url, auth=(user, password), timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, path: str) -> Any:
        """The JSON at `/api/<path>`."""
        return self._request("GET", path).json()

    def put(self, path: str, body: Mapping[str, object]) -> None:
        self._request("PUT", path, body)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        response = self._request("POST", path, body)
        return response.json() if response.content else None

    def delete(self, path: str) -> None:
        self._request("DELETE", path)

    def queues(self, vhost: str) -> list[dict[str, Any]]:
        """Every queue of a virtual host with its figures; counts may be a few seconds old."""
        queues: list[dict[str, Any]] = self.get(f"queues/{quote(vhost, safe='')}")
        return queues

    def bindings(self, vhost: str) -> list[dict[str, Any]]:
        """Every binding of a virtual host."""
        bindings: list[dict[str, Any]] = self.get(f"bindings/{quote(vhost, safe='')}")
        return bindings

    def consumers(self, vhost: str) -> Counter[str]:
        """How many consumers each queue has, at most five seconds ago. The figure in `queues` is twice as old."""
        listed = self.get(f"consumers/{quote(vhost, safe='')}")
        return Counter(str(consumer["queue"]["name"]) for consumer in listed)

    def peek(self, vhost: str, queue: str, limit: int) -> list[dict[str, Any]]:
        """Look at the first messages of a queue; they stay there (and count as delivered once more)."""
        messages: list[dict[str, Any]] = self.post(
            f"queues/{quote(vhost, safe='')}/{quote(queue, safe='')}/get",
            {"count": limit, "ackmode": "ack_requeue_true", "encoding": "auto"},
        )
        return messages

    def load_definitions(self, definitions: Mapping[str, object]) -> None:
        """Import users, virtual hosts, rights, exchanges, queues and bindings; what is there already stays."""
        self.post("definitions", definitions)

    def _request(self, method: str, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        try:
            response = self._http.request(method, f"/api/{path}", json=body)
        except httpx.HTTPError as error:
            raise ManagementError(f"{method} {path}: {error}") from error
        if response.is_error:
            raise ManagementError(f"{method} {path}: {response.status_code} {response.text[:500]}")
        return response
