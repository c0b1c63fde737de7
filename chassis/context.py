"""Where a message stands in its conversation; carried by a context variable through one request or delivery."""

from contextvars import ContextVar
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class MessageContext:
    """`correlation_id` names the conversation, `causation_id` the request or event that caused what happens now."""

    correlation_id: UUID
    causation_id: UUID | None = None
    traceparent: str | None = None


_current: ContextVar[MessageContext | None] = ContextVar("message_context", default=None)


def current_context() -> MessageContext | None:
    """The context of the request or delivery being handled, None outside of one."""
    return _current.get()


def enter_context(context: MessageContext) -> None:
    """Make `context` the current one for the rest of this task."""
    _current.set(context)


def leave_context() -> None:
    """What this task does next belongs to no conversation."""
    _current.set(None)
