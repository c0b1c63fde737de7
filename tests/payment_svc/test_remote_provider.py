"""The provider behind HTTP when it lies, hangs or answers rubbish: every outcome that is not certain is unknown."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn
from pydantic import SecretStr

from contracts.money import Money
from payment_svc.providers.port import (
    Authorized,
    AuthorizeRequest,
    Captured,
    Missing,
    Page,
    Refunded,
    Refused,
    Unknown,
    Voided,
)
from payment_svc.providers.remote import MAX_ANSWER, RemoteProvider
from payment_svc.providers.signatures import HEADER, check
from payment_svc.providers.simulator.app import Simulator
from payment_svc.providers.simulator.faults import Fate
from payment_svc.providers.simulator.settings import FaultSettings, SimulatorSettings
from payment_svc.settings import PaymentSettings
from tests.support.waiting import wait_until

TEN = Money(amount=1000, currency="EUR")
KEY = "the-key-of-this-merchant"
SECRET = "what-signs-the-webhooks"
REFERENCE = "pi_1"

Call = Callable[[RemoteProvider], Coroutine[Any, Any, object]]
CALLS: dict[str, Call] = {
    "authorize": lambda psp: psp.authorize("k", a_request()),
    "confirm": lambda psp: psp.confirm("k", REFERENCE),
    "capture": lambda psp: psp.capture("k", REFERENCE, TEN),
    "void": lambda psp: psp.void("k", REFERENCE),
    "refund": lambda psp: psp.refund("k", REFERENCE, TEN),
    "retrieve": lambda psp: psp.retrieve(REFERENCE),
    "find": lambda psp: psp.find("k"),
    "list": lambda psp: psp.list_since("", 10),
}


def a_request(method: str = "pm_card_visa") -> AuthorizeRequest:
    return AuthorizeRequest(uuid4(), uuid4(), TEN, method)


def answering(status: int, body: bytes | object) -> RemoteProvider:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RemoteProvider(
        "http://psp", KEY, transport=httpx.MockTransport(lambda _: httpx.Response(status, content=content))
    )


def a_document(**changes: object) -> dict[str, object]:
    document: dict[str, object] = {
        "reference": REFERENCE,
        "payment_id": str(uuid4()),
        "order_id": str(uuid4()),
        "amount": 1000,
        "currency": "EUR",
        "status": "captured",
        "captured": 1000,
        "refunded": 0,
        "captures": 1,
    }
    return document | changes


RUBBISH: dict[str, tuple[int, bytes | object]] = {
    "500": (500, {"error": {"code": "unwell"}}),
    "502 of a proxy": (502, b"<html>Bad Gateway</html>"),
    "503": (503, b""),
    "429": (429, {"error": {"code": "slow_down"}}),
    "our key is not known": (401, {"error": {"code": "unauthenticated"}}),
    "our request is wrong": (400, {"error": {"code": "invalid"}}),
    "404 of a proxy": (404, b"<html>Not Found</html>"),
    "a redirect": (302, b""),
    "nothing": (200, b""),
    "not JSON": (200, b"captured"),
    "half of it": (200, b'{"reference":"pi_1","status":"capt'),
    "a list": (200, []),
    "another payment": (200, a_document(reference="pi_2")),
    "no status": (200, a_document(status=None)),
    "a status nobody knows": (200, a_document(status="refunding")),
    "a negative sum": (200, a_document(captured=-1)),
    "a sum in words": (200, a_document(captured="1000")),
    "a fraction": (200, a_document(captured=1000.5)),
    "no end": (200, b" " * (MAX_ANSWER + 1)),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("rubbish", RUBBISH)
async def test_what_makes_no_sense_is_unknown(call: str, rubbish: str) -> None:
    psp = answering(*RUBBISH[rubbish])

    result = await CALLS[call](psp)

    a_key_is_asked_for_and_not_a_payment = (call, rubbish) == ("find", "another payment")
    assert isinstance(result, Unknown) or a_key_is_asked_for_and_not_a_payment
    await psp.close()


async def test_an_answer_about_other_money_is_unknown() -> None:
    asked = a_request()
    mine = {"payment_id": str(asked.payment_id), "status": "authorized", "captured": 0}
    for changes in ({"amount": 1}, {"currency": "USD"}, {"payment_id": str(uuid4())}):
        assert isinstance(await answering(200, a_document(**mine | changes)).authorize("k", asked), Unknown)
    assert await answering(200, a_document(**mine)).authorize("k", asked) == Authorized(REFERENCE)
    assert isinstance(await answering(200, a_document(captured=999)).capture("k", REFERENCE, TEN), Unknown)
    assert isinstance(await answering(200, a_document(currency="USD")).capture("k", REFERENCE, TEN), Unknown)
    assert isinstance(await answering(200, a_document(refunded=999)).refund("k", REFERENCE, TEN), Unknown)
    assert isinstance(await answering(200, a_document(status="authorized")).void("k", REFERENCE), Unknown)


async def test_a_refusal_with_a_reason_is_an_outcome() -> None:
    psp = answering(422, {"error": {"code": "refund_exceeds_capture"}})
    assert await psp.refund("k", REFERENCE, TEN) == Refused("refund_exceeds_capture")
    assert await psp.capture("k", REFERENCE, TEN) == Refused("refund_exceeds_capture")
    gone = answering(404, {"error": {"code": "no_such_payment"}})
    assert await gone.retrieve(REFERENCE) == Missing()
    assert await gone.void("k", REFERENCE) == Voided()


async def test_an_answer_that_drips_ends_in_time() -> None:
    """Every read is in time, the whole never is."""

    class Drip(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b" "
                await asyncio.sleep(0)  # a turn of the loop, not a wait

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, _: httpx.Request) -> httpx.Response:
            return httpx.Response(200, stream=Drip())

    psp = RemoteProvider("http://psp", KEY, call_seconds=0.05, transport=Slow())
    assert isinstance(await psp.retrieve(REFERENCE), Unknown)


def test_a_remote_provider_needs_a_key() -> None:
    with pytest.raises(ValueError, match="provider_key"):
        PaymentSettings.model_validate({"provider": "remote"})
    assert PaymentSettings.model_validate({"provider": "remote", "provider_key": KEY}).provider == "remote"


def test_a_call_has_one_fate() -> None:
    with pytest.raises(ValueError, match="add up to more than 1"):
        FaultSettings(hang_after=0.6, error_after=0.6)


@asynccontextmanager
async def a_company(webhook_url: str = "", **faults: Any) -> AsyncIterator[tuple[Simulator, RemoteProvider]]:
    """A simulator on a socket, which is needed to hang and to break connections, and the adapter to it."""
    settings = SimulatorSettings(
        database=":memory:", key=SecretStr(KEY), webhook_url=webhook_url, webhook_secret=SecretStr(SECRET)
    )
    house = Simulator(settings, FaultSettings(**faults))
    server = uvicorn.Server(uvicorn.Config(house.door, port=0, log_config=None, timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    psp = RemoteProvider(f"http://127.0.0.1:{port}", KEY, call_seconds=0.3)
    try:
        yield house, psp
    finally:
        await psp.close()
        server.should_exit = True
        await task


@pytest.mark.parametrize("fate", [Fate.HANG_AFTER, Fate.ERROR_AFTER, Fate.RESET_AFTER])
async def test_done_and_not_told_then_asked_again_with_the_same_key(fate: Fate) -> None:
    lies: dict[str, Any] = {fate.value: 1.0, "hang_seconds": 1.0}
    async with a_company(**lies) as (house, psp):
        request = a_request()
        assert isinstance(await psp.authorize("a", request), Unknown)
        house.behave(FaultSettings())
        held = await psp.authorize("a", request)
        assert isinstance(held, Authorized)
        house.behave(FaultSettings(**lies))
        assert isinstance(await psp.capture("c", held.reference, TEN), Unknown)
        assert isinstance(await psp.refund("r", held.reference, TEN), Unknown)
        house.behave(FaultSettings())
        assert await psp.capture("c", held.reference, TEN) == Captured()
        assert await psp.refund("r", held.reference, TEN) == Refunded()
        page = await psp.list_since("", 10)

    assert isinstance(page, Page)
    (there,) = page.items
    assert (there.captures, there.snapshot.captured, there.snapshot.refunded) == (1, 1000, 1000)


async def test_not_done_and_told_so_is_unknown_all_the_same() -> None:
    async with a_company(error_before=1.0) as (house, psp):
        assert isinstance(await psp.authorize("a", a_request()), Unknown)
        house.behave(FaultSettings())
        assert await psp.list_since("", 10) == Page((), "0", more=False)


async def test_nobody_there() -> None:
    gone = RemoteProvider("http://127.0.0.1:1", KEY)
    assert isinstance(await gone.authorize("a", a_request()), Unknown)
    await gone.close()


async def test_a_forgotten_key_does_it_twice_and_the_records_know_better() -> None:
    """Why an old call is looked up first."""
    async with a_company(keys_kept=1) as (house, psp):
        request = a_request()
        first = await psp.authorize("a", request)
        await psp.authorize("b", a_request())
        assert await psp.authorize("a", request) != first
        assert await psp.find("a") == first
        assert len(house.books.changed_since(0, 10)) == 3


async def test_the_same_fates_for_the_same_seed() -> None:
    lies = FaultSettings(seed=7, hang_after=0.2, error_after=0.2, slow=0.2)
    house = Simulator(SimulatorSettings(database=":memory:", key=SecretStr(KEY)), lies)

    def fates() -> list[Fate]:
        house.behave(lies)
        return [house.door.draw() for _ in range(200)]

    assert fates() == fates()
    assert set(fates()) == {Fate.HANG_AFTER, Fate.ERROR_AFTER, Fate.SLOW, Fate.WELL}


async def test_webhooks_are_signed_repeated_and_sent_until_taken() -> None:
    taken: list[tuple[bytes, str]] = []
    refused = 0

    async def merchant(scope: Any, receive: Any, send: Any) -> None:
        nonlocal refused
        assert scope["type"] == "http"
        body = (await receive())["body"]
        status = 200
        if refused < 2:
            refused, status = refused + 1, 503
        else:
            header = dict(scope["headers"])[HEADER.lower().encode()].decode()
            taken.append((body, header))
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    server = uvicorn.Server(uvicorn.Config(merchant, port=0, log_config=None, lifespan="off"))
    task = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with a_company(f"http://127.0.0.1:{port}/hook", webhook_copies=3) as (_, psp):
        request = a_request()
        await psp.authorize("a", request)
        await wait_until(lambda: len(taken) == 3)
        notice = psp.read_notice(taken[0][0])
    server.should_exit = True
    await task

    assert len({body for body, _ in taken}) == 1, "copies have one id"
    assert (notice.payment_id, notice.amount, notice.relevant) == (request.payment_id, TEN, True)
    for body, header in taken:
        check(body, header, [SECRET], int(header.partition(",")[0].removeprefix("t=")))


async def test_its_ledger_sums_to_zero_and_only_grows() -> None:
    house = Simulator(SimulatorSettings(database=":memory:", key=SecretStr(KEY)), FaultSettings())
    psp = RemoteProvider("http://psp", KEY, transport=httpx.ASGITransport(house.door))
    held = await psp.authorize("a", a_request())
    assert isinstance(held, Authorized)
    await psp.capture("c", held.reference, TEN)
    await psp.refund("r", held.reference, Money(amount=400, currency="EUR"))
    await psp.authorize("b", a_request())

    assert house.books.totals() == {
        "EUR": {"card_holds": 1000, "hold_obligations": -1000, "cardholders": 600, "merchant": -600}
    }
    for statement in ("DELETE FROM ledger", "UPDATE ledger SET amount = 1"):
        with pytest.raises(Exception, match="append-only"):
            house.books.db.execute(statement)
    house.books.close()
    await psp.close()


async def test_it_is_told_to_behave_and_does_whatever_its_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`PUT /admin/faults` means exactly those faults, and not those it was started with as well."""
    monkeypatch.setenv("SIMULATOR_HANG_AFTER", "0.9")
    settings = SimulatorSettings(database=str(tmp_path / "books.db"), key=SecretStr(KEY))
    simulator = Simulator(settings, FaultSettings())
    assert simulator.faults.hang_after == 0.9
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(simulator.door),
        base_url="http://psp",
        headers={"Authorization": f"Bearer {KEY}"},
    ) as http:
        told = await http.put("/admin/faults", json={"error_after": 0.1})
        assert (told.status_code, told.json()["hang_after"], told.json()["error_after"]) == (200, 0.0, 0.1)
        assert (await http.put("/admin/faults", json={"no_such_fault": 1})).status_code == 400
    assert simulator.faults.error_after == 0.1
