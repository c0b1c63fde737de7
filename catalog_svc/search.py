"""How text is compared: the same in Python, SQLite and PostgreSQL, whose own rules for case and accents all differ."""

import unicodedata


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
    """What a query is looked for in; fields are apart, so that no query matches across two of them."""
    return "\n".join(folded(field) for field in fields)


def contains_pattern(query: str) -> str:
    r"""The LIKE pattern (escape character `\`) for a substring; `%` and `_` mean themselves."""
    escaped = folded(query).replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"
