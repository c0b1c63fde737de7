"""Doing to a shop what the plan says, when it says so, and undoing it."""

import asyncio
import signal
import subprocess
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Final
from urllib.parse import quote

import httpx

from chassis.topology import EVENTS, inbox_queue
from contracts.registry import SERVICES
from tests.chaos.plan import Fault, Kind
from tests.chaos.record import Inflicted, Record
from tests.chaos.shop import STOP_SECONDS, SupervisedShop
from tests.fixtures.broker import RabbitCluster

SUPERVISE_EVERY: Final = 0.05


class Saboteur:
    """Inflicts faults on one shop. Faults of the broker come one at a time; those of processes may overlap them."""

    def __init__(self, shop: SupervisedShop, record: Record) -> None:
        self._shop = shop
        self._broker = shop.vhost.node.broker
        self._record = record
        self._do: dict[Kind, Callable[[Fault, Inflicted], Awaitable[None]]] = {
            Kind.KILL: self._kill,
            Kind.FREEZE: self._freeze,
            Kind.STOP: self._restart,
            Kind.OUTAGE: self._outage,
            Kind.BROKER_KILL: self._kill_broker,
            Kind.BROKER_FREEZE: self._freeze_broker,
            Kind.BROKER_ALARM: self._fill_broker,
            Kind.UNBIND: self._unbind,
            Kind.LEADER_FREEZE: self._freeze_leader,
            Kind.NODE_KILL: self._kill_node,
        }

    async def follow(self, faults: Iterable[Fault]) -> None:
        """Inflict each fault at its time; returns when all are healed."""
        async with asyncio.TaskGroup() as under_way:
            for fault in faults:
                await self._until(fault.at)
                under_way.create_task(self._inflict(fault))

    async def supervise(self) -> None:
        """Start again whoever died, until cancelled."""
        while True:
            for service in self._shop.revive():
                self._record.restarts[service] = self._shop.restarts[service]
            await asyncio.sleep(SUPERVISE_EVERY)  # the cadence of a supervisor, not a test's wait

    async def _inflict(self, fault: Fault) -> None:
        inflicted = Inflicted(fault.name, fault.kind.value, self._record.watch.now())
        self._record.faults.append(inflicted)
        await self._do[fault.kind](fault, inflicted)
        inflicted.healed = self._record.watch.now()

    async def _until(self, at: float) -> None:
        await asyncio.sleep(max(0.0, at - self._record.watch.now()))  # faults come when the plan says

    async def _last(self, fault: Fault, inflicted: Inflicted) -> None:
        await self._until(inflicted.begin + fault.seconds)

    async def _kill(self, fault: Fault, inflicted: Inflicted) -> None:
        self._shop.send(fault.target, signal.SIGKILL)

    async def _freeze(self, fault: Fault, inflicted: Inflicted) -> None:
        self._shop.send(fault.target, signal.SIGSTOP)
        await self._last(fault, inflicted)
        self._shop.send(fault.target, signal.SIGCONT)

    async def _restart(self, fault: Fault, inflicted: Inflicted) -> None:
        await self._stop(fault.target, inflicted)
        self._shop.launch(fault.target)

    async def _outage(self, fault: Fault, inflicted: Inflicted) -> None:
        await self._stop(fault.target, inflicted)
        await self._last(fault, inflicted)
        self._shop.launch(fault.target)

    async def _stop(self, service: str, inflicted: Inflicted) -> None:
        if not self._shop.running(service):
            return
        try:
            status, seconds = await asyncio.to_thread(self._shop.stop_within, service)
        except subprocess.TimeoutExpired as error:
            self._record.complaints.append(f"{service} did not stop in {error.timeout:.0f} s when told to")
            return
        inflicted.note = f"exit status {status} after {seconds:.1f} s"
        if status not in {0, -signal.SIGKILL} or seconds > STOP_SECONDS:  # killed: it was dead before it was told
            self._record.complaints.append(f"{service} was told to stop at {inflicted.begin:.1f} s: {inflicted.note}")

    async def _kill_broker(self, fault: Fault, inflicted: Inflicted) -> None:
        await asyncio.to_thread(self._broker.kill)
        await self._last(fault, inflicted)
        seconds = await asyncio.to_thread(self._broker.restart)
        inflicted.note = f"start took {seconds:.1f} s"

    async def _freeze_broker(self, fault: Fault, inflicted: Inflicted) -> None:
        self._broker.pause()
        await self._last(fault, inflicted)
        self._broker.resume()

    async def _fill_broker(self, fault: Fault, inflicted: Inflicted) -> None:
        await asyncio.to_thread(self._broker.memory_alarm, True)
        await self._last(fault, inflicted)
        await asyncio.to_thread(self._broker.memory_alarm, False)

    async def _freeze_leader(self, fault: Fault, inflicted: Inflicted) -> None:
        """Freeze the process that publishes the service's events; another one has to take over meanwhile."""
        leader = await self._relay_leader(fault.target)
        if leader is None:
            inflicted.note = "nobody led at that moment"
            return
        inflicted.note = leader
        self._shop.send(leader, signal.SIGSTOP)
        await self._last(fault, inflicted)
        self._shop.send(leader, signal.SIGCONT)

    async def _relay_leader(self, service: str) -> str | None:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
            for process in self._shop.replicas(service):
                with suppress(httpx.TransportError):
                    metrics = await http.get(f"{self._shop.url(process)}/metrics")
                    if "\nrelay_leads 1.0\n" in metrics.text:
                        return process
        return None

    async def _kill_node(self, fault: Fault, inflicted: Inflicted) -> None:
        """Kill the node that leads most inboxes, and start it again."""
        rabbit = self._shop.vhost.node
        if not isinstance(rabbit, RabbitCluster):
            raise TypeError("only a cluster goes on without one of its nodes")
        name, led = await asyncio.to_thread(self._inbox_leader)
        node = rabbit.cluster.node(name)
        await asyncio.to_thread(node.kill)
        await self._last(fault, inflicted)
        seconds = await asyncio.to_thread(node.restart)
        inflicted.note = f"{name.partition('@')[0][-1:]} led {led} inboxes; start took {seconds:.1f} s"

    def _inbox_leader(self) -> tuple[str, int]:
        inboxes = {inbox_queue(service) for service in SERVICES}
        with self._shop.management() as management:
            queues = management.queues(self._shop.vhost.name)
        return Counter(str(q["leader"]) for q in queues if q["name"] in inboxes and q.get("leader")).most_common(1)[0]

    async def _unbind(self, fault: Fault, inflicted: Inflicted) -> None:
        """Take the event away from the first service that reads it."""
        reader = next(s for s, c in SERVICES.items() if fault.target in {event.wire_name for event in c.reads})
        vhost, queue = quote(self._shop.vhost.name, safe=""), inbox_queue(reader)
        path = f"bindings/{vhost}/e/{EVENTS}/q/{queue}"
        await asyncio.to_thread(self._delete, f"{path}/{fault.target}")
        await self._last(fault, inflicted)
        await asyncio.to_thread(self._post, path, {"routing_key": fault.target, "arguments": {}})

    def _delete(self, path: str) -> None:
        with self._shop.management() as management:
            management.delete(path)

    def _post(self, path: str, body: dict[str, object]) -> None:
        with self._shop.management() as management:
            management.post(path, body)
