"""A running tiny service and a client that talks to it without a socket."""

import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import structlog
from fastapi import FastAPI

from chassis.logs import configure_logging
from tests.chassis.http.tiny import tiny_app
from tests.support.tokens import TokenMint


@pytest.fixture(autouse=True)
def _logs() -> Iterator[None]:
    configure_logging("test", level="info", style="json")
    structlog.configure(cache_logger_on_first_use=False)  # a cached one would outlive this test
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)


@pytest.fixture
def mint() -> TokenMint:
    return TokenMint()


@pytest.fixture
async def app(tmp_path: Path, mint: TokenMint) -> AsyncIterator[FastAPI]:
    app, _, verifier = tiny_app(str(tmp_path / "things.db"))
    verifier.add_key(mint.verification_key)
    async with app.router.lifespan_context(app):
        yield app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://things") as client:
        yield client
