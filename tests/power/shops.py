"""order_svc and payment_svc made ready to be asked, and what people ask of them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import httpx

from order_svc import store as order_store
from payment_svc import tables as payment_tables
from payment_svc.domain.payable import PayableState
from tests.power.lone import LoneService

SKU: Final = "POWER-1"
PEOPLE: Final = 8


def prepare_orders(service: LoneService) -> None:
    """A store in which a product is known, and the key that customers' tokens are signed with."""
    service.migrate()
    product = {"sku": SKU, "title": "A book", "price_amount": 1000, "currency": "EUR", "orderable": True, "version": 1}
    service.prepare([(order_store.TOKENS.keys, _token_key(service)), (order_store.products, product)])


async def place(service: LoneService, *, key: str = "") -> str:
    """Place an order; its id."""
    async with service.client() as http:
        return await _place(http, key or str(uuid4()))


async def place_many(service: LoneService, count: int) -> list[str]:
    """Place so many orders, a few people at a time."""
    free = asyncio.Semaphore(PEOPLE)

    async def one(http: httpx.AsyncClient) -> str:
        async with free:
            return await _place(http, str(uuid4()))

    async with service.client() as http:
        return await asyncio.gather(*(one(http) for _ in range(count)))


async def try_to_place(service: LoneService, *, key: str = "") -> httpx.Response:
    """Ask for an order, whatever the answer is."""
    async with service.client() as http:
        return await _ask(http, key or str(uuid4()))


async def _place(http: httpx.AsyncClient, key: str) -> str:
    answer = await _ask(http, key)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _ask(http: httpx.AsyncClient, key: str) -> httpx.Response:
    body = {"lines": [{"sku": SKU, "quantity": 1}]}
    return await http.post("/orders", json=body, headers={"Idempotency-Key": key})


def prepare_payments(service: LoneService, orders: Sequence[UUID]) -> None:
    """A store in which these orders wait to be paid."""
    service.migrate()
    service.prepare([(payment_tables.TOKENS.keys, _token_key(service))])
    service.prepare((payment_tables.payables, _payable(order_id, service.user_id)) for order_id in orders)


async def pay(service: LoneService, orders: Sequence[UUID]) -> None:
    """Pay these orders, a few people at a time."""
    free = asyncio.Semaphore(PEOPLE)

    async def one(http: httpx.AsyncClient, order_id: UUID) -> None:
        body = {"order_id": str(order_id), "payment_method": "pm_card_visa"}
        async with free:
            answer = await http.post("/payments", json=body, headers={"Idempotency-Key": str(uuid4())})
        assert answer.status_code == 201, answer.text

    async with service.client() as http:
        await asyncio.gather(*(one(http, order_id) for order_id in orders))


def _payable(order_id: UUID, user_id: UUID) -> dict[str, object]:
    return {
        "order_id": order_id,
        "state": PayableState.OPEN.value,
        "user_id": user_id,
        "amount_amount": 1000,
        "amount_currency": "EUR",
        "pay_by": datetime.now(UTC) + timedelta(hours=1),
    }


def _token_key(service: LoneService) -> dict[str, object]:
    published = service.mint.published
    return {
        "kid": published.kid,
        "public_key": published.public_key,
        "not_before": published.not_before,
        "expires_at": published.expires_at,
    }
