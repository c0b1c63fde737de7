"""What the database refuses by itself."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError

from chassis.figures import Cut
from contracts.registry import SERVICES
from payment_svc.audit import audit, order_page
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import ledger, payments, refunds
from tests.payment_svc.till import AnOrder, Till


async def test_we_read_what_the_contract_says(till: Till) -> None:
    assert set(till.runtime.definition.subscriptions) == set(SERVICES["payment"].reads)


async def run(till: Till, statement: sa.Executable) -> None:
    async def work(uow: PaymentUnitOfWork) -> None:
        await uow.execute(statement)

    await till.runtime.writer.run_now(work)


async def copy_of(till: Till, order: AnOrder, **changes: object) -> dict[str, Any]:
    row = await till.runtime.reader.first(sa.select(payments).where(payments.c.id == order.payment_id))
    assert row is not None
    return {**row, "id": uuid4(), **changes}


async def test_a_second_active_payment_of_an_order(till: Till) -> None:
    order = await till.an_authorized()
    second = await copy_of(till, order, state="pending", held_amount=0)

    with pytest.raises(IntegrityError):
        await run(till, payments.insert().values(second))


async def test_a_second_capture_of_an_order(till: Till) -> None:
    order = await till.a_captured()
    second = await copy_of(till, order)

    with pytest.raises(IntegrityError):
        await run(till, payments.insert().values(second))


WRONG: dict[str, dict[str, int]] = {
    "refunded beyond the capture": {"refunded_amount": 2000},
    "promised beyond the capture": {"refunded_amount": 1000, "refunding_amount": 1000},
    "captured in part": {"captured_amount": 5},
    "captured and still held": {"held_amount": 1999},
    "less than nothing": {"refunding_amount": -1},
}


@pytest.mark.parametrize("changes", WRONG.values(), ids=WRONG)
async def test_sums_that_cannot_be(till: Till, changes: dict[str, Any]) -> None:
    order = await till.a_captured()

    with pytest.raises(IntegrityError):
        await run(till, payments.update().where(payments.c.id == order.payment_id).values(changes))


@pytest.mark.parametrize("statement", [lambda: ledger.update().values(amount=1), ledger.delete])
async def test_the_ledger_only_grows(till: Till, statement: Callable[[], sa.Executable]) -> None:
    await till.an_authorized()

    with pytest.raises(DBAPIError, match="append-only"):
        await run(till, statement())


async def test_a_fact_is_posted_once(till: Till) -> None:
    await till.an_authorized()
    row = await till.runtime.reader.first(sa.select(ledger))
    assert row is not None
    again = {name: value for name, value in row.items() if name != "id"}

    with pytest.raises(IntegrityError):
        await run(till, ledger.insert().values(again))


async def test_the_audit_sees_a_book_that_is_cooked(till: Till) -> None:
    """The check must be able to fail."""
    order = await till.a_captured()
    assert (await audit(till.runtime)).breaches == []
    half = {"captured_amount": 0, "state": "voided"}
    await run(till, payments.update().where(payments.c.id == order.payment_id).values(half))

    assert (await audit(till.runtime)).breaches == [
        "captured in EUR: the ledger says 1999, payments say 0",
    ]
    [figures] = (await order_page(till.runtime.reader, Cut(None, None, 10))).items
    assert [payment.ledger for payment in figures.payments] == [["captured 0, in the ledger 1999"]]


async def test_a_refund_row_needs_its_payment(till: Till) -> None:
    order = await till.a_captured()
    row = {
        "id": uuid4(),
        "payment_id": uuid4(),
        "order_id": order.order_id,
        "state": "pending",
        "amount_amount": 1,
        "amount_currency": "EUR",
        "reason": "x",
        "automatic": False,
        "created_at": till.clock.now(),
    }

    with pytest.raises(IntegrityError):
        await run(till, refunds.insert().values(row))
