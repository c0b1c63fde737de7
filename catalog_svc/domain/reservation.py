"""What is held or sold for one order: an all-or-nothing reservation that any order of facts leaves in the same state.

The three facts of an order (placed, confirmed, cancelled) may come late, early, twice, and in any order:

| state ↓ fact → | placed | confirmed | cancelled | our own expiry |
|---|---|---|---|---|
| unknown | held, or rejected | awaited | released | - |
| awaited: confirmed, not yet seen placed | held and committed, or rejected | nothing | released | - |
| held | nothing | committed | released: free it | expired: free it |
| expired | nothing | committed if it can be taken again, else rejected | released | - |
| committed | nothing | nothing | released: restock it | - |
| rejected | nothing | nothing | released | - |
| released | keep its lines | nothing | nothing | - |

So a cancelled order always ends `released`, holds nothing, and nothing is ever held for it again: an order cancelled
before it was seen placed leaves this state behind as a tombstone. A second fact of the same kind changes nothing.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

from catalog_svc.domain.stock import Movement, Shelf
from chassis.seedwork import AggregateRoot, Transitions
from contracts.catalog import Shortage, StockCommitted, StockLine, StockRejected, StockReleased, StockReserved

EXPIRED_REASON: Final = "expired"


class ReservationState(StrEnum):
    UNKNOWN = "unknown"
    """Nothing was heard of the order yet; never stored."""
    AWAITED = "awaited"
    HELD = "held"
    COMMITTED = "committed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    RELEASED = "released"


S = ReservationState

TRANSITIONS: Final = Transitions(
    {
        S.UNKNOWN: {S.AWAITED, S.HELD, S.REJECTED, S.RELEASED},
        S.AWAITED: {S.HELD, S.REJECTED, S.RELEASED},
        S.HELD: {S.COMMITTED, S.EXPIRED, S.RELEASED},
        S.EXPIRED: {S.COMMITTED, S.REJECTED, S.RELEASED},
        S.COMMITTED: {S.RELEASED},
        S.REJECTED: {S.RELEASED},
        S.RELEASED: set(),
    }
)


class Reservation(AggregateRoot):
    """Every method returns the stock movements it made, for the ledger: none when the fact changes nothing."""

    def __init__(
        self,
        order_id: UUID,
        *,
        state: ReservationState = S.UNKNOWN,
        lines: tuple[StockLine, ...] = (),
        expires_at: datetime | None = None,
        reason: str = "",
        version: int = 0,
    ) -> None:
        super().__init__(version)
        self.order_id = order_id
        self.state = state
        self.lines = lines
        self.expires_at = expires_at
        self.reason = reason

    def place(self, lines: Iterable[StockLine], shelf: Shelf, expires_at: datetime) -> list[Movement]:
        """The order was placed: hold all of its lines until `expires_at`, or none of them."""
        match self.state:
            case S.UNKNOWN:
                self.lines = merged(lines)
                return self._hold(shelf, expires_at)
            case S.AWAITED:
                self.lines = merged(lines)
                held = self._hold(shelf, expires_at)
                return held + self._sell(shelf) if held else []
            case S.RELEASED if not self.lines:
                self.lines = merged(lines)
                return []
            case _:
                return []

    def confirm(self, shelf: Shelf) -> list[Movement]:
        """The order stands: what is held for it is sold."""
        match self.state:
            case S.UNKNOWN:
                self._move(S.AWAITED)
                return []
            case S.HELD:
                return self._sell(shelf)
            case S.EXPIRED:
                return self._take_again(shelf)
            case _:
                return []

    def cancel(self, reason: str, shelf: Shelf) -> list[Movement]:
        """The order is off: whatever is held or sold for it is available again."""
        match self.state:
            case S.RELEASED:
                return []
            case S.HELD:
                movements = [shelf[line.sku].release(line.quantity) for line in self.lines]
            case S.COMMITTED:
                movements = [shelf[line.sku].restock(line.quantity) for line in self.lines]
            case _:
                movements = []
        self._move(S.RELEASED, reason)
        if movements:
            self.record(StockReleased(order_id=self.order_id, lines=list(self.lines), reason=reason))
        return movements

    def expire(self, now: datetime, shelf: Shelf) -> list[Movement]:
        """Nobody said what became of the order: let its stock go. Harmless before its time or in another state."""
        if self.state is not S.HELD or self.expires_at is None or self.expires_at > now:
            return []
        movements = [shelf[line.sku].release(line.quantity) for line in self.lines]
        self._move(S.EXPIRED, EXPIRED_REASON)
        self.record(StockReleased(order_id=self.order_id, lines=list(self.lines), reason=EXPIRED_REASON))
        return movements

    def _hold(self, shelf: Shelf, expires_at: datetime) -> list[Movement]:
        short = shortages(self.lines, shelf, only_on_sale=True)
        if short:
            return self._reject(short)
        self._move(S.HELD)
        self.expires_at = expires_at
        self.record(StockReserved(order_id=self.order_id, lines=list(self.lines), expires_at=expires_at))
        return self._reserve(shelf)

    def _take_again(self, shelf: Shelf) -> list[Movement]:
        """The order was accepted while its products were on sale, so one retired since does not stop it."""
        short = shortages(self.lines, shelf, only_on_sale=False)
        if short:
            return self._reject(short)
        return self._reserve(shelf) + self._sell(shelf)

    def _reserve(self, shelf: Shelf) -> list[Movement]:
        return [shelf[line.sku].reserve(line.quantity) for line in self.lines]

    def _sell(self, shelf: Shelf) -> list[Movement]:
        self._move(S.COMMITTED)
        self.record(StockCommitted(order_id=self.order_id, lines=list(self.lines)))
        return [shelf[line.sku].sell(line.quantity) for line in self.lines]

    def _reject(self, short: list[Shortage]) -> list[Movement]:
        self._move(S.REJECTED, "shortage")
        self.record(StockRejected(order_id=self.order_id, shortages=short))
        return []

    def _move(self, state: ReservationState, reason: str = "") -> None:
        self.state = TRANSITIONS.move(self.state, state)
        self.reason = reason
        self.expires_at = None  # only what is held expires


def merged(lines: Iterable[StockLine]) -> tuple[StockLine, ...]:
    """One line per SKU, in the order the SKUs first appear."""
    quantities: Counter[str] = Counter()
    for line in lines:
        quantities[line.sku] += line.quantity
    return tuple(StockLine(sku=sku, quantity=quantity) for sku, quantity in quantities.items())


def shortages(lines: Iterable[StockLine], shelf: Shelf, *, only_on_sale: bool) -> list[Shortage]:
    """Every line that cannot be had in full; of an unknown product, and of a retired one if asked, there is none."""
    short = []
    for line in lines:
        item = shelf.get(line.sku)
        available = item.available if item is not None and (item.on_sale or not only_on_sale) else 0
        if available < line.quantity:
            short.append(Shortage(sku=line.sku, requested=line.quantity, available=available))
    return short
