"""Keys and revocations arrive as events, survive a restart, and reach the instances that did not get the event."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from chassis.auth import InvalidTokenError, TokenVerifier, UnknownKeyError
from chassis.context import MessageContext
from chassis.jobs import InboxEvent
from chassis.runtime import Runtime
from chassis.token_feed import FETCH_EVERY, TokenFeed, token_tables
from chassis.unit_of_work import UnitOfWork
from contracts.auth import SessionRevoked
from contracts.envelope import Event
from tests.chassis.http.tiny import tiny_app
from tests.support.tokens import MutableClock, TokenMint


class World:
    """A started service, and other verifiers that share its store."""

    def __init__(self, path: Path) -> None:
        _, self.runtime, self.verifier = tiny_app(str(path / "things.db"))

    async def receive(self, event: Event) -> None:
        handler: Any = self.runtime.definition.subscriptions[type(event)]
        await self.runtime.writer.handle(InboxEvent(uuid4(), event), handler, MessageContext(uuid4()))

    def other_instance(self, clock: MutableClock | None = None, **options: Any) -> tuple[TokenVerifier, TokenFeed]:
        clock = clock or MutableClock()
        verifier, runtime = TokenVerifier(clock), self.runtime
        tables = token_tables(type(runtime.definition.tables.metadata)())
        return verifier, TokenFeed(tables, verifier, runtime.reader, clock, **options)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    await world.runtime.start()
    yield world
    await world.runtime.stop()


def revocation(session_id: UUID, until: datetime | None = None) -> SessionRevoked:
    until = until or datetime.now(UTC) + timedelta(minutes=15)
    return SessionRevoked(session_id=session_id, user_id=uuid4(), reason="logout", until=until)


async def test_a_published_key_is_trusted_now_and_after_a_restart(world: World, mint: TokenMint) -> None:
    token = mint.token()
    with pytest.raises(UnknownKeyError):
        world.verifier.verify(token)
    await world.receive(mint.published)
    world.verifier.verify(token)
    restarted, feed = world.other_instance()
    await feed.load()
    restarted.verify(token)


async def test_a_key_may_be_published_again(world: World, mint: TokenMint) -> None:
    await world.receive(mint.published)
    await world.receive(mint.published)
    world.verifier.verify(mint.token())


async def test_a_withdrawn_key_stays_withdrawn_whatever_comes_late(world: World, mint: TokenMint) -> None:
    withdrawn = mint.published.model_copy(update={"expires_at": datetime.now(UTC) - timedelta(minutes=1)})
    await world.receive(mint.published)
    await world.receive(withdrawn)
    await world.receive(mint.published)
    restarted, feed = world.other_instance()
    await feed.load()
    for verifier in (world.verifier, restarted):
        with pytest.raises(InvalidTokenError, match="key's time"):
            verifier.verify(mint.token())


async def test_a_revocation_bites_here_after_a_restart_and_elsewhere(world: World, mint: TokenMint) -> None:
    await world.receive(mint.published)
    elsewhere, feed = world.other_instance()
    await feed.load()
    token = mint.token()
    session = world.verifier.verify(token).session_id
    elsewhere.verify(token)
    await world.receive(revocation(session))
    await world.receive(revocation(session))
    await feed.refresh()
    restarted, second_feed = world.other_instance()
    await second_feed.load()
    for verifier in (world.verifier, elsewhere, restarted):
        with pytest.raises(InvalidTokenError, match="revoked"):
            verifier.verify(token)


async def test_revocations_are_pruned_when_their_tokens_have_expired(world: World) -> None:
    await world.receive(revocation(uuid4(), datetime.now(UTC) - timedelta(seconds=1)))
    await world.receive(revocation(uuid4()))
    runtime: Runtime[UnitOfWork] = world.runtime
    (prune,) = (sweep for sweep in runtime.sweeper.sweeps if sweep.name == "token_prune")
    assert await prune.run() == 1


def jwks(mint: TokenMint) -> dict[str, object]:
    published = mint.published
    return {"keys": [{"kty": "RSA"}, {"kty": "OKP", "crv": "Ed25519", "kid": mint.kid, "x": published.public_key}]}


async def test_an_unknown_key_is_fetched_from_auth_at_most_once_in_30_seconds(world: World, mint: TokenMint) -> None:
    fetched = []

    def serve(request: httpx.Request) -> httpx.Response:
        fetched.append(str(request.url))
        return httpx.Response(200, json=jwks(mint))

    clock = MutableClock()
    verifier, _ = world.other_instance(clock, jwks_url="http://auth/jwks", http=httpx.MockTransport(serve))
    for n in range(100):
        with pytest.raises(UnknownKeyError):
            await verifier.authenticate(TokenMint(f"made-up-{n}").token())
    await verifier.authenticate(mint.token())
    assert fetched == ["http://auth/jwks"]
    clock.advance(FETCH_EVERY.total_seconds())
    with pytest.raises(UnknownKeyError):
        await verifier.authenticate(TokenMint("made-up").token())
    assert len(fetched) == 2


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(500),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": "AAAA"}]}),
        httpx.Response(200, json={"keys": [{"kty": "OKP", "crv": "Ed25519"}]}),
        httpx.Response(200, text="[" * 100_000),
        httpx.Response(302, headers={"Location": "http://169.254.169.254/"}),
    ],
)
async def test_a_strange_answer_changes_nothing(world: World, mint: TokenMint, answer: httpx.Response) -> None:
    await world.receive(mint.published)
    transport = httpx.MockTransport(lambda _: answer)
    verifier, feed = world.other_instance(jwks_url="http://auth/jwks", http=transport)
    await feed.load()
    with pytest.raises(UnknownKeyError):
        await verifier.authenticate(TokenMint("k").token())
    await verifier.authenticate(mint.token())
