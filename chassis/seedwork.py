"""What every domain is built from: aggregates that record events, transition tables, and errors with a kind. Pure."""

from collections.abc import Mapping, Set
from enum import Enum, StrEnum
from typing import Generic, TypeVar

from contracts.envelope import Event

StateT = TypeVar("StateT", bound=Enum)


class ErrorKind(StrEnum):
    """What a refusal means to whoever asked; each door maps it once (HTTP status; retry or dead letter)."""

    INVALID = "invalid"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    FORBIDDEN = "forbidden"
    UNAUTHENTICATED = "unauthenticated"
    PRECONDITION_FAILED = "precondition_failed"
    TOO_MANY = "too_many"
    UNAVAILABLE = "unavailable"


class DomainError(Exception):
    """A business rule said no.

    `code` is a stable slug (`price-changed`) that clients may branch on; `detail` is a sentence for a person and
    carries no personal data; `retry_after` is in seconds, where waiting helps.
    """

    def __init__(self, code: str, kind: ErrorKind, detail: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(detail or code)
        self.code = code
        self.kind = kind
        self.detail = detail
        self.retry_after = retry_after


class NotFoundError(DomainError):
    """There is no such thing, or it is not the caller's: the two look the same from outside."""

    def __init__(self, what: str) -> None:
        super().__init__("not-found", ErrorKind.NOT_FOUND, f"There is no such {what}.")


class IllegalTransitionError(DomainError):
    """The aggregate is in a state that does not allow this move."""

    def __init__(self, current: Enum, wanted: Enum) -> None:
        super().__init__("illegal-transition", ErrorKind.CONFLICT, f"Cannot go from {current.value} to {wanted.value}.")


class Transitions(Generic[StateT]):
    """The moves a state machine allows, as data: `{PENDING: {CONFIRMED, CANCELLED}, …}`."""

    def __init__(self, moves: Mapping[StateT, Set[StateT]]) -> None:
        self._moves = {state: frozenset(targets) for state, targets in moves.items()}

    def allows(self, current: StateT, wanted: StateT) -> bool:
        return wanted in self._moves.get(current, frozenset())

    def move(self, current: StateT, wanted: StateT) -> StateT:
        """`wanted`, if the table allows it from `current`.

        Raises:
            IllegalTransitionError: it does not.
        """
        if not self.allows(current, wanted):
            raise IllegalTransitionError(current, wanted)
        return wanted

    def leads_to(self, current: StateT, wanted: StateT) -> bool:
        """Whether `wanted` can be reached from `current` by one or more moves."""
        seen: set[StateT] = set()
        ahead = set(self._moves.get(current, frozenset()))
        while ahead - seen:
            state = (ahead - seen).pop()
            seen.add(state)
            ahead |= self._moves.get(state, frozenset())
        return wanted in seen

    def is_final(self, state: StateT) -> bool:
        return not self._moves.get(state)


class AggregateRoot:
    """A consistency boundary: loaded whole, changed by methods that name an intent, saved with its events.

    `version` counts the events the aggregate has recorded, so events of one aggregate are numbered 1, 2, 3 … .
    """

    def __init__(self, version: int = 0) -> None:
        self.version = version
        self._recorded: list[tuple[Event, int]] = []

    def record(self, event: Event) -> None:
        """Remember a fact; it is published if and only if the change is committed."""
        self.version += 1
        self._recorded.append((event, self.version))

    def pull_events(self) -> list[tuple[Event, int]]:
        """The events recorded since the last call, each with the version it made, oldest first."""
        recorded, self._recorded = self._recorded, []
        return recorded
