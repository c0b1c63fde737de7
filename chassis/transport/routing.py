"""Which queues a message goes to: AMQP's default, direct, fanout and topic routing over a topology. Pure."""

from functools import lru_cache

from chassis.topology import Topology


class Router:
    """Routes by the bindings of one topology; the default exchange (``) reaches any queue by its name."""

    def __init__(self, topology: Topology) -> None:
        self._kinds = {exchange.name: exchange.kind for exchange in topology.exchanges}
        self._queues = {queue.name for queue in topology.queues}
        self._bindings = topology.bindings

    def missing(self, exchange: str) -> str | None:
        """Why nothing can be published to `exchange`, None if it is there."""
        if exchange == "" or exchange in self._kinds:
            return None
        return f"NOT_FOUND - no exchange '{exchange}'"

    def route(self, exchange: str, routing_key: str) -> list[str]:
        """The queues, each once, in the order of the bindings."""
        if exchange == "":
            return [routing_key] if routing_key in self._queues else []
        kind = self._kinds.get(exchange)
        matching = (
            b.queue for b in self._bindings if b.exchange == exchange and _matches(kind, b.routing_key, routing_key)
        )
        return list(dict.fromkeys(matching))


def _matches(kind: str | None, pattern: str, routing_key: str) -> bool:
    if kind == "topic":
        return _topic_matches(_words(pattern), _words(routing_key))
    return kind == "fanout" or pattern == routing_key


def _words(key: str) -> tuple[str, ...]:
    return tuple(key.split(".")) if key else ()


@lru_cache(maxsize=4096)
def _topic_matches(pattern: tuple[str, ...], words: tuple[str, ...]) -> bool:
    """`*` is exactly one word, `#` any number of them."""
    if not pattern:
        return not words
    first, rest = pattern[0], pattern[1:]
    if first == "#":
        return any(_topic_matches(rest, words[start:]) for start in range(len(words) + 1))
    return bool(words) and first in ("*", words[0]) and _topic_matches(rest, words[1:])
