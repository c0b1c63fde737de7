"""Who ordered, and which keys made what. Pure: figures in, findings out."""

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ops.audit.findings import Check, Finding
from ops.audit.source import Row

MADE_BY: Final = {"order": "POST /orders", "payment": "POST /payments"}
"""The route whose keys make each service's orders or payments: every one of them is made under a key."""

_SESSION_RULES: Final = {
    "live_token_astray": "its live refresh token was never issued to it",
    "open_of_closed_account": "it is open, though its account is closed",
    "revoked_untold": "it was revoked, and no event says so",
}


@dataclass(frozen=True, slots=True)
class UsedKeys:
    """What the kept keys of one service made; those used after `kept_since` are all there.

    `made` counts the keys of each order or payment (None: of none that they name), `read` all keys, whatever their
    route. A busy shop keeps a million: counts take a quarter of the memory that the keys would.
    """

    made: Mapping[str | None, int]
    read: int
    kept_since: datetime


def sessions(figures: Row) -> Iterator[Finding]:
    """One live refresh token per session, none of a closed account, and every revocation told."""
    for rule, text in _SESSION_RULES.items():
        for session_id in figures[rule]:
            yield Finding(Check.IDENTITY, f"session {session_id}: {text}", (session_id,))


def buyers(users: Mapping[str, str], known: Set[str]) -> Iterator[Finding]:
    """Whoever ordered has an account, or had one. `users`: an order of each."""
    for user_id, order_id in users.items():
        if user_id not in known:
            text = f"user {user_id} has ordered, but auth_svc never had such an account"
            yield Finding(Check.IDENTITY, text, (order_id, user_id))


def keys(
    service: str, used: UsedKeys, made: Mapping[str, datetime], since: datetime, at: datetime
) -> Iterator[Finding]:
    """Keys and what they made, one to one. `made`: ids and when; those of before `since` and after `at` need no key."""
    route, counted = MADE_BY[service], used.made
    what = route.removeprefix("POST /").removesuffix("s")
    for made_id, number in counted.items():
        if made_id is None:
            yield Finding(Check.KEYS, f"{number} answers kept under keys of {route} name no {what}")
        elif made_id not in made:
            yield Finding(Check.KEYS, f"a key of {route} made {what} {made_id}, which does not exist", (made_id,))
        elif number > 1:
            yield Finding(Check.KEYS, f"{what} {made_id} was made under {number} keys", (made_id,))
    for made_id, moment in made.items():
        if since < moment < at and made_id not in counted:
            yield Finding(Check.KEYS, f"{what} {made_id} was made without a key", (made_id,))
