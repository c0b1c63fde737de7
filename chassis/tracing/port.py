"""What the runtime tells a tracer as it works. These classes are the deaf default: they keep and change nothing."""

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

from chassis.transport import Delivery, OutgoingMessage, PublishResult

Send = Callable[[Sequence[OutgoingMessage]], Awaitable[list[PublishResult]]]


class Span:
    """A piece of work under way. It ends with its `with` block; an exception that leaves the block is its error."""

    def carry(self, traceparent: str | None) -> str | None:
        """The W3C trace context for what this work causes, `traceparent` being the one it came with."""
        return traceparent

    def answered(self, route: str, status: int) -> None:
        """The request got an answer; `route` is the template, never the path."""

    def settled(self, result: str) -> None:
        """What became of it, in one word of a small vocabulary."""

    def failed(self, error: BaseException | str) -> None:
        """It did not work. Of an exception only what `describe` tells is kept; a text holds no data of a request."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Ended."""


_DEAF: Final = Span()


class Tracer:
    """Every method but `publish` and `close` is called on the event loop and returns at once."""

    def request(self, method: str, path: str, traceparent: str | None) -> Span:
        """An HTTP request begins; `path` only tells whether it is worth a span."""
        return _DEAF

    async def publish(self, messages: Sequence[OutgoingMessage], send: Send) -> list[PublishResult]:
        """Events leave the outbox: `send` them, perhaps with a trace context in their headers."""
        return await send(messages)

    def delivery(self, queue: str, delivery: Delivery) -> Span:
        """A consumer begins with what it was handed out from `queue`."""
        return _DEAF

    def call(self, peer: str, operation: str) -> Span:
        """Somebody outside is asked, in the current context; both names are of a small vocabulary."""
        return _DEAF

    async def close(self) -> None:
        """Send what is left, for a few seconds at most."""
