"""What will go wrong, and when: a plan made from a seed before the load begins, so that a run can be repeated."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from contracts.order import OrderPlaced
from ops.config import SERVICES

KILL_SECONDS: Final = 0.0
MIX_EVERY: Final = 20.0
MIX_SECONDS: Final = 8.0
ROLLING_EVERY: Final = 10.0
LEADER_EVERY: Final = 30.0
LEADER_SECONDS: Final = 15.0
NODE_EVERY: Final = 30.0
NODE_SECONDS: Final = 10.0
SERVICE_OUTAGE_SECONDS: Final = 30.0


class Kind(StrEnum):
    """What can be done to a shop."""

    KILL = "kill"
    FREEZE = "freeze"
    STOP = "restart"
    OUTAGE = "stop"
    BROKER_KILL = "broker killed"
    BROKER_FREEZE = "broker frozen"
    BROKER_ALARM = "broker full"
    UNBIND = "binding dropped"
    LEADER_FREEZE = "relay leader frozen"
    NODE_KILL = "broker node killed"


BROKER_KINDS: Final = (Kind.BROKER_KILL, Kind.BROKER_FREEZE, Kind.BROKER_ALARM)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something done to `target`, `at` seconds after the load began, and undone `seconds` later."""

    kind: Kind
    target: str
    at: float
    seconds: float = KILL_SECONDS

    @property
    def name(self) -> str:
        return self.kind.value if self.target == "broker" else f"{self.kind.value} {self.target}"


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of the load, in seconds after it began, that is summed up by itself."""

    name: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Config:
    """One run. Times are in seconds, `rate` in orders per second."""

    mode: str
    minutes: float = 5.0
    rate: float = 25.0
    kill_every: float = 2.0
    steady: float = 30.0
    fault_seconds: float = 60.0
    recovery_seconds: float = 60.0
    seed: int = 1
    store: str = "sqlite"
    people: int = 40
    products: int = 60
    pay_within: float = 180.0
    rest_seconds: float = 150.0
    replicas: int = 1
    """Processes of each service; more than one needs `store` to be PostgreSQL."""
    nodes: int = 1
    """Nodes of the broker."""
    only: str = ""
    """Of faults that come one by one only those whose name has this in it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All faults in order, the phases they make, and how long people come."""

    faults: tuple[Fault, ...]
    phases: tuple[Phase, ...]
    seconds: float


def make_plan(config: Config) -> Plan:
    """The plan of the configuration's mode; the same seed makes the same plan."""
    return MODES[config.mode](config, random.Random(config.seed))


def _kills(config: Config, rng: random.Random) -> Plan:
    end = config.steady + config.minutes * 60
    return Plan(tuple(_kill_every(config.kill_every, config.steady, end, rng)), _two(config, "kills", end), end)


def _mix(config: Config, rng: random.Random) -> Plan:
    """Kills all the time, and every 20 s something else beside them."""
    end = config.steady + config.minutes * 60
    faults = [*_kill_every(config.kill_every, config.steady, end, rng)]
    others: list[Fault] = []
    at = config.steady + MIX_EVERY / 2
    while at < end - MIX_SECONDS:
        kind = rng.choice([*BROKER_KINDS, Kind.FREEZE, Kind.STOP])
        target = "broker" if kind in BROKER_KINDS else rng.choice(list(SERVICES))
        others.append(Fault(kind, target, at, 0.0 if kind is Kind.STOP else MIX_SECONDS))
        at += MIX_EVERY
    return Plan(_sorted(faults + others), _two(config, "mix", end), end)


def _rolling(config: Config, rng: random.Random) -> Plan:
    """Each service in turn is told to stop, and started again."""
    end = config.steady + config.minutes * 60
    services, faults, at = list(SERVICES), list[Fault](), config.steady
    while at < end:
        faults.append(Fault(Kind.STOP, services[len(faults) % len(services)], at))
        at += ROLLING_EVERY
    return Plan(tuple(faults), _two(config, "rolling restart", end), end)


