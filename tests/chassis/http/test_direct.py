"""A direct route is FastAPI's own to whoever looks from outside: the same document, and the same answer to anything."""

from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import UUID

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Body, Cookie, Depends, FastAPI, Header, Query, Request
from fastapi.routing import APIRoute
from starlette.responses import Response

from chassis.auth import Customer, TokenVerifier
from chassis.body import json_body
from chassis.clock import SystemClock
from chassis.direct import DirectRoute
from chassis.fields import Answer, CanonicalUuid, PathUuid
from chassis.idempotency import IdempotentRequest
from chassis.idempotency_key import idempotent
from chassis.openapi import install_openapi
from chassis.problems import ProblemError, install_problem_handlers
from tests.chassis.http.test_bodies import JSON, a_body
from tests.chassis.http.tiny import Place
from tests.support.tokens import TokenMint

THING = "0198f0c2-0000-7000-8000-000000000001"
KEY = {"Idempotency-Key": "a-key"}


class Wanted(Answer):
    """A query as a model: FastAPI's `Query()` takes it whole."""

    text: str = ""
    limit: Annotated[int, Query(ge=1, le=100)] = 20
    in_stock: bool | None = None


class Shown(Answer):
    text: str
    id: UUID | None = None
    at: float = 0.5


async def _counted(request: Request) -> int:
    request.state.asked = getattr(request.state, "asked", 0) + 1
    return int(request.state.asked)


async def _twice(count: Annotated[int, Depends(_counted)]) -> int:
    return count + 1


async def _choosy(number: Annotated[int, Query(ge=1)], count: Annotated[int, Depends(_counted)]) -> int:
    return number + count


async def _refuses() -> None:
    raise ProblemError(409, "illegal-transition")


def _routes(route_class: type[APIRoute]) -> APIRouter:
    router = APIRouter(prefix="/things", tags=["things"], route_class=route_class)

    @router.post("", status_code=201)
    async def place(
        principal: Customer,
        once: Annotated[IdempotentRequest, idempotent("POST /things")],
        body: Annotated[Place, json_body(Place)],
    ) -> Shown:
        return Shown(text=f"{once.key} {once.fingerprint} ü", id=body.id)

    @router.get("", response_model=Shown)
    async def browse(wanted: Annotated[Wanted, Query()]) -> Response:
        return Response(wanted.model_dump_json(), headers={"ETag": '"1"'}, media_type="application/json")

    @router.get("/once")
    async def once(a: Annotated[int, Depends(_counted)], b: Annotated[int, Depends(_twice)]) -> Shown:
        return Shown(text=f"{a} {b}")

    @router.get("/choosy")
    async def choosy(chosen: Annotated[int, Depends(_choosy)], letter: Annotated[str, Query(max_length=1)]) -> Shown:
        return Shown(text=f"{chosen} {letter}")

    @router.get("/choosy-and-refused")
    async def refused(chosen: Annotated[int, Depends(_choosy)], never: Annotated[None, Depends(_refuses)]) -> Shown:
        raise AssertionError

    @router.get("/of")
    async def of(order_id: Annotated[CanonicalUuid, Query()], principal: Customer) -> Shown:
        return Shown(text="", id=order_id)

    @router.delete("/{thing_id}", status_code=204, response_class=Response)
    async def remove(thing_id: PathUuid) -> Response:
        return Response(status_code=204)

    @router.get("/{thing_id}")
    async def one(
        thing_id: PathUuid,
        principal: Customer,
        request: Request,
        wait: Annotated[float, Query(ge=0, le=30)] = 0,
        last_event_id: Annotated[int, Header(ge=0)] = 0,
    ) -> Shown:
        return Shown(text=f"{request.url.path} {wait} {last_event_id}", id=thing_id)

    return router


def _app(route_class: type[APIRoute], mint: TokenMint) -> FastAPI:
    app = FastAPI()
    app.state.verifier = TokenVerifier(SystemClock())
    app.state.verifier.add_key(mint.verification_key)
    app.router.routes.extend(_routes(route_class).routes)
    install_problem_handlers(app)
    install_openapi(app)
    return app


