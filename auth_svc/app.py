"""Composition root of auth_svc: the only place where settings, adapters, routes and sweeps meet."""

from datetime import datetime, timedelta
from functools import partial
from typing import Final

import sqlalchemy as sa
import structlog
from fastapi import FastAPI

from auth_svc import audit, handlers
from auth_svc.api import router
from auth_svc.domain.session import IDLE, LIFE
from auth_svc.erasure import WalEraser, scrub_deleted_pages
from auth_svc.keys import KeyFeed
from auth_svc.passwords import Hasher
from auth_svc.sessions import Sessions
from auth_svc.settings import AuthSettings
from auth_svc.store import RUNTIME, AuthUnitOfWork, refresh_tokens, sessions, throttles
from auth_svc.throttling import Throttling
from auth_svc.tokens import Keyring, TokenIssuer, Vault
from chassis.app import create_app
from chassis.audit_routes import audit_routes
from chassis.auth import TokenVerifier
from chassis.runtime import Environment, Runtime, ServiceDefinition
from chassis.seedwork import DomainError
from chassis.sweeps import Sweep

log = structlog.get_logger()

REFRESH_EVERY: Final = timedelta(seconds=2)
RENEW_EVERY: Final = timedelta(minutes=10)
PRUNE_EVERY: Final = timedelta(minutes=10)
EMPTY_WAL_EVERY: Final = timedelta(seconds=30)
KEPT: Final = timedelta(days=1)
"""How long ended sessions and idle throttles stay."""

Parts = tuple[Runtime[AuthUnitOfWork], TokenVerifier, Sessions]


def build(settings: AuthSettings, environment: Environment) -> FastAPI:
    """The service, ready to be served; its lifespan starts and stops everything."""
    runtime, verifier, service = assemble(settings, environment)
    routers = [router, audit.router, audit_routes("/auth")]
    app = create_app(runtime, routers, title="Accounts", prefix="/auth", verifier=verifier, hsts=settings.production)
    app.state.sessions = service
    return app


def assemble(settings: AuthSettings, environment: Environment) -> Parts:
    """Everything but the HTTP door; for commands too."""
    vault = Vault(settings.master_key.get_secret_value())
    keyring, verifier = Keyring(vault), TokenVerifier(environment.clock)
    scrub_deleted_pages(environment.store)
    eraser = WalEraser(environment.store.sqlite_path)
    hasher = Hasher(
        memory_kib=settings.argon2_memory_kib, passes=settings.argon2_passes, threads=settings.argon2_threads
    )
    definition = ServiceDefinition("auth", RUNTIME, partial(AuthUnitOfWork, on_revoked=verifier.revoke))
    runtime = Runtime(definition, environment)
    service = Sessions(
        writer=runtime.writer,
        reader=runtime.reader,
        clock=environment.clock,
        hasher=hasher,
        throttling=Throttling(settings),
        keyring=keyring,
        issuer=TokenIssuer(keyring, environment.ids),
        secure_cookies=settings.secure_cookies,
        on_erased=eraser.request,
    )
    feed = KeyFeed(runtime.reader, keyring, verifier, environment.clock)
    _start_with(runtime, service, feed, vault, settings)
    _sweep(runtime, feed, vault, eraser)
    return runtime, verifier, service


def _start_with(
    runtime: Runtime[AuthUnitOfWork], service: Sessions, feed: KeyFeed, vault: Vault, settings: AuthSettings
) -> None:
    async def keys() -> None:
        await feed.refresh()
        made = await runtime.writer.execute(handlers.ensure_signing_key(vault), None)
        if not made:
            await runtime.writer.execute(handlers.announce_signing_keys, None)
        await feed.refresh()

    async def operator() -> None:
        if not settings.operator_email:
            return
        try:
            await service.ensure_operator(settings.operator_email, settings.operator_password.get_secret_value())
        except DomainError as error:
            log.error("auth.no_operator", code=error.code, detail=error.detail)

    runtime.on_start(keys)
    runtime.on_start(operator)


def _sweep(runtime: Runtime[AuthUnitOfWork], feed: KeyFeed, vault: Vault, eraser: WalEraser) -> None:
    async def renew() -> int:
        made = await runtime.writer.execute(handlers.ensure_signing_key(vault), None)
        await feed.refresh()
        return int(made)

    async def prune() -> int:
        statements = _prunes(runtime.clock.now())
        return await runtime.writer.run_now(lambda uow: handlers.prune(uow, statements))

    runtime.add_sweep(Sweep("key_refresh", REFRESH_EVERY, feed.refresh))
    runtime.add_sweep(Sweep("key_renewal", RENEW_EVERY, renew))
    runtime.add_sweep(Sweep("prune_sessions", PRUNE_EVERY, prune))
    runtime.add_sweep(Sweep("empty_wal", EMPTY_WAL_EVERY, eraser.run))


def _prunes(now: datetime) -> tuple[sa.Executable, ...]:
    """Sessions that are over in any way, their tokens before them, and throttles nobody met lately."""
    over = sa.or_(
        sessions.c.revoked_at < now - KEPT,
        sessions.c.rotated_at < now - IDLE - KEPT,
        sessions.c.started_at < now - LIFE - KEPT,
    )
    return (
        refresh_tokens.delete().where(refresh_tokens.c.session_id.in_(sa.select(sessions.c.id).where(over))),
        sessions.delete().where(over),
        throttles.delete().where(throttles.c.last_at < now - KEPT),
    )
