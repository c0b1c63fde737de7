"""Composition root: the only place where settings, adapters, routes and subscriptions meet."""

from fastapi import FastAPI

from chassis.app import create_app
from chassis.audit_routes import audit_routes
from chassis.auth import TokenVerifier
from chassis.main import real_environment
from chassis.runtime import Environment
from chassis.token_feed import TokenFeed
from payment_svc import audit, provider_books, webhooks
from payment_svc.api import router
from payment_svc.providers.port import PaymentProvider
from payment_svc.providers.remote import RemoteProvider
from payment_svc.providers.simulated import SimulatedProvider
from payment_svc.runtime import PaymentRuntime
from payment_svc.settings import PaymentSettings
from payment_svc.tables import TOKENS


def build(
    settings: PaymentSettings, environment: Environment | None = None, provider: PaymentProvider | None = None
) -> FastAPI:
    """The app. `environment` and `provider` are given by tests and by whoever runs several services in a process."""
    environment = environment or real_environment(settings)
    verifier = TokenVerifier(environment.clock)
    tokens = TokenFeed(TOKENS, verifier, environment.store.reader, environment.clock, jwks_url=settings.auth_jwks_url)
    runtime = PaymentRuntime(settings, environment, provider or _provider(settings), tokens)
    # `/payments/audit…` before `/payments/{payment_id}`
    routers = [audit.router, audit_routes("/payments"), provider_books.router, router]
    if settings.secrets:
        routers.append(webhooks.router(runtime.courier.provider, settings.secrets))
    return create_app(
        runtime,
        routers,
        title="Payments",
        prefix="/payments",
        verifier=verifier,
        description="Takes the money of orders, and gives it back.",
        hsts=settings.production,
    )


def _provider(settings: PaymentSettings) -> PaymentProvider:
    if settings.provider == "remote":
        key = settings.provider_key.get_secret_value()
        return RemoteProvider(settings.provider_url, key, call_seconds=settings.call_seconds)
    alone = settings.database_url.startswith("sqlite")  # a file has one process
    return SimulatedProvider(slow_seconds=settings.slow_card_seconds, alone=alone)