@pytest.fixture
async def both(mint: TokenMint) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Clients of the same service, as FastAPI makes it and as direct routes do."""
    clients = [
        httpx.AsyncClient(transport=httpx.ASGITransport(_app(kind, mint)), base_url="http://things.test")
        for kind in (APIRoute, DirectRoute)
    ]
    yield clients
    for client in clients:
        await client.aclose()


@pytest.mark.parametrize(
    "query", ["", "?text=a&limit=5&in_stock=true", "?limit=1&limit=2", "?limit=", "?other=1&other=2"]
)
async def test_a_query_read_as_a_model(both: list[httpx.AsyncClient], query: str) -> None:
    await _answer_alike(both, "GET", f"/things{query}")


@pytest.mark.parametrize("query", ["?limit=0", "?limit=x&in_stock=perhaps", "?limit=%ff", "?text=%00&limit=1e400"])
async def test_a_query_that_is_wrong(both: list[httpx.AsyncClient], query: str) -> None:
    assert await _answer_alike(both, "GET", f"/things{query}") == 422


@pytest.mark.parametrize(
    "target",
    [
        f"/things/{THING}",
        f"/things/{THING}?wait=1.5",
        f"/things/{THING}?wait=31",
        f"/things/{THING}?wait=NaN",
        f"/things/{THING}?wait=1&wait=x",
        f"/things/{THING.upper()}?wait=31",
        "/things/of",
        "/things/of?order_id=",
        f"/things/of?order_id={THING}",
        "/things/once",
        "/things/choosy?number=1&letter=a",
        "/things/choosy?number=0&letter=ab",
        "/things/choosy?letter=a",
        "/things/choosy-and-refused",
        "/things/choosy-and-refused?number=1",
        "/nowhere",
    ],
)
@pytest.mark.parametrize("token", ["good", "bad", "none"])
@pytest.mark.parametrize("last_event", [{}, {"Last-Event-ID": "7"}, {"Last-Event-ID": "-1"}])
async def test_parameters_of_all_places(
    both: list[httpx.AsyncClient], mint: TokenMint, target: str, token: str, last_event: dict[str, str]
) -> None:
    await _answer_alike(both, "GET", target, {**_headers(mint, token), **last_event})


@pytest.mark.parametrize("token", ["good", "bad", "none", "operator"])
@pytest.mark.parametrize("key", [KEY, {}, {"Idempotency-Key": ""}])
@pytest.mark.parametrize("body", [a_body(), b'{"lines": []}', b"{", b"", b'{"id": NaN}'])
@pytest.mark.parametrize("sent_as", [JSON, {"Content-Type": "text/plain"}])
async def test_bodies_keys_and_tokens_are_told_about_in_the_same_order(
    both: list[httpx.AsyncClient],
    mint: TokenMint,
    token: str,
    key: dict[str, str],
    body: bytes,
    sent_as: dict[str, str],
) -> None:
    await _answer_alike(both, "POST", "/things", {**_headers(mint, token), **key, **sent_as}, body)


async def test_what_has_no_body(both: list[httpx.AsyncClient]) -> None:
    assert await _answer_alike(both, "DELETE", f"/things/{THING}") == 204
    assert await _answer_alike(both, "PUT", f"/things/{THING}") == 405


def test_the_document_is_the_same(mint: TokenMint) -> None:
    assert _app(DirectRoute, mint).openapi() == _app(APIRoute, mint).openapi()


async def _yields() -> AsyncIterator[int]:
    yield 1


def _blocks() -> int:
    return 1


async def _takes_a_list(words: Annotated[list[str], Query()]) -> None: ...
async def _takes_a_cookie(session: Annotated[str, Cookie()]) -> None: ...
async def _takes_a_body(body: Annotated[dict[str, Any], Body()]) -> None: ...
async def _takes_tasks(tasks: BackgroundTasks) -> None: ...
async def _depends_on_one_that_yields(number: Annotated[int, Depends(_yields)]) -> None: ...
async def _depends_on_one_that_blocks(number: Annotated[int, Depends(_blocks)]) -> None: ...


@pytest.mark.parametrize(
    "endpoint",
    [
        _blocks,
        _takes_a_list,
        _takes_a_cookie,
        _takes_a_body,
        _takes_tasks,
        _depends_on_one_that_yields,
        _depends_on_one_that_blocks,
    ],
)
def test_what_it_cannot_do_is_refused_when_declared(endpoint: Any) -> None:
    with pytest.raises(TypeError):
        APIRouter(route_class=DirectRoute).get("/thing", response_model=None)(endpoint)


async def _answer_alike(
    both: list[httpx.AsyncClient], method: str, target: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> int:
    """The status both answer with, and the same to the last byte."""
    expected, answer = [await client.request(method, target, headers=headers, content=body) for client in both]
    assert (answer.status_code, answer.headers.multi_items(), answer.content) == (
        expected.status_code,
        expected.headers.multi_items(),
        expected.content,
    )
    return answer.status_code


def _headers(mint: TokenMint, token: str) -> dict[str, str]:
    match token:
        case "good":
            return mint.headers()
        case "bad":
            return {"Authorization": "Bearer nonsense"}
        case "operator":
            return mint.headers(roles=("operator",))
        case _:
            return {}
