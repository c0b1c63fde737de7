"""Cursors and search text: what is written is read, and nothing else is."""

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_svc.cursors import BadCursorError, Position, decode_cursor, encode_cursor
from catalog_svc.schemas import ProductQuery, Sort
from catalog_svc.search import folded, last_with, query_words, search_text, sort_key, words

FINGERPRINTS = {
    sort: json.loads(base64.urlsafe_b64decode(encode_cursor(ProductQuery(sort=sort), ("", "")) + "=="))[0]
    for sort in Sort
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner), max_leaves=4
)


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        (Sort.TITLE, "émile"),
        (Sort.CHEAPEST, 0),
        (Sort.DEAREST, 10**12),
        (Sort.NEWEST, datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)),
    ],
)
def test_a_cursor_says_where_the_page_ended(sort: Sort, key: str | int | datetime) -> None:
    position: Position = (key, "BK-1")
    query = ProductQuery(sort=sort, q="a", limit=3)
    cursor = encode_cursor(query, position)
    assert decode_cursor(query.model_copy(update={"limit": 100}), cursor) == position
    with pytest.raises(BadCursorError):
        decode_cursor(query.model_copy(update={"q": "b"}), cursor)


@given(st.sampled_from(Sort), st.binary(max_size=200))
def test_no_bytes_are_a_cursor_by_chance(sort: Sort, raw: bytes) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(ProductQuery(sort=sort), base64.urlsafe_b64encode(raw).rstrip(b"=").decode())


@given(st.sampled_from(Sort), JSON, JSON)
def test_a_forged_cursor_is_of_the_right_types_or_refused(sort: Sort, key: object, sku: object) -> None:
    raw = json.dumps([FINGERPRINTS[sort], key, sku]).encode()
    try:
        position = decode_cursor(ProductQuery(sort=sort), base64.urlsafe_b64encode(raw).decode())
    except BadCursorError:
        return
    expected = {Sort.TITLE: str, Sort.NEWEST: datetime}.get(sort, int)
    assert type(position[0]) is expected
    assert type(position[1]) is str


@given(st.text(max_size=100))
def test_any_text_can_be_searched_for(text: str) -> None:
    assert folded(folded(text)) == folded(text)
    assert words(folded(text)) == words(text)
    kept = words(search_text("before", text, "after"))
    for wanted in query_words(text):
        assert wanted in kept
        assert wanted.encode() <= wanted.encode() + b"x" <= last_with(wanted).encode()
    assert len(sort_key(text)) <= 600


def test_what_a_word_is() -> None:
    assert words("The  Brontës' BK-0183: 50%_é") == {"the", "brontes", "bk", "0183", "50", "e"}
    assert words("_%\\ -") == frozenset()
    assert words("x" * 100) == {"x" * 64}
    assert query_words("emily em brontë e") == ("bronte", "emily")
