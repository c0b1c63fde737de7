"""Publishing with confirms: one connection, one channel, and an honest answer for every message.

Facts of RabbitMQ and its client this is built around: success is a Basic.Ack for a mandatory message and nothing else;
returns are matched to publishes by message id; one refused publish closes the channel under all others in flight; a
publish that timed out may arrive later.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

import aiormq
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel, HeadersType
from aio_pika.exceptions import AMQPChannelError, ChannelInvalidStateError, DeliveryError, PublishError

from chassis.clock import Clock
from chassis.supervisor import Healthy, Supervisor
from chassis.topology import Topology
from chassis.transport.amqp.link import Link, LinkLostError, describe, open_link, wait_first
from chassis.transport.amqp.topology import topology_problem
from chassis.transport.base import Outcome, OutgoingMessage, PublishResult

logger = logging.getLogger(__name__)

PUBLISH_SECONDS = 5.0
WINDOW = 100
"""How many publishes wait for their answers at once: all of them must have one within `PUBLISH_SECONDS`, also in a
process that has a lot else to do."""
TIMED_OUT = PublishResult(Outcome.UNKNOWN, f"no answer within {PUBLISH_SECONDS:g} s")
REFUSED = PublishResult(Outcome.NACKED, "the broker could not store it")
TOPOLOGY_RETRY_SECONDS = 5.0
WATCH_SECONDS = 0.5
MAX_SHORT_BYTES = 255
MAX_HEADER_BYTES = 64_000
"""Properties must fit one frame of 128 KiB: more would close the connection, taking everyone's publishes with it."""


