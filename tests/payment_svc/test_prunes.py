"""payment_svc forgets what was answered and settled long ago, and nothing else."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from payment_svc.settings import PaymentSettings
from payment_svc.store import PaymentUnitOfWork
from payment_svc.tables import discrepancies, operations, payables, payments, webhooks
from tests.payment_svc.till import Till
from tests.support.clocks import ManualClock


async def test_what_is_answered_or_settled_goes_after_its_time(till: Till, clock: ManualClock) -> None:
    keep = timedelta(days=PaymentSettings().keep_answered_days)
    old, young = clock.now() - keep - timedelta(minutes=1), clock.now() - keep + timedelta(minutes=1)
    order_id, payment_id = uuid4(), uuid4()
    money = {"amount_amount": 5, "amount_currency": "EUR"}
    payment = {"id": payment_id, "order_id": order_id, "user_id": uuid4(), "state": "declined", "created_at": old}
    payment |= {**money, "payment_method": "pm", "confirmations": 0, "version": 1}
    payment |= dict.fromkeys(("held_amount", "captured_amount", "refunded_amount", "refunding_amount"), 0)
    call = {"kind": "void", "order_id": order_id, "payment_id": payment_id, **money, "attempts": 1}
    call |= {"next_at": old, "created_at": old}
    differs = {"difference": "held", "detail": "", "looks": 1, "found_at": old}
    notice = {"provider": "remote", "type": "t", "state": "accepted"}
    rows: dict[sa.Table, list[dict[str, Any]]] = {
        payables: [{"order_id": order_id, "state": "open"}],
        payments: [payment],
        operations: [
            {**call, "id": "old", "state": "done", "done_at": old},
            {**call, "id": "young", "state": "done", "done_at": young},
            {**call, "id": "pending", "state": "pending", "done_at": None},
        ],
        discrepancies: [
            {**differs, "reference": "old", "state": "settled", "next_at": old},
            {**differs, "reference": "young", "state": "settled", "next_at": young},
            {**differs, "reference": "open", "state": "open", "next_at": old},
            {**differs, "reference": "suspected", "state": "suspected", "next_at": old},
        ],
        webhooks: [
            {**notice, "event_id": "old", "received_at": old},
            {**notice, "event_id": "young", "received_at": young},
        ],
    }

    async def insert(uow: PaymentUnitOfWork) -> None:
        for table, values in rows.items():
            await uow.connection.execute(table.insert(), values)

    runtime = till.app.state.runtime
    await runtime.writer.run_now(insert)
    for sweep in runtime.sweeper.sweeps:
        if sweep.name.startswith("prune_"):
            await runtime.sweeper.run_once(sweep)

    async def left(column: sa.Column[Any]) -> set[Any]:
        return {row["kept"] for row in await runtime.reader.all(sa.select(column.label("kept")))}

    assert await left(operations.c.id) == {"young", "pending"}
    assert await left(discrepancies.c.reference) == {"young", "open", "suspected"}
    assert await left(webhooks.c.event_id) == {"young"}
    assert await left(payments.c.id) == {payment_id}
