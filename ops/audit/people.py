"""Who ordered, and whose sessions keep their rules. Pure: figures in, findings out."""

from collections.abc import Iterator, Mapping, Set
from typing import Final

from ops.audit.findings import Check, Finding
from ops.audit.source import Row

_SESSION_RULES: Final = {
    "live_token_astray": "its live refresh token was never issued to it",
    "open_of_closed_account": "it is open, though its account is closed",
    "revoked_untold": "it was revoked, and no event says so",
}


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
