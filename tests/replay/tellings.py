"""The ways every story is told: as it happened, with each line twice, and in other orders that could have happened."""

from dataclasses import dataclass
from typing import Final

import pytest


@dataclass(frozen=True, slots=True)
class Telling:
    """Arguments of `replay`."""

    shuffled: int | None = None
    duplicated: int = 1

    def __str__(self) -> str:
        order = "in order" if self.shuffled is None else f"shuffled {self.shuffled}"
        return order if self.duplicated == 1 else f"{order}, each {self.duplicated} times"


_ON_SQLITE: Final = (Telling(), Telling(duplicated=2), Telling(1), Telling(2, duplicated=2))
_ON_POSTGRES: Final = (Telling(3, duplicated=2),)

every_telling = pytest.mark.parametrize(
    ("store_url", "telling"),
    [
        *(pytest.param("sqlite", telling, id=f"sqlite, {telling}") for telling in _ON_SQLITE),
        *(
            pytest.param("postgresql", telling, id=f"postgresql, {telling}", marks=pytest.mark.postgres)
            for telling in _ON_POSTGRES
        ),
    ],
    indirect=["store_url"],
)
