"""Keyset cursors: where a page ended, as an opaque string that is good for the same sort and filters only.

They are validated, not signed: a forged one can only name a place in a public list.
"""

import base64
import binascii
import hashlib
import json
from datetime import datetime

from catalog_svc.schemas import ProductQuery, Sort

Position = tuple[str | int | datetime, str]
"""The last item's sort key and SKU."""


class BadCursorError(ValueError):
    """Not a cursor of ours, or one of another sort or filter."""


def encode_cursor(query: ProductQuery, position: Position) -> str:
    key, sku = position
    document = [_fingerprint(query), key.isoformat() if isinstance(key, datetime) else key, sku]
    raw = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_cursor(query: ProductQuery, cursor: str) -> Position:
    """Where the page before ended.

    Raises:
        BadCursorError: the cursor was not made for this query.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, key, sku = json.loads(raw)
    except (ValueError, TypeError, binascii.Error, RecursionError):
        raise BadCursorError from None
    if fingerprint != _fingerprint(query) or not isinstance(sku, str):
        raise BadCursorError
    return _key(query.sort, key), sku


def _key(sort: Sort, key: object) -> str | int | datetime:
    match sort:
        case Sort.TITLE if isinstance(key, str):
            return key
        case Sort.CHEAPEST | Sort.DEAREST if type(key) is int and abs(key) < 2**63:
            return key
        case Sort.NEWEST if isinstance(key, str):
            return _time(key)
        case _:
            raise BadCursorError


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise BadCursorError from None
    if time.tzinfo is None or time.utcoffset():
        raise BadCursorError
    return time


def _fingerprint(query: ProductQuery) -> str:
    """What a cursor belongs to; the page size may change on the way."""
    parts = query.model_dump(mode="json", exclude={"limit", "cursor"})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
