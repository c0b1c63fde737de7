"""Composition root: the only place where the catalog's settings, adapters, routes and subscriptions meet."""

from datetime import timedelta
from functools import partial

from fastapi import FastAPI

from catalog_svc import audit
from catalog_svc.api import router
from catalog_svc.consumers import subscriptions
from catalog_svc.expiry import expiry_sweep
from catalog_svc.settings import CatalogSettings
from catalog_svc.store import CatalogUnitOfWork, Policy
from catalog_svc.tables import RUNTIME, TOKENS
from chassis.app import create_app
from chassis.audit_routes import audit_routes
from chassis.auth import TokenVerifier
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.token_feed import TokenFeed, token_projections


def build(settings: CatalogSettings, environment: Environment) -> FastAPI:
    """The service as an app whose lifespan starts and stops it."""
    verifier = TokenVerifier(environment.clock)
    feed = TokenFeed(TOKENS, verifier, environment.store.reader, environment.clock, jwks_url=settings.auth_jwks_url)
    policy = Policy(settings.currency, settings.reservation_ttl)
    definition = ServiceDefinition(
        "catalog", RUNTIME, partial(CatalogUnitOfWork, policy=policy), subscriptions(feed), token_projections(TOKENS)
    )
    runtime = Runtime(definition, environment)
    runtime.on_start(feed.load)
    for sweep in feed.sweeps(runtime.writer):
        runtime.add_sweep(sweep)
    runtime.add_sweep(expiry_sweep(runtime, timedelta(seconds=settings.expiry_every_seconds)))
    app = create_app(
        runtime,
        [router, audit.router, audit_routes("/catalog")],
        title="Catalog",
        prefix="/catalog",
        verifier=verifier,
        description="Products to browse, and the stock that orders hold and buy.",
        hsts=settings.production,
    )
    app.state.settings = settings
    return app
