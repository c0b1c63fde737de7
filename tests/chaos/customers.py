"""Why people come to the shop, and how each of them goes about it."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from bench.http import Answer
from tests.chaos.asking import Asker, Call
from tests.chaos.board import ENDED, Board
from tests.chaos.people import Person
from tests.chaos.record import Offer, Stopwatch


class Intent(StrEnum):
    """What a customer has in mind."""

    BUY = "buy"
    DECLINED_THEN_BUY = "declined, then buy"
    DECLINED_THEN_LEAVE = "declined, then leave"
    LEAVE = "leave"
    CANCEL_SOON = "cancel before paying"
    CANCEL_PAID = "cancel after paying"


WEIGHTS: Final = {
    Intent.BUY: 77,
    Intent.DECLINED_THEN_BUY: 7,
    Intent.DECLINED_THEN_LEAVE: 3,
    Intent.LEAVE: 5,
    Intent.CANCEL_SOON: 4,
    Intent.CANCEL_PAID: 4,
}
LEAVING: Final = frozenset({Intent.LEAVE, Intent.DECLINED_THEN_LEAVE})
ENDS: Final = {
    Intent.BUY: "paid",
    Intent.DECLINED_THEN_BUY: "paid",
    Intent.DECLINED_THEN_LEAVE: "cancelled",
    Intent.LEAVE: "cancelled",
    Intent.CANCEL_SOON: "cancelled",
    Intent.CANCEL_PAID: "refunded",
}
"""How the order of each should end."""

PAYABLE: Final = frozenset({"awaiting_payment"}) | ENDED
PAID: Final = frozenset(ENDED)
REPEATED: Final = 0.05
"""How many ask again with the same key although they were answered."""
NEW_SESSION: Final = 0.02
"""How many log in anew first."""


@dataclass(slots=True)
class Visit:
    """One customer's coming: an intent, and what became of it. `order` is the 201 as it was answered."""

    number: int
    intent: Intent
    key: str
    offer: Offer
    order: Mapping[str, Any] | None = None
    refusal: str = ""
    done: bool = False


class Shopper:
    """Carries visits out."""

    def __init__(self, asker: Asker, board: Board, watch: Stopwatch, skus: Sequence[str], rng: random.Random) -> None:
        self._asker = asker
        self._board = board
        self._watch = watch
        self._skus = skus
        self._rng = rng
        self.contradictions: list[str] = []

    def visit(self, number: int, at: float, *, may_leave: bool) -> Visit:
        """Somebody who comes now; nobody leaves an order to its deadline when there is no time left to see it end."""
        kinds = [intent for intent in WEIGHTS if may_leave or intent not in LEAVING]
        intent = self._rng.choices(kinds, [WEIGHTS[intent] for intent in kinds])[0]
        return Visit(number, intent, str(UUID(int=self._rng.getrandbits(128), version=4)), Offer(at))

    async def carry_out(self, visit: Visit, person: Person) -> None:
        """From coming to leaving. Every step is insisted on."""
        if self._rng.random() < NEW_SESSION:
            await person.log_in()
        order_id = await self._place(visit, person)
        if order_id is None:
            return
        match visit.intent:
            case Intent.LEAVE:
                pass
            case Intent.CANCEL_SOON:
                await self._cancel(order_id, person)
            case Intent.DECLINED_THEN_LEAVE:
                await self._decline(order_id, person)
            case Intent.DECLINED_THEN_BUY:
                await self._decline(order_id, person)
                await self._pay(visit, order_id, person)
            case Intent.BUY:
                await self._pay(visit, order_id, person)
            case Intent.CANCEL_PAID:
                await self._pay(visit, order_id, person)
                await self._cancel(order_id, person)
                await self._board.reaches(order_id, frozenset({"refunded"}))
        visit.done = True
        visit.offer.finished = self._watch.now()

    async def _place(self, visit: Visit, person: Person) -> str | None:
        call = Call("place", "order", "/orders", visit.key, {"lines": self._lines()})
        answer, visit.offer.attempts = await self._asker.insist(call, await person.headers())
        if answer.status != 201:
            visit.refusal = f"{answer.status} {answer.body.decode(errors='replace')[:300]}"
            return None
        visit.offer.accepted = self._watch.now()
        visit.order = answer.json()
        if visit.offer.attempts > 1 or self._rng.random() < REPEATED:
            await self._ask_again(call, person, answer)
        return str(answer.json()["id"])

    async def _ask_again(self, call: Call, person: Person, first: Answer) -> None:
        """The same key once more must bring the same answer, to the byte."""
        again, _ = await self._asker.insist(call, await person.headers())
        if (again.status, again.body) != (first.status, first.body):
            self.contradictions.append(f"key {call.key}: {first.body!r}, then {again.status} {again.body!r}")

    async def _decline(self, order_id: str, person: Person) -> None:
        order = await self._board.reaches(order_id, PAYABLE)
        if order["status"] in ENDED:
            return
        payment = await self._pay_with("pm_card_chargeDeclined", order_id, person)
        if payment.status == 201 and payment.json()["status"] not in {"declined", "pending"}:
            self.contradictions.append(f"order {order_id}: a declined card was answered {payment.json()['status']}")

    async def _pay(self, visit: Visit, order_id: str, person: Person) -> None:
        order = await self._board.reaches(order_id, PAYABLE)
        if order["status"] in ENDED:
            return
        await self._pay_with("pm_card_visa", order_id, person)
        if (await self._board.reaches(order_id, PAID))["status"] == "paid":
            visit.offer.paid = self._watch.now()

    async def _pay_with(self, card: str, order_id: str, person: Person) -> Answer:
        key = str(UUID(int=self._rng.getrandbits(128), version=4))
        body = {"order_id": order_id, "payment_method": card}
        call = Call("pay", "payment", "/payments", key, body, not_found_yet=True)
        answer, _ = await self._asker.insist(call, await person.headers())
        return answer

    async def _cancel(self, order_id: str, person: Person) -> None:
        await self._asker.insist(Call("cancel", "order", f"/orders/{order_id}/cancel"), await person.headers())

    def _lines(self) -> list[dict[str, Any]]:
        skus = self._rng.sample(self._skus, self._rng.choice((1, 1, 1, 2, 3)))
        return [{"sku": sku, "quantity": self._rng.randint(1, 3)} for sku in skus]
