"""The shop's own audit of a world: the one place that knows its interface, and a stand-in for auth_svc's figures."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from auth_svc.audit import AuthAudit
from chassis.figures import OutboxFigures
from chassis.topology import RETRY_TIERS, dead_queue, inbox_queue
from ops.audit import BrokerFigures, audit
from ops.audit.messages import event_id_of
from tests.simulation.asgi import call
from tests.simulation.processes import SERVICES

if TYPE_CHECKING:
    from tests.simulation.world import World

_KEPT: Final = timedelta(days=7)


async def audit_of(world: "World") -> list[str]:
    """What the audit finds in a shop at rest, one sentence each; also what it takes for still moving."""
    report = await audit(WorldSource(world), pause=0.5)
    return [
        f"{finding.check}: {finding.text} {' '.join(finding.ids)}" for finding in (*report.breaches, *report.moving)
    ]


class WorldSource:
    """The audit's way into a world."""

    def __init__(self, world: "World") -> None:
        self._world = world

    async def get(self, service: str, path: str) -> Any:
        if service not in SERVICES:
            return _of_auth(path, self._world)
        answer = await self._world.serve(call("GET", path, **self._world.operator.headers))
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise AssertionError(f"{path}: {answer.status} {answer.body.decode()}")
        return answer.json

    async def broker(self) -> BrokerFigures:
        broker = self._world.broker
        working = [*(inbox_queue(service) for service in SERVICES), *(tier.exchange for tier in RETRY_TIERS)]
        letters = {service: broker.ready(dead_queue(service)) for service in SERVICES}
        return BrokerFigures(
            waiting={name: len(broker.ready(name)) + len(broker.unsettled(name)) for name in working},
            dead={service: len(found) for service, found in letters.items()},
            consumers=dict.fromkeys((*SERVICES, "auth"), 1),
            dead_ids={
                service: frozenset(filter(None, (event_id_of(letter.outgoing.body) for letter in found)))
                for service, found in letters.items()
            },
        )


def _of_auth(path: str, world: "World") -> Any:
    """auth_svc is not in the world: it has told nobody anything, and everybody has an account."""
    route = path.partition("?")[0].removeprefix("/auth/audit")
    if route == "/users":
        return {"items": [{"id": str(person.user_id)} for person in world.people], "next": None}
    if route == "/messages":
        return {"sent": {}, "received": {}}
    return _summary(world.clock.now()) if not route else None


def _summary(now: datetime) -> Any:
    return AuthAudit(
        at=now,
        kept_since=now - _KEPT,
        outbox=OutboxFigures(pending=0, parked=0, oldest_pending_at=None, rows=[]),
        sent={},
        received={},
        discarded={},
        users_by_status={},
        open_sessions=0,
        signing_keys=[],
        live_token_astray=[],
        open_of_closed_account=[],
        revoked_untold=[],
    ).model_dump(mode="json")
