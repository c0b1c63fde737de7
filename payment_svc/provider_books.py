"""Operators' view of the provider's own books, and of what differs from ours: to be compared with the other ledgers."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Request

from chassis.auth import Operator
from chassis.db import Reader
from chassis.fields import Answer, Text
from chassis.problems import ProblemError
from payment_svc.domain.discrepancy import Difference, DiscrepancyState
from payment_svc.providers.port import Listed, Unknown
from payment_svc.runtime import PaymentRuntime
from payment_svc.tables import discrepancies

router = APIRouter(prefix="/payments/audit/provider", tags=["payments"])

_UNSETTLED = (
    sa.select(discrepancies)
    .where(discrepancies.c.state != DiscrepancyState.SETTLED.value)
    .order_by(discrepancies.c.found_at, discrepancies.c.reference)
    .limit(500)
)


class ProviderPayment(Answer):
    """One payment as the provider has it; sums in minor units of `currency`. The ids are those we gave it."""

    payment_id: UUID | None
    order_id: UUID | None
    reference: str
    status: str
    amount: int
    currency: str
    captured: int
    refunded: int
    captures: int

    @classmethod
    def of(cls, listed: Listed) -> "ProviderPayment":
        there = listed.snapshot
        return cls(
            payment_id=listed.payment_id,
            order_id=listed.order_id,
            reference=there.reference,
            status=there.status,
            amount=there.amount.amount,
            currency=there.amount.currency,
            captured=there.captured,
            refunded=there.refunded,
            captures=listed.captures,
        )


class DiscrepancyAnswer(Answer):
    """What the two books disagree about; `open`: looked at often enough, somebody has to decide."""

    reference: str
    difference: Difference
    state: DiscrepancyState
    payment_id: UUID | None
    order_id: UUID | None
    detail: str
    looks: int
    found_at: datetime


class ProviderBooks(Answer):
    """A page; `next_cursor` is None after the last one. Not `complete`: this provider forgets with its process."""

    provider: str
    complete: bool
    payments: list[ProviderPayment]
    next_cursor: str | None
    discrepancies: list[DiscrepancyAnswer]


async def _runtime(request: Request) -> PaymentRuntime:
    runtime: PaymentRuntime = request.app.state.runtime
    return runtime


@router.get("")
async def read_provider_books(
    _: Operator,
    service: Annotated[PaymentRuntime, Depends(_runtime)],
    cursor: Annotated[str, Text(255, min_length=0), Query()] = "",
    limit: Annotated[int, Query(ge=1, le=500)] = 200,
) -> ProviderBooks:
    """The provider's payments by their last change, oldest first, asked of it now; with unsettled discrepancies.

    503 `provider-unavailable`: it does not answer.
    """
    provider = service.courier.provider
    page = await provider.list_since(cursor, limit)
    if isinstance(page, Unknown):
        raise ProblemError(503, "provider-unavailable", "The payment provider does not show its books now.")
    return ProviderBooks(
        provider=provider.name,
        complete=provider.remembers,
        payments=[ProviderPayment.of(listed) for listed in page.items],
        next_cursor=page.cursor if page.more else None,
        discrepancies=await unsettled(service.reader),
    )


async def unsettled(reader: Reader) -> list[DiscrepancyAnswer]:
    """What is suspected or open, oldest first."""
    return [DiscrepancyAnswer.model_validate(dict(row)) for row in await reader.all(_UNSETTLED)]
