"""One order, exhaustively: every order in which the facts about it can arrive, and everything that can come between.

Real: the aggregates of catalog, order and payment; their handlers of events, commands and provider's answers, called as
the services' own tables of subscriptions say; who reads which event, from the contracts. Modelled: the unit of work
(dictionaries instead of SQL), delivery (any message at any time, in any order), the clock (whole hours), the provider
(`provider.py`), a rival for the last unit. Left out: inboxes, so that with two copies of a message a handler really
sees it twice; idempotency keys; operators.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from tests.simulation.one_order import provider
from tests.simulation.one_order.search import visit
from tests.simulation.one_order.state import Budget, placed

# The limit is there to end a hang; a busy machine may take minutes for the longest of these.
pytestmark = [pytest.mark.exhaustive, pytest.mark.timeout(600)]


@dataclass(frozen=True)
class Tale:
    """What may happen to the order, and how much at least there is to visit then."""

    card: str
    states: int
    transitions: int
    copies: int = 1
    units: int = 1
    budget: Mapping[str, int] = field(default_factory=dict)


TALES = {
    "a good card": Tale(provider.VISA, 7_000, 24_000),
    "nothing in stock": Tale(provider.VISA, 5, 10, units=0),
    "an answer of the provider is lost": Tale(provider.VISA, 13_000, 48_000, budget={"lost_answers": 1}),
    "the provider is asked while it answers": Tale(
        provider.VISA, 2_600, 7_600, budget={"second_askings": 1, "hours": 1, "rivals": 0, "hold_expiries": 0}
    ),
    "the money is taken elsewhere": Tale(
        provider.VISA,
        16_000,
        50_000,
        budget={"captures_elsewhere": 1, "notices": 1, "hours": 0, "rivals": 0, "hold_expiries": 0},
    ),
    "the money cannot be taken": Tale(provider.CAPTURE_FAILS, 6_000, 22_000),
    "the bank asks": Tale(provider.NEEDS_ACTION, 8_000, 30_000),
    "declined, then another card": Tale(provider.DECLINED_FIRST, 14_000, 55_000, budget={"payments": 2}),
    "everything twice, paid": Tale(
        provider.VISA, 17_000, 82_000, copies=2, budget={"cancellations": 0, "rivals": 0, "hold_expiries": 0}
    ),
    "everything twice, not paid": Tale(provider.VISA, 100, 300, copies=2, budget={"payments": 0}),
}


@pytest.mark.parametrize("name", TALES)
def test_every_way_an_order_can_go_ends_well(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    tale = TALES[name]
    visited = visit(placed(tale.card, Budget(**tale.budget), tale.units), tale.copies)
    assert not visited.findings, "\n\n".join(visited.findings)
    assert visited.states > tale.states
    assert visited.transitions > tale.transitions
    with capsys.disabled():
        ends = ", ".join(f"{count} {end}" for end, count in sorted(visited.ends.items()))
        print(f"\n{name}: {visited.states:,} states, {visited.transitions:,} transitions, at rest: {ends}")
