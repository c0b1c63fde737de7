"""How text is compared: the same in Python, SQLite and PostgreSQL, whose own rules for case and accents all differ."""

import unicodedata
from typing import Final

MAX_WORD: Final = 64


def folded(text: str) -> str:
    """Without case, accents and extra white space: `Brontë` is found by `bronte`, on every database."""
    # Unicode's compatibility caseless match (D147): decomposing can make letters that still have a case.
    once = unicodedata.normalize("NFKD", unicodedata.normalize("NFD", text).casefold())
    decomposed = unicodedata.normalize("NFKD", once.casefold())
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(bare.split())


def sort_key(title: str) -> str:
    """What titles are sorted by."""
    return folded(title)[:600]


def search_text(*fields: str) -> str:
    """What a query is looked for in, as it is kept with the product."""
    return "\n".join(folded(field) for field in fields)


def words(text: str) -> frozenset[str]:
    """The words of a text: what of its folded form is letters and digits without a break, cut at `MAX_WORD`."""
    letters = "".join(char if char.isalnum() else " " for char in folded(text))
    return frozenset(word[:MAX_WORD] for word in letters.split())


def query_words(query: str) -> tuple[str, ...]:
    """What is looked for: each has to begin a word of the product. What begins another of them says nothing more."""
    found = words(query)
    return tuple(sorted(word for word in found if not any(other != word and other.startswith(word) for other in found)))


def last_with(beginning: str) -> str:
    """No word that begins so is greater, compared by bytes as both stores do: this code point is in no text."""
    return beginning + "\U0010ffff"
