"""The backstop: stock held past its time is let go, should order_svc never say what became of the order."""

import asyncio
from datetime import timedelta
from typing import Final

import sqlalchemy as sa

from catalog_svc.commands import ExpireReservation
from catalog_svc.domain.reservation import ReservationState
from catalog_svc.handlers import expire_reservation
from catalog_svc.store import CatalogUnitOfWork
from catalog_svc.tables import reservations
from chassis.runtime import Runtime
from chassis.sweeps import Sweep

CHUNK: Final = 200

_DUE: Final = (
    sa.select(reservations.c.order_id)
    .where(
        reservations.c.state == ReservationState.HELD.value,
        reservations.c.expires_at <= sa.bindparam("now", type_=reservations.c.expires_at.type),
    )
    .order_by(reservations.c.expires_at)
    .limit(CHUNK)
)


def expiry_sweep(runtime: Runtime[CatalogUnitOfWork], every: timedelta) -> Sweep:
    """Lets overdue reservations go; each is looked at again inside its own job, so a late decision of order wins."""

    async def run() -> int:
        rows = await runtime.reader.all(_DUE, {"now": runtime.clock.now()})
        commands = [ExpireReservation(row["order_id"]) for row in rows]
        expired = await asyncio.gather(*(runtime.writer.execute(expire_reservation, c) for c in commands))
        return sum(expired)

    return Sweep("expire_reservations", every, run)
