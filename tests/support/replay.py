"""Replays a story of the shop to one service: the others' lines come from a file, its own it has to say itself.

A story is a file of CloudEvents, one per line, in tests/fixtures/events: what the journal of a running shop holds. The
lines of the service under test are not sent. They are its cues: it is waited for until it has said them, and where a
client had to act for that, the test acts. So one file is played to each service, and holds them to one another.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final
from uuid import UUID

from chassis.clock import Clock
from chassis.ids import Uuid7
from contracts.envelope import Envelope, Event, UndecodableEventError, decode
from contracts.registry import typed
from tests.support.harness import Harness
from tests.support.waiting import wait_until

STORIES: Final = Path(__file__).parents[1] / "fixtures" / "events"

Act = Callable[[Any], Awaitable[object]]
Cues = Mapping[type[Event], Act]
"""What a client does so that the service publishes an event: it is given that event, ids and all."""

Fact = tuple[str, dict[str, Any]]


class FixtureError(Exception):
    """A story cannot be read; the message begins with file and line."""


@dataclass(frozen=True, slots=True)
class Line:
    """One event of a story; `number` is its line in the file."""

    number: int
    envelope: Envelope
    event: Event

    @property
    def service(self) -> str:
        """Who published it."""
        return self.envelope.source.strip("/")


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, in the order it happened."""

    name: str
    lines: tuple[Line, ...]

    def said_by(self, service: str) -> list[Event]:
        """What this service published: what it should publish again when it hears the rest."""
        return [line.event for line in self.lines if line.service == service]


class ScriptedIds:
    """Makes the ids a story expects, then ids of its own again."""

    def __init__(self, clock: Clock) -> None:
        self._scripted: list[UUID] = []
        self._others = Uuid7(clock)

    def next_is(self, id: UUID) -> None:
        """The next id asked for will be this one: say so just before the request that asks for it."""
        self._scripted.append(id)

    def new(self) -> UUID:
        return self._scripted.pop(0) if self._scripted else self._others.new()


def load_story(name: str, folder: Path = STORIES) -> Story:
    """The story in a file of JSON Lines. Blank lines and those that begin with `#` are for the reader.

    Raises:
        FixtureError: there is no such file, or a line is not an event of the shop.
    """
    path = folder / name
    if not path.is_file():
        known = ", ".join(sorted(file.name for file in folder.glob("*.jsonl")))
        raise FixtureError(f"{path}: there is no such story; there are: {known}")
    seen: dict[UUID, int] = {}
    lines: list[Line] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        try:
            envelope = decode(text.encode())
            lines.append(Line(number, envelope, typed(envelope)))
        except UndecodableEventError as error:
            raise FixtureError(f"{path}:{number}: {error}") from error
        if envelope.id in seen:
            raise FixtureError(f"{path}:{number}: the id is that of line {seen[envelope.id]}")
        seen[envelope.id] = number
    return Story(name, tuple(lines))


async def replay(
    service: Harness,
    name: str,
    *,
    cues: Cues | None = None,
    shuffled: int | None = None,
    duplicated: int = 1,
    patience: float = 10.0,
) -> list[Event]:
    """Play a story to a service; what it published meanwhile, oldest first.

    Args:
        service: its clock should stand where the story begins if times are to be compared.
        name: the file in tests/fixtures/events.
        cues: what clients do, by the event it leads to.
        shuffled: a seed. The others' lines come in another order that could have happened: nothing comes before what
            caused it (`causationid`) if that is up to this service. A client's act stays where it is in the story. A
            line of the service that a later one of the others has overtaken may be left out.
        duplicated: how often each line comes; copies come at once, or at any time later if shuffled.
        patience: for how many seconds a line of the service is waited for.

    Raises:
        FixtureError: the file cannot be read.
        AssertionError: the service did not say one of its lines.
    """
    story, cues = load_story(name), cues or {}
    already = len(service.outgoing())
    wanted: Counter[tuple[str, str]] = Counter()
    furthest = 0
    for line in tell(story, service.name, cues, shuffled=shuffled, duplicated=duplicated):
        if line.service != service.name:
            service.publish(line.envelope)
            furthest = max(furthest, line.number)
            continue
        await service.settled()
        if act := cues.get(type(line.event)):
            await act(line.event)
        if furthest < line.number:
            wanted[_kind(line.event)] += 1
            await _hear(service, story, line, wanted[_kind(line.event)], already, patience)
    await service.settled()
    return service.outgoing()[already:]


