"""What becomes of a message whose handler failed: a later try through a retry tier, or the dead queue and why."""

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Final

from chassis.seedwork import DomainError, ErrorKind
from chassis.topology import DEAD, RETRY_TIERS, RetryTier, inbox_queue
from chassis.transport import Delivery, OutgoingMessage
from contracts.envelope import UndecodableEventError

ATTEMPT: Final = "attempt"
FIRST_FAILED_AT: Final = "first-failed-at"
DIED_AT: Final = "died-at"
REDRIVES: Final = "redrives"
ORIGINAL_ROUTING_KEY: Final = "original-routing-key"
ERROR_TYPE: Final = "error-type"
ERROR_MESSAGE: Final = "error-message"
SERVICE: Final = "service"
TRACEPARENT: Final = "traceparent"
"""Which publish it was, as a W3C trace context; stays with the message through every detour."""
MAX_TRACEPARENT: Final = 55
MAX_MESSAGE: Final = 500

_PERMANENT_KINDS = {ErrorKind.INVALID, ErrorKind.FORBIDDEN, ErrorKind.UNAUTHENTICATED}


class UnhandledEventError(Exception):
    """The event reached a service that has no handler for it."""


class KilledProcessError(Exception):
    """The process died again and again while it handled this event."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which detours a failed message takes, one after the other, before it is dead."""

    tiers: tuple[RetryTier, ...] = RETRY_TIERS


def is_permanent(error: Exception) -> bool:
    """Whether trying again cannot help."""
    if isinstance(error, DomainError):
        return error.kind in _PERMANENT_KINDS
    return isinstance(error, UndecodableEventError | UnhandledEventError | KilledProcessError)


def attempt_of(delivery: Delivery) -> int:
    """How many attempts failed before this one, by our own header; anything but a small number counts as none."""
    return _small_number(delivery, ATTEMPT)


def redrives_of(delivery: Delivery) -> int:
    """How often an operator sent it back from the dead queue."""
    return _small_number(delivery, REDRIVES)


def original_routing_key(delivery: Delivery) -> str:
    """The key it was first published with, as far as that is known."""
    return str(delivery.headers.get(ORIGINAL_ROUTING_KEY) or _key_before_death(delivery) or delivery.routing_key)


def next_tier(policy: RetryPolicy, delivery: Delivery, error: Exception) -> RetryTier | None:
    """The detour to take, None if the message is dead."""
    attempt = attempt_of(delivery)
    if is_permanent(error) or attempt >= len(policy.tiers):
        return None
    return policy.tiers[attempt]


def retry_message(
    service: str, delivery: Delivery, error: Exception, tier: RetryTier, now: datetime, message_id: str
) -> OutgoingMessage:
    """The message for another try: it comes back to this service's inbox only, after the tier's delay."""
    return _reissue(tier.exchange, inbox_queue(service), delivery, _headers(service, delivery, error, now), message_id)


def dead_message(service: str, delivery: Delivery, error: Exception, now: datetime, message_id: str) -> OutgoingMessage:
    """The message for the dead queue, with headers an operator can read in the broker's UI."""
    headers = _headers(service, delivery, error, now) | {DIED_AT: now.isoformat()}
    return _reissue(DEAD, service, delivery, headers, message_id)


def redriven_message(service: str, delivery: Delivery, message_id: str) -> OutgoingMessage:
    """The message that gives a dead letter a new life: straight to this service's inbox, with all its attempts again.

    By the shortest retry tier, because a service may publish to no queue directly.
    """
    headers: dict[str, str | int] = {
        ATTEMPT: 0,
        ORIGINAL_ROUTING_KEY: original_routing_key(delivery),
        REDRIVES: redrives_of(delivery) + 1,
        SERVICE: service,
    }
    if since := delivery.headers.get(FIRST_FAILED_AT):
        headers[FIRST_FAILED_AT] = str(since)
    return _reissue(RETRY_TIERS[0].exchange, inbox_queue(service), delivery, headers, message_id)


def describe(error: Exception) -> str:
    """One line about an error that holds no data of a request: a refusal's own words, or where a bug was."""
    if isinstance(error, DomainError):
        text = f"{error.code}: {error.detail}" if error.detail else error.code
    elif isinstance(error, UndecodableEventError | UnhandledEventError | KilledProcessError):
        text = str(error)
    else:
        text = _where(error)
    return text[:MAX_MESSAGE]


def _headers(service: str, delivery: Delivery, error: Exception, now: datetime) -> dict[str, str | int]:
    headers: dict[str, str | int] = {
        ATTEMPT: attempt_of(delivery) + 1,
        FIRST_FAILED_AT: str(delivery.headers.get(FIRST_FAILED_AT) or now.isoformat()),
        ORIGINAL_ROUTING_KEY: original_routing_key(delivery),
        ERROR_TYPE: type(error).__name__,
        ERROR_MESSAGE: describe(error),
        SERVICE: service,
    }
    redrives = redrives_of(delivery)
    return headers | {REDRIVES: redrives} if redrives else headers


def _small_number(delivery: Delivery, header: str) -> int:
    value = delivery.headers.get(header, 0)
    return value if isinstance(value, int) and 0 <= value < 1000 else 0


def _key_before_death(delivery: Delivery) -> object:
    """What the broker noted of a message it moved itself, oldest move last."""
    deaths = delivery.headers.get("x-death")
    if not isinstance(deaths, list) or not deaths or not isinstance(deaths[-1], dict):
        return None
    keys = deaths[-1].get("routing-keys")
    return keys[0] if isinstance(keys, list) and keys else None


def _reissue(
    exchange: str, routing_key: str, delivery: Delivery, headers: Mapping[str, str | int], message_id: str
) -> OutgoingMessage:
    if isinstance(traceparent := delivery.headers.get(TRACEPARENT), str):
        headers = {**headers, TRACEPARENT: traceparent[:MAX_TRACEPARENT]}
    return OutgoingMessage(
        exchange=exchange,
        routing_key=routing_key,
        body=delivery.body,
        message_id=message_id,
        type=delivery.type or "",
        app_id=str(headers[SERVICE]),
        correlation_id=delivery.correlation_id or "",
        headers=headers,
    )


def _where(error: Exception) -> str:
    """The place of a bug in our code. The exception's own text may quote values, so it stays out."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    if not frames:
        return "unexpected error"
    last = frames[-1]
    path = PurePath(last.filename)
    return f"unexpected error at {path.parent.name}/{path.name}:{last.lineno} in {last.name}"
