"""What goes wrong in one world, and how often: a swarm pick, so that every seed has faults of its own.

Most bugs need a few kinds of trouble often and the others never (Groce et al., Swarm Testing, 2012): each kind is
switched on or off by the seed, and if on gets a rate of its own.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

RATES: Final = {
    "lose publish": (0.02, 0.3),
    "lose confirm": (0.02, 0.3),
    "nack": (0.02, 0.2),
    "return": (0.02, 0.2),
    "duplicate": (0.05, 0.6),
    "reorder": (0.2, 1.0),
    "hold back": (0.1, 0.6),
    "lose ack": (0.02, 0.2),
    "crash at a failpoint": (0.002, 0.02),
    "error at a failpoint": (0.002, 0.02),
    "store fails": (0.005, 0.05),
    "commit unheard of": (0.005, 0.05),
    "slow store": (0.05, 0.5),
    "slow broker": (0.05, 0.5),
    "request lost": (0.02, 0.2),
    "answer lost": (0.02, 0.25),
    "provider unreached": (0.05, 0.4),
    "provider's answer lost": (0.05, 0.4),
    "provider breaks": (0.02, 0.3),
    "provider hangs": (0.02, 0.2),
    "webhook": (0.2, 1.0),
    "kill": (0.3, 1.0),
    "restart": (0.3, 1.0),
    "cut off": (0.3, 1.0),
    "block": (0.3, 1.0),
    "clock jump": (0.3, 1.0),
}
"""Per kind of trouble, the least and the most often it happens where it can, in worlds that have it."""

LIMITS: Final = {
    "crash at a failpoint": 3,
    "error at a failpoint": 6,
    "kill": 3,
    "cut off": 3,
    "restart": 3,
    "lose ack": 20,
}
"""How often per world at most. A message that was handed out seven times is given up for dead, and rightly so."""


@dataclass
class Dice:
    """The one source of chance of a world. After `calm` nothing goes wrong any more."""

    rng: random.Random
    rates: dict[str, float] = field(default_factory=dict)
    hits: Counter[str] = field(default_factory=Counter)
    calm: bool = False

    @classmethod
    def of_seed(cls, seed: int) -> "Dice":
        """Seed 0 is a world without trouble."""
        rng = random.Random(seed)
        share = rng.choice((0.15, 0.3, 0.5, 0.8)) if seed else 0.0
        return cls(rng, {kind: rng.uniform(*bounds) for kind, bounds in RATES.items() if rng.random() < share})

    def rolls(self, kind: str) -> bool:
        """Whether this trouble happens here and now."""
        rate = self.rates.get(kind, 0.0)
        if self.calm or not rate or self.rng.random() >= rate:
            return False
        if self.hits[kind] >= LIMITS.get(kind, 1_000_000):
            return False
        self.hits[kind] += 1
        return True

    def seconds(self, most: float) -> float:
        """A short while, more often shorter."""
        return most * self.rng.random() ** 3
