"""Visits every state that can be reached, each once, and says of those at rest whether everything adds up."""

import logging
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog

from catalog_svc.domain.reservation import ReservationState
from order_svc.domain.order import OrderStatus
from payment_svc.providers.port import IntentStatus
from tests.simulation.one_order.moves import may, must
from tests.simulation.one_order.stage import Stage
from tests.simulation.one_order.state import PRICE, State

ENDS = frozenset({OrderStatus.PAID, OrderStatus.REJECTED, OrderStatus.CANCELLED, OrderStatus.REFUNDED})
_SOLD = frozenset({OrderStatus.PAID})


@dataclass
class Visited:
    """What a search found. `ends` counts the states at rest by the order's status and what became of its money."""

    states: int = 0
    transitions: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)


def visit(start: State, copies: int, *, enough: int = 3) -> Visited:
    """Breadth first, so that the first story of a finding is a shortest one; stops after `enough` findings.

    Every event is delivered `copies` times to each of its readers, each time to the handler itself: no inbox helps.
    """
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        return _visit(start, copies, enough)
    finally:
        structlog.configure(**before)


def _visit(start: State, copies: int, enough: int) -> Visited:
    visited = Visited()
    first = Stage(start).close(copies)
    came_from: dict[Any, tuple[Any, str]] = {first.key(): (None, "the order is placed")}
    ahead = deque([first])
    while ahead and len(visited.findings) < enough:
        state = ahead.popleft()
        visited.states += 1
        under_way = list(must(state, copies))
        wrong = [*never(state), *(() if under_way else at_rest(state))]
        if wrong:
            visited.findings.append("\n".join([*_story(came_from, state), *(f"✗ {text}" for text in wrong)]))
        if not under_way:
            visited.ends[f"{state.order.status}, {_money(state)}"] += 1
        for label, after in (*under_way, *may(state, copies)):
            visited.transitions += 1
            key = after.key()
            if key not in came_from:
                came_from[key] = (state.key(), label)
                ahead.append(after)
    return visited


def never(state: State) -> Iterator[str]:
    """What is wrong in any state."""
    item = state.item
    if not 0 <= item.reserved <= item.on_hand or item.on_hand + item.sold != item.received:
        yield f"the stock does not add up: {item.counts}"
    if sum(intent.captures for intent in state.intents.values()) > 1:
        yield "the order is charged twice"
    if any(intent.refunded > intent.captured for intent in state.intents.values()):
        yield "more is given back than was taken"


def at_rest(state: State) -> Iterator[str]:
    """What is wrong when nothing is under way any more."""
    order, item = state.order, state.item
    if order.status not in ENDS:
        yield f"the order ends {order.status}"
    holding = [r.state for r in state.reservations.values()]
    keeps = order.status in _SOLD
    if keeps != (ReservationState.COMMITTED in holding) or item.reserved:
        yield f"the order is {order.status}, its stock {holding}, {item.counts}"
    captured = sum(intent.captured for intent in state.intents.values())
    refunded = sum(intent.refunded for intent in state.intents.values())
    if captured - refunded != (order.total.amount if keeps else 0):
        yield f"the order is {order.status}, and the provider has {captured - refunded} of {PRICE.amount}"
    if any(intent.status in (IntentStatus.AUTHORIZED,) for intent in state.intents.values()):
        yield f"the order is {order.status}, and money is still held on the card"
    ours = (sum(p.captured for p in state.payments.values()), sum(p.refunded for p in state.payments.values()))
    if ours != (captured, refunded) or (order.captured, order.refunded) != (captured, refunded):
        theirs = (captured, refunded)
        yield f"taken, given back: provider {theirs}, payment {ours}, order {(order.captured, order.refunded)}"


def _money(state: State) -> str:
    return ", ".join(intent.status for intent in state.intents.values()) or "no payment"


def _story(came_from: dict[Any, tuple[Any, str]], state: State) -> list[str]:
    steps: list[str] = []
    key: Any = state.key()
    while key is not None:
        key, label = came_from[key]
        steps.append(label)
    return [f"{number:3}. {step}" for number, step in enumerate(reversed(steps), 1)]
