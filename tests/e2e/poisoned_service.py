"""catalog_svc with bugs: the real service, but three quantities in an order make its handler fail in three ways.

`python -m tests.e2e.poisoned_service serve`. One retry instead of five, so that nobody has to wait for the tiers.
"""

import os
import signal
from dataclasses import replace
from typing import Final

from fastapi import FastAPI

from catalog_svc.app import build
from catalog_svc.settings import CatalogSettings
from chassis.main import main
from chassis.retry import RetryPolicy
from chassis.runtime import Environment
from chassis.seedwork import DomainError, ErrorKind
from chassis.topology import RETRY_TIERS
from chassis.unit_of_work import UnitOfWork
from contracts.order import OrderPlaced

REFUSED: Final = 901
BUG: Final = 902
DEADLY: Final = 903


def poisoned(settings: CatalogSettings, environment: Environment) -> FastAPI:
    """The real app with the handler of `order.placed` wrapped."""
    app = build(settings, replace(environment, retry=RetryPolicy(RETRY_TIERS[:1])))
    consumer = app.state.runtime.consumer
    reserve = consumer._subscriptions[OrderPlaced]

    async def fragile(event: OrderPlaced, uow: UnitOfWork) -> None:
        quantity = event.lines[0].quantity
        if quantity == REFUSED:
            raise DomainError("not-in-this-shop", ErrorKind.INVALID, "A rule nobody had thought of.")
        if quantity == BUG:
            raise KeyError("quantity")
        if quantity == DEADLY:
            os.kill(os.getpid(), signal.SIGKILL)
        await reserve(event, uow)

    consumer._subscriptions = {**consumer._subscriptions, OrderPlaced: fragile}
    return app


if __name__ == "__main__":
    main("catalog_svc", CatalogSettings, poisoned)
