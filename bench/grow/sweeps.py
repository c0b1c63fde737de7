"""What a service's sweeps cost when next to nothing is due, which is almost always: they only look."""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from fastapi import FastAPI

import order_svc.app
import payment_svc.app
from bench.grow.asking import database_cpu
from chassis.db import Store
from chassis.runtime import Environment, Runtime
from chassis.transport.memory import MemoryBroker, MemoryTransport
from order_svc.settings import OrderSettings
from payment_svc.settings import PaymentSettings

BUILD: Final[Mapping[str, Callable[[Environment], FastAPI]]] = {
    "order": lambda environment: order_svc.app.build(OrderSettings(), environment),
    "payment": lambda environment: payment_svc.app.build(PaymentSettings(), environment),
}


async def sweep_costs(service: str, store: str, database: str | None, times: int) -> dict[str, float]:
    """CPU milliseconds of one run of each sweep by its name, this process's and its PostgreSQL server's.

    The service is in this process, with its writer and nothing else started. The first run is not counted: it may
    have something to do.
    """
    environment = Environment(store=Store(store), transport=MemoryTransport(MemoryBroker(), service))
    runtime: Runtime[Any] = BUILD[service](environment).state.runtime
    await runtime.writer.start()
    try:
        costs = {}
        for sweep in runtime.sweeper.sweeps:
            await sweep.run()
            database_before = database_cpu(database)
            before = time.process_time()  # after the look at the database's processes, which takes time itself
            for _ in range(times):
                await sweep.run()
            used = time.process_time() - before
            costs[sweep.name] = (used + database_cpu(database) - database_before) / times * 1_000
        return costs
    finally:
        await runtime.writer.stop()
        await environment.store.close()
