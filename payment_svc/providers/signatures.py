"""Webhook signatures, Stripe's scheme: HMAC-SHA256 over `<time>.<raw body>`, in a header `t=<time>,v1=<hex>[,v1=…]`."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final

TOLERANCE_SECONDS: Final = 300
HEADER: Final = "Webhook-Signature"
MAX_HEADER: Final = 2_000


class InvalidSignatureError(Exception):
    """The body does not come from who knows the secret, or not now."""


def sign(body: bytes, secret: str, at: int) -> str:
    """The header for a body sent at `at` (Unix seconds)."""
    return f"t={at},v1={_digest(body, secret, str(at))}"


def check(body: bytes, header: str, secrets: Sequence[str], now: float) -> None:
    """Accept a body signed with any of the secrets within the last, or next, five minutes.

    Raises:
        InvalidSignatureError: it is not; also for a header that is none, or when there is no secret.
    """
    pairs = [part.strip().partition("=") for part in header[:MAX_HEADER].split(",")]
    times = [value for name, _, value in pairs if name == "t"]
    given = [value for name, _, value in pairs if name == "v1" and value.isascii()]
    if len(times) != 1 or not times[0].isascii() or not times[0].isdecimal() or len(times[0]) > 12:
        raise InvalidSignatureError("no time")
    expected = [_digest(body, secret, times[0]) for secret in secrets if secret]
    if not any(hmac.compare_digest(mine, theirs) for mine in expected for theirs in given):
        raise InvalidSignatureError("no signature of ours")
    if abs(now - int(times[0])) > TOLERANCE_SECONDS:
        raise InvalidSignatureError("too old or from the future")


def _digest(body: bytes, secret: str, at: str) -> str:
    return hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
