"""What happened, line by line: the history a seed must repeat, and the story a person reads when something is wrong."""

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `about` are the orders it concerns; none means it concerns everybody."""

    at: float
    who: str
    text: str
    about: tuple[str, ...] = ()


class Story:
    """The history of one world. `now` tells simulated seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lines: list[Line] = []
        self._names: dict[str, str] = {}

    def tell(self, who: str, text: str, *about: UUID | str | None) -> None:
        self.lines.append(Line(self._now(), who, text, tuple(str(order) for order in about if order)))

    def name(self, id: UUID | str, name: str) -> None:
        """Call a thing by a name a person can remember; the first name stays."""
        self._names.setdefault(str(id), name)

    def digest(self) -> str:
        """The same for the same history, to the letter."""
        text = "\n".join(f"{line.at!r} {line.who} {line.text} {line.about}" for line in self.lines)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def orders_in(self, findings: Iterable[str]) -> set[str]:
        """The ids that findings name."""
        return {id for finding in findings for id in _UUID.findall(finding)}

    def render(self, only: set[str] | None = None) -> str:
        """A line per event, in order; `only` what concerns these ids, and what concerns everybody."""
        chosen = (line for line in self.lines if not only or not line.about or only & set(line.about))
        return "\n".join(f"{line.at:10.3f} s  {line.who:<10} {self.named(line.text)}" for line in chosen)

    def named(self, text: str) -> str:
        """The text with names in the place of ids."""
        return _UUID.sub(lambda match: self._names.get(match[0], match[0]), text)