def _broker(config: Config, rng: random.Random) -> Plan:
    return _one_by_one(config, [Fault(kind, "broker", 0.0, config.fault_seconds) for kind in BROKER_KINDS])


def _services(config: Config, rng: random.Random) -> Plan:
    seconds = min(SERVICE_OUTAGE_SECONDS, config.fault_seconds)
    return _one_by_one(config, [Fault(Kind.OUTAGE, service, 0.0, seconds) for service in SERVICES])


def _binding(config: Config, rng: random.Random) -> Plan:
    return _one_by_one(config, [Fault(Kind.UNBIND, OrderPlaced.wire_name, 0.0, config.fault_seconds)])


def _replicas(config: Config, rng: random.Random) -> Plan:
    """Any process of any service is killed again and again, and now and then one is frozen that leads a relay."""
    end = config.steady + config.minutes * 60
    processes = [f"{service}{'' if n == 1 else f'.{n}'}" for n in range(1, config.replicas + 1) for service in SERVICES]
    kills = _kill_every(config.kill_every, config.steady, end, rng, processes)
    services, freezes, at = list(SERVICES), list[Fault](), config.steady + LEADER_EVERY / 2
    while at < end - LEADER_SECONDS:
        freezes.append(Fault(Kind.LEADER_FREEZE, rng.choice(services), at, LEADER_SECONDS))
        at += LEADER_EVERY
    return Plan(_sorted([*kills, *freezes]), _two(config, "kills of replicas", end), end)


def _cluster(config: Config, rng: random.Random) -> Plan:
    """The node that leads the inboxes is killed, comes back, and then the next one that leads them."""
    end, faults, at = config.steady + config.minutes * 60, list[Fault](), config.steady
    while at < end - NODE_SECONDS:
        faults.append(Fault(Kind.NODE_KILL, "broker", at, NODE_SECONDS))
        at += NODE_EVERY
    return Plan(tuple(faults), _two(config, "kills of nodes", end), end)


def _smoke(config: Config, rng: random.Random) -> Plan:
    """A bit of everything in three quarters of a minute."""
    begin = config.steady
    faults = [
        *_kill_every(config.kill_every, begin, begin + 12, rng),
        Fault(Kind.BROKER_KILL, "broker", begin + 12, 2.0),
        Fault(Kind.FREEZE, "order", begin + 24, 3.0),
        *_kill_every(config.kill_every, begin + 28, begin + 34, rng),
    ]
    end = begin + 35
    return Plan(_sorted(faults), _two(config, "smoke", end), end)


MODES: Final[Mapping[str, Callable[[Config, random.Random], Plan]]] = {
    "kills": _kills,
    "broker": _broker,
    "services": _services,
    "binding": _binding,
    "rolling": _rolling,
    "mix": _mix,
    "replicas": _replicas,
    "cluster": _cluster,
    "smoke": _smoke,
}


def _kill_every(
    every: float, begin: float, end: float, rng: random.Random, processes: Sequence[str] = tuple(SERVICES)
) -> Iterator[Fault]:
    at = begin
    while at < end:
        yield Fault(Kind.KILL, rng.choice(processes), at)
        at += every


def _one_by_one(config: Config, faults: list[Fault]) -> Plan:
    """Each fault for its time, and then time to recover, as phases of their own."""
    placed, phases, at = list[Fault](), [Phase("steady", 0.0, config.steady)], config.steady
    for fault in (fault for fault in faults if config.only in fault.name):
        placed.append(Fault(fault.kind, fault.target, at, fault.seconds))
        phases.append(Phase(fault.name, at, at + fault.seconds))
        phases.append(Phase(f"after {fault.name}", at + fault.seconds, at + fault.seconds + config.recovery_seconds))
        at += fault.seconds + config.recovery_seconds
    return Plan(tuple(placed), tuple(phases), at)


def _two(config: Config, name: str, end: float) -> tuple[Phase, ...]:
    return Phase("steady", 0.0, config.steady), Phase(name, config.steady, end)


def _sorted(faults: list[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.at))
