"""Alembic's environment for the catalog's store."""

from catalog_svc.tables import metadata
from chassis.migrate import run_migrations

run_migrations(metadata)
