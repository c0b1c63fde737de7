"""Hints between processes that are really one: what one tells, the others hear at once."""

from chassis.hints import Hear


class Others:
    """All processes of a service; each is a `Member`."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def member(self) -> "Member":
        self.members.append(Member(self))
        return self.members[-1]


class Member:
    """What one process has of it; `told` is what it told."""

    def __init__(self, others: Others) -> None:
        self._others = others
        self._hear: dict[str, Hear] = {}
        self.told: list[tuple[str, str]] = []

    def on(self, topic: str, hear: Hear) -> None:
        self._hear[topic] = hear

    def tell(self, topic: str, text: str) -> None:
        self.told.append((topic, text))
        for other in self._others.members:
            if other is not self and topic in other._hear:
                other._hear[topic](text)

    async def start(self) -> None: ...

    async def stop(self) -> None: ...