class Publisher:
    """The publishing half of a transport."""

    def __init__(self, url: str, topology: Topology, *, name: str, user: str | None, clock: Clock) -> None:
        self.topology_error: str | None = None
        self.blocked_since: datetime | None = None
        self.supervisor = Supervisor(name, self._session)
        self._url = url
        self._topology = topology
        self._user = user
        self._clock = clock
        self._link: Link | None = None
        self._channel: AbstractChannel | None = None
        self._suspects = Suspects()
        self._turn = asyncio.Lock()

    @property
    def connected(self) -> bool:
        return self._link is not None and self._link.usable

    async def stop(self) -> None:
        """Let the running publish finish, then close."""
        async with self._turn:
            await self.supervisor.stop()

    async def publish(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        """One result per message, in order. Equal message ids wait for each other."""
        results: dict[int, PublishResult] = {}
        async with self._turn:
            for wave in _waves(messages):
                for start in range(0, len(wave), WINDOW):
                    window = wave[start : start + WINDOW]
                    answers = await self._publish_window([messages[index] for index in window])
                    results.update(zip(window, answers, strict=True))
        return [results[index] for index in range(len(messages))]

    async def watch(self, link: Link) -> None:
        """Until the connection is lost or distrusted. While blocked it is kept: a new one would be blocked as well."""
        while not link.closed.is_set():
            blocked = await link.blocked()
            self._note_blocking(blocked)
            if link.distrusted.is_set() and not blocked:
                return
            ends = [link.closed] if blocked else [link.closed, link.distrusted]
            await wait_first(*ends, timeout=WATCH_SECONDS)

    async def _session(self, healthy: Healthy) -> None:
        async with open_link(self._url, self.supervisor.name) as link:
            try:
                await self._wait_for_topology(link)
                await self._open_channel(link)
                self._link = link
                healthy()
                await self.watch(link)
            finally:
                self._link = self._channel = self.blocked_since = self.topology_error = None
        raise LinkLostError(link.reason)

    async def _wait_for_topology(self, link: Link) -> None:
        """Publish nothing while something is missing: the journal would confirm what an absent inbox never gets."""
        while (problem := await topology_problem(link.connection, self._topology)) is not None:
            if problem != self.topology_error:
                logger.error("%s: %s", self.supervisor.name, problem)
            self.topology_error = problem
            await wait_first(link.closed, timeout=TOPOLOGY_RETRY_SECONDS)
            if link.closed.is_set():
                raise LinkLostError(link.reason)
        self.topology_error = None

    def _note_blocking(self, blocked: bool) -> None:
        if blocked and self.blocked_since is None:
            logger.warning("%s: blocked by the broker (memory or disk alarm)", self.supervisor.name)
            self.blocked_since = self._clock.now()
        elif not blocked:
            self.blocked_since = None

    async def _publish_window(self, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        """Publish messages with different ids; an unknown outcome costs the connection, so that no late answer
        can be mistaken for that of the next try."""
        link = self._link
        if link is None or not link.usable or await link.blocked():
            return [PublishResult(Outcome.UNKNOWN, self._why_not())] * len(messages)
        try:
            results = await self._attempt(link, messages)
        except asyncio.CancelledError:
            link.distrust("a publish was cancelled")
            raise
        self._suspects.learn(messages, results)
        if REFUSED in results:
            await self._give_up_channel()
        return results

    def _why_not(self) -> str:
        blocked = "blocked by the broker" if self.blocked_since is not None else ""
        return blocked or self.topology_error or "not connected"

    async def _attempt(self, link: Link, messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        """All at once; then, one by one, those that went down with the channel and those suspected from before."""
        results: dict[int, PublishResult] = {}
        together = [index for index, message in enumerate(messages) if message.message_id not in self._suspects]
        if channel := await self._open_channel(link):
            answers = await asyncio.gather(*(self._send(channel, messages[index]) for index in together))
            results = {index: answer for index, answer in zip(together, answers, strict=True) if answer is not None}
        unknown = next((result for result in results.values() if result.outcome is Outcome.UNKNOWN), None)
        if unknown is not None:
            link.distrust(f"a publish had no certain answer: {unknown.reason}")
        alone = (index for index in range(len(messages)) if index not in results)
        for index in sorted(alone, key=lambda index: self._suspects.failures(messages[index].message_id)):
            results[index] = await self._send_alone(link, messages[index])
        return [results[index] for index in range(len(messages))]

    async def _send_alone(self, link: Link, message: OutgoingMessage) -> PublishResult:
        """With nothing else in flight, a closed channel is this message's own answer."""
        channel = await self._open_channel(link) if link.usable else None
        result = await self._send(channel, message, alone=True) if channel is not None else None
        if result is None or result.outcome is Outcome.UNKNOWN:
            result = result or PublishResult(Outcome.UNKNOWN, link.reason or "the channel was lost")
            link.distrust(result.reason)
        return result

    async def _send(
        self, channel: AbstractChannel, message: OutgoingMessage, *, alone: bool = False
    ) -> PublishResult | None:
        """The broker's answer, or None if the channel was closed under the message and it was not alone."""
        try:
            exchange = await channel.get_exchange(message.exchange, ensure=False)
            answer = await exchange.publish(
                self._to_amqp(message), message.routing_key, mandatory=True, timeout=PUBLISH_SECONDS
            )
        except PublishError as error:
            return PublishResult(Outcome.RETURNED, str(getattr(error.frame, "reply_text", "")) or "returned")
        except DeliveryError:
            return REFUSED
        except AMQPChannelError as error:
            return PublishResult(Outcome.NACKED, describe(error)) if alone else None
        except ChannelInvalidStateError:
            return None
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return PublishResult(Outcome.UNKNOWN, "the connection gave up on it")
        except (ValueError, TypeError) as error:
            return PublishResult(Outcome.NACKED, f"cannot be sent: {error}")
        except TimeoutError:
            return TIMED_OUT
        except Exception as error:  # a lost connection or what the client makes of it: it may have arrived
            return PublishResult(Outcome.UNKNOWN, describe(error))
        if isinstance(answer, aiormq.spec.Basic.Ack):
            return PublishResult(Outcome.ACK)
        return PublishResult(Outcome.UNKNOWN, f"unexpected answer {type(answer).__name__}")

    async def _open_channel(self, link: Link) -> AbstractChannel | None:
        """The channel to publish on, a new one if the last was closed; None if there cannot be one."""
        if self._channel is None or self._channel.is_closed:
            try:
                async with asyncio.timeout(PUBLISH_SECONDS):
                    self._channel = await link.connection.channel(publisher_confirms=True, on_return_raises=True)
            except Exception as error:  # the connection is lost or stuck; the caller reports the messages as unknown
                self._channel = None
                link.distrust(f"no channel to publish on: {describe(error)}")
        return self._channel

    async def _give_up_channel(self) -> None:
        """Have the next messages go through a new one. RabbitMQ's channel remembers who leads a queue: one that was
        opened when a node had just died was seen to refuse for ever what a new one had stored at once."""
        channel, self._channel = self._channel, None
        if channel is not None:
            with suppress(Exception):  # it is given up either way
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await channel.close()

    def _to_amqp(self, message: OutgoingMessage) -> Message:
        """The message as aio-pika has it: persistent, and signed with the user we are to the broker.

        Raises:
            ValueError: it would not fit AMQP's frames.
        """
        headers: HeadersType = dict(message.headers)
        if (size := sum(len(name) + len(str(value).encode()) for name, value in headers.items())) > MAX_HEADER_BYTES:
            raise ValueError(f"{size} bytes of headers, at most {MAX_HEADER_BYTES}")
        for name in ("exchange", "routing_key", "message_id", "type", "app_id", "correlation_id", "content_type"):
            if len(getattr(message, name).encode()) > MAX_SHORT_BYTES:
                raise ValueError(f"{name} is longer than {MAX_SHORT_BYTES} bytes")
        return Message(
            message.body,
            headers=headers,
            content_type=message.content_type,
            delivery_mode=DeliveryMode.PERSISTENT,
            correlation_id=message.correlation_id or None,
            message_id=message.message_id,
            timestamp=message.timestamp,
            type=message.type or None,
            user_id=self._user,
            app_id=message.app_id or None,
        )


class Suspects:
    """Messages that may have brought a channel or connection down: sent alone next time, the worst last.

    Frames written just after the broker closed a channel make it close the whole connection, and then nobody can tell
    which message was refused. Without this one refused message would do the same to its batch at every try.
    A timeout is nobody's fault: the broker or this process was slow, and one message at a time would be slower still.
    """

    MOST = 1000

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def __contains__(self, message_id: str) -> bool:
        return message_id in self._failures

    def failures(self, message_id: str) -> int:
        return self._failures.get(message_id, 0)

    def learn(self, messages: Sequence[OutgoingMessage], results: Sequence[PublishResult]) -> None:
        """Suspect what went down with its channel, clear what has an outcome; the oldest suspects are forgotten."""
        for message, result in zip(messages, results, strict=True):
            if result is TIMED_OUT:
                continue
            failures = self._failures.pop(message.message_id, 0)
            if result.outcome is Outcome.UNKNOWN:
                self._failures[message.message_id] = failures + 1
        for message_id in list(self._failures)[: -self.MOST]:
            del self._failures[message_id]


def _waves(messages: Sequence[OutgoingMessage]) -> list[list[int]]:
    """Indexes such that no wave has a message id twice: first every first occurrence, then every second …"""
    seen: Counter[str] = Counter()
    waves: dict[int, list[int]] = defaultdict(list)
    for index, message in enumerate(messages):
        waves[seen[message.message_id]].append(index)
        seen[message.message_id] += 1
    return list(waves.values())
