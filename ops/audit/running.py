"""Sources over HTTP: the services' audit routes, and RabbitMQ's management API for what lies in the queues."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import httpx

from chassis.topology import RETRY_TIERS, VHOST, dead_queue, inbox_queue
from contracts.registry import SERVICES
from ops.audit.messages import event_id_of
from ops.audit.source import BrokerFigures
from ops.broker import ManagementApi
from ops.shop_api import ShopApi

MANAGEMENT_STALE_SECONDS: Final = 10
"""RabbitMQ counts its queues every five seconds."""
MAX_LETTERS: Final = 1_000
"""Dead letters to read per queue; ids beyond it stay unknown."""

_PROVIDER_UNAVAILABLE: Final = "/problems/provider-unavailable"

Ask = Callable[[str, str], Awaitable[httpx.Response]]
"""A GET as operator: of a service, at a path."""
Management = Callable[[], ManagementApi]


class HttpSource:
    """A shop whose services answer over HTTP. Without `management` the broker is not looked at."""

    def __init__(self, ask: Ask, management: Management | None, vhost: str = VHOST) -> None:
        self._ask = ask
        self._management = management
        self._vhost = vhost

    async def get(self, service: str, path: str) -> Any:
        """Raises: httpx.HTTPError."""
        answer = await self._ask(service, path)
        if answer.status_code == 404 or (answer.status_code == 503 and _PROVIDER_UNAVAILABLE in answer.text):
            return None
        return answer.raise_for_status().json()

    async def broker(self) -> BrokerFigures | None:
        """Raises: ManagementError."""
        if self._management is None:
            return None
        return await asyncio.to_thread(_broker_figures, self._management, self._vhost)


def running_source(shop: ShopApi) -> HttpSource:
    """The shop that runs from a folder. An embedded broker has no figures, and one of yours is not ours to ask."""
    management = shop.state.get("management")
    if management is None:
        return HttpSource(shop.get, None)
    url, user, password = management["url"], management["user"], management["password"]
    return HttpSource(shop.get, lambda: ManagementApi(url, user, password))


def _broker_figures(management: Management, vhost: str) -> BrokerFigures:
    working = [*(inbox_queue(service) for service in SERVICES), *(tier.exchange for tier in RETRY_TIERS)]
    with management() as api:
        queues = {str(queue["name"]): queue for queue in api.queues(vhost)}
        consumers = api.consumers(vhost)
        dead = {service: int(queues.get(dead_queue(service), {}).get("messages", 0)) for service in SERVICES}
        return BrokerFigures(
            waiting={name: int(queues.get(name, {}).get("messages", 0)) for name in working},
            dead=dead,
            consumers={service: consumers[inbox_queue(service)] for service in SERVICES},
            dead_ids={service: dead_letter_ids(api, vhost, service) for service in SERVICES if dead[service]},
            stale_seconds=MANAGEMENT_STALE_SECONDS,
        )


def dead_letter_ids(api: ManagementApi, vhost: str, service: str) -> frozenset[str]:
    """The event ids of a service's dead letters, as far as they are events. They stay where they are."""
    letters = api.peek(vhost, dead_queue(service), MAX_LETTERS)
    ids = (event_id_of(str(letter["payload"]).encode()) for letter in letters)
    return frozenset(event_id for event_id in ids if event_id is not None)
