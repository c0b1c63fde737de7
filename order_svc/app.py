"""Composition root of order_svc: the only place where settings, adapters, routes and subscriptions meet."""

from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from chassis.app import create_app
from chassis.audit_routes import audit_routes
from chassis.auth import TokenVerifier
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.sweeps import Sweep
from chassis.token_feed import TokenFeed
from order_svc import audit, unfinished
from order_svc.api import Context, router
from order_svc.consumers import PROJECTIONS, subscriptions
from order_svc.feed import ChangeFeed
from order_svc.figures import figures
from order_svc.saga import expire_overdue
from order_svc.settings import OrderSettings
from order_svc.store import RUNTIME, TOKENS, OrderUnitOfWork


def build(settings: OrderSettings, environment: Environment) -> FastAPI:
    """The service, ready to be served; its lifespan starts and stops everything."""
    feed = ChangeFeed()
    verifier = TokenVerifier(environment.clock)
    tokens = TokenFeed(TOKENS, verifier, environment.store.reader, environment.clock, jwks_url=settings.auth_jwks_url)
    definition = ServiceDefinition(
        "order",
        RUNTIME,
        partial(OrderUnitOfWork, feed=feed),
        {**tokens.subscriptions, **subscriptions(settings)},
        PROJECTIONS,
    )
    runtime = Runtime(definition, environment)
    feed.share(runtime.hints)
    runtime.figures.extend(figures(runtime.reader, environment.clock))
    runtime.on_start(tokens.load)
    for sweep in tokens.sweeps(runtime.writer):
        runtime.add_sweep(sweep)
    overdue = expire_overdue(runtime.reader, runtime.writer, environment.clock)
    runtime.add_sweep(Sweep("expire_orders", timedelta(seconds=settings.sweep_seconds), overdue))
    app = create_app(
        runtime,
        [
            unfinished.router,
            audit.router,
            audit_routes("/orders"),
            router,
        ],  # `/orders/audit` before `/orders/{order_id}`
        title="Orders",
        prefix="/orders",
        verifier=verifier,
        description="Takes orders, decides their state, and tells everybody what happened to them.",
        hsts=settings.production,
    )
    app.state.context = Context(runtime, feed, settings)
    return app
