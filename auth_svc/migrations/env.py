"""Alembic's environment for auth_svc."""

from auth_svc.store import metadata
from chassis.migrate import run_migrations

run_migrations(metadata)
