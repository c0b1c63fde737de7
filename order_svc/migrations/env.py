"""Alembic's environment for order_svc."""

from chassis.migrate import run_migrations
from order_svc.store import metadata

run_migrations(metadata)
