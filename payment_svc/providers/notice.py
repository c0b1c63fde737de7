"""The webhook bodies of both simulated providers: `{"id", "type", "data": {"payment_id", "amount", "currency"}}`."""

import json
from typing import Final
from uuid import UUID

from pydantic import ValidationError

from contracts.money import Money
from payment_svc.providers.port import MalformedNoticeError, Notice

NOTICE_TYPE: Final = "payment.updated"


def parse_notice(body: bytes) -> Notice:
    """What a body says.

    Raises:
        MalformedNoticeError: it is not of this form.
    """
    try:
        document = json.loads(body)
        data = document.get("data") or {}
        payment_id, amount = data.get("payment_id"), data.get("amount")
        return Notice(
            id=_short_text(document["id"], 255),
            type=_short_text(document["type"], 80),
            relevant=document["type"] == NOTICE_TYPE,
            payment_id=UUID(payment_id) if payment_id is not None else None,
            amount=Money(amount=amount, currency=data["currency"]) if amount is not None else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ValidationError) as error:
        raise MalformedNoticeError("not a notice of this provider") from error


def _short_text(value: object, limit: int) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
        raise ValueError("not a short text")
    return value