def tell(story: Story, service: str, cues: Cues, *, shuffled: int | None = None, duplicated: int = 1) -> list[Line]:
    """The lines in the order they come in; see `replay`."""
    cast = _Cast(service, cues)
    rng = None if shuffled is None else Random(shuffled)
    lines = list(story.lines) if rng is None else _shuffle(story.lines, cast, rng)
    told = list(lines)
    for line in lines:
        for _ in range(0 if cast.is_own(line) else duplicated - 1):
            after = told.index(line) + 1
            told.insert(after if rng is None else rng.randint(after, len(told)), line)
    return told


def types_of(events: Iterable[Event]) -> list[str]:
    """The wire names, in order."""
    return [event.wire_name for event in events]


def facts_of(events: Iterable[Event], *, without: Sequence[str] = ()) -> dict[str, list[Fact]]:
    """The events of each aggregate in their order, to compare: across aggregates there is none to count on.

    `without` names fields that nobody can foretell.
    """
    facts: defaultdict[str, list[Fact]] = defaultdict(list)
    for event in events:
        facts[event.subject].append((event.wire_name, event.model_dump(mode="json", exclude=set(without))))
    return dict(facts)


@dataclass(frozen=True, slots=True)
class _Cast:
    """Who plays what: the service itself, and the clients that act on its cues."""

    service: str
    cues: Cues = field(default_factory=dict)

    def is_own(self, line: Line) -> bool:
        return line.service == self.service

    def is_act(self, line: Line) -> bool:
        return self.is_own(line) and type(line.event) in self.cues


def _kind(event: Event) -> tuple[str, str]:
    return event.wire_name, event.subject


async def _hear(service: Harness, story: Story, line: Line, times: int, already: int, patience: float) -> None:
    """Wait until the service has said its line."""

    def said() -> bool:
        return [_kind(event) for event in service.outgoing()[already:]].count(_kind(line.event)) >= times

    try:
        await wait_until(said, timeout=patience)
    except AssertionError:
        heard = ", ".join(types_of(service.outgoing()[already:])) or "nothing"
        raise AssertionError(
            f"{story.name}:{line.number}: {service.name} did not say {line.event.wire_name} about "
            f"{line.event.subject}; it said: {heard}; dead letters: {service.dead_letters()}"
        ) from None


def _shuffle(lines: Sequence[Line], cast: _Cast, rng: Random) -> list[Line]:
    """Another order that could have happened: at every step, any line whose time may have come."""
    before = _must_precede(lines, cast)
    told: list[int] = []
    while len(told) < len(lines):
        possible = [n for n in range(len(lines)) if n not in told and before[n] <= set(told)]
        told.append(rng.choice(possible))
    return [lines[n] for n in told]


def _must_precede(lines: Sequence[Line], cast: _Cast) -> list[set[int]]:
    """For each line those that come first in every telling.

    Between two lines of others there is no such order, as the broker keeps none, unless a line of our own lies between.
    """
    place = {line.envelope.id: n for n, line in enumerate(lines)}
    causes: list[set[int]] = []
    for line in lines:
        cause = place.get(line.envelope.causationid) if line.envelope.causationid else None
        causes.append({cause} | causes[cause] if cause is not None and cause < len(causes) else set())
    before: list[set[int]] = []
    for n, line in enumerate(lines):
        if cast.is_act(line):
            before.append(set(range(n)))
            continue
        own = {m for m in causes[n] if cast.is_own(lines[m])}
        acts = {m for m in range(n) if cast.is_act(lines[m])}
        through_own = set().union(own, acts, *(causes[m] for m in own))
        before.append(causes[n] if cast.is_own(line) else through_own)
    return before
