"""Alembic's environment for payment_svc."""

from chassis.migrate import run_migrations
from payment_svc.tables import metadata

run_migrations(metadata)
