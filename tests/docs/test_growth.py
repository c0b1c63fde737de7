"""Whoever runs the shop is told of every table how long its rows stay."""

import re

import pytest
import sqlalchemy as sa

import auth_svc.store
import catalog_svc.tables
import order_svc.store
import payment_svc.tables
from docs.tools.pages import DOCS

SCHEMAS = {
    "auth": auth_svc.store.metadata,
    "catalog": catalog_svc.tables.metadata,
    "order": order_svc.store.metadata,
    "payment": payment_svc.tables.metadata,
}


@pytest.mark.parametrize("service", SCHEMAS)
def test_capacity_tells_of_each_table_how_long_its_rows_stay(service: str) -> None:
    schema: sa.MetaData = SCHEMAS[service]
    section = (DOCS / "capacity.md").read_text().partition("## What an order leaves behind")[2].partition("\n## ")[0]
    told = set(re.findall(r"`([a-z_]+)`", section))
    assert schema.tables.keys() <= told, "say in docs/capacity.md how long the rows of a new table are kept"
