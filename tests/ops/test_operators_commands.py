"""`shop dead` and `shop outbox`: what they ask the services, what they say, and with which exit code they end."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from ops.audit import Check, Finding
from ops.cli.__main__ import app
from ops.config import PREFIXES, ShopConfig
from ops.shop_api import ShopApi

Respond = Callable[[httpx.Request], httpx.Response]
ID, OTHER = "01a20964-9c20-7daa-9610-c370e0f00313", "01a20964-9c20-7daa-9610-c370e0f00314"


def a_letter(**changes: Any) -> dict[str, Any]:
    return {
        "id": ID,
        "event_id": ID,
        "type": "order.placed.v1",
        "subject": "order-1",
        "order_id": "order-1",
        "reason": "failed",
        "error_type": "KeyError",
        "error_message": "unexpected error at catalog_svc/handlers.py:5 in reserve",
        "attempt": 6,
        "redrives": 1,
        "first_failed_at": "2026-01-01T10:00:00Z",
        "died_at": "2026-01-01T10:13:00Z",
        "original_routing_key": "order.placed.v1",
        "size": 2,
    } | changes


class FakeShop:
    """Four services that have one dead letter, at catalog, and one parked event, at order."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.down: set[str] = set()
        self.refuses: set[str] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        service, path = request.url.host, request.url.path
        if service in self.down:
            raise httpx.ConnectError("connection refused")
        if path == "/auth/login":
            return httpx.Response(200, json={"access_token": "token"})
        body = json.loads(request.content) if request.content else dict(request.url.params)
        verb = path.removeprefix(PREFIXES[service])
        self.requests.append((service, verb, body))
        if service in self.refuses:
            return httpx.Response(503, json={"title": "Broker unavailable", "detail": "queue cannot be read"})
        match verb:
            case "/dead-letters":
                return httpx.Response(200, json={"items": self._letters(service), "total": 1, "more": False})
            case "/dead-letters/redrive" | "/dead-letters/discard":
                return httpx.Response(200, json={"items": self._settled(service, verb, body), "more": False})
            case "/outbox/parked":
                return httpx.Response(200, json={"items": self._parked(service), "total": len(self._parked(service))})
            case "/outbox/unpark":
                gone = [{"event_id": row["event_id"], "outcome": "unparked"} for row in self._parked(service)]
                return httpx.Response(200, json={"items": gone})
            case "/outbox/resend":
                known = {ID} if service == "order" else set()
                items = [{"event_id": i, "outcome": "resent" if i in known else "not_found"} for i in body["ids"]]
                return httpx.Response(200, json={"items": items})
        if service == "catalog" and verb == f"/dead-letters/{ID}":
            opened = {"encoding": "text", "body": '{"a": "[bold]"}', "complete": True, "event": None}
            return httpx.Response(200, json=a_letter(**opened))
        return httpx.Response(404, json={"type": "/problems/not-found"})

    def posts(self) -> list[tuple[str, Any]]:
        return [(service, body) for service, verb, body in self.requests if verb.endswith(("drive", "card", "unpark"))]

    def _letters(self, service: str) -> list[dict[str, Any]]:
        return [a_letter()] if service == "catalog" else []

    def _settled(self, service: str, verb: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        done = {"/dead-letters/redrive": "redriven", "/dead-letters/discard": "discarded"}[verb]
        outcome = done if not body.get("dry_run") else f"would_{verb.rpartition('/')[2]}"
        mine = [letter["id"] for letter in self._letters(service) if letter["id"] in body.get("ids", [letter["id"]])]
        absent = [id for id in body.get("ids", []) if id not in mine]
        items = [(id, outcome) for id in mine] + [(id, "not_found") for id in absent]
        return [
            {"id": id, "event_id": id, "type": "order.placed.v1", "outcome": what, "detail": ""} for id, what in items
        ]

    def _parked(self, service: str) -> list[dict[str, Any]]:
        row = {"event_id": ID, "type": "order.placed.v1", "subject": "order-1", "attempts": 10}
        return [{**row, "last_error": "too large", "parked_at": "2026-01-01T10:00:00Z"}] if service == "order" else []


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> FakeShop:
    fake = FakeShop()

    @asynccontextmanager
    async def running(_: ShopConfig) -> AsyncIterator[ShopApi]:
        state = {
            "services": {service: f"http://{service}" for service in PREFIXES},
            "operator": {"email": "operator@shop.example", "password": "secret"},
        }
        async with httpx.AsyncClient(transport=httpx.MockTransport(fake.answer)) as http:
            yield ShopApi(state, http)

    monkeypatch.setattr("ops.cli.common.running_shop", running)
    return fake


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(app, arguments, input=answer, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_the_list_is_a_table_of_all_services(shop: FakeShop) -> None:
    result = run("dead", "list", "--type", "order.placed.v1", "--error", "KeyError", "--limit", "5")
    assert result.exit_code == 0
    assert all(word in result.stdout for word in ("catalog", ID, "order.placed.v1", "KeyError", "order-1"))
    assert {service for service, _, _ in shop.requests} == set(PREFIXES)
    assert shop.requests[0][2] == {"type": "order.placed.v1", "error_type": "KeyError", "limit": "5"}


def test_an_id_can_be_copied_from_the_narrowest_terminal(shop: FakeShop) -> None:
    for command in (("dead", "list"), ("outbox", "parked")):
        result = CliRunner().invoke(app, command, env={"COLUMNS": "80", "NO_COLOR": "1"})
        assert ID in result.stdout


def test_the_list_as_json(shop: FakeShop) -> None:
    document = json.loads(run("dead", "list", "--service", "catalog", "--json").stdout)
    assert document["services"]["catalog"]["items"][0]["id"] == ID
    assert [service for service, _, _ in shop.requests] == ["catalog"]


def test_a_service_that_does_not_answer_is_named_and_the_others_are_shown(shop: FakeShop) -> None:
    shop.down, shop.refuses = {"order"}, {"payment"}
    result = run("dead", "list")
    assert result.exit_code == 2
    assert ID in result.stdout
    assert "order: connection refused" in result.stderr
    assert "payment: queue cannot be read" in result.stderr


def test_one_letter_is_shown_with_its_body_as_it_is(shop: FakeShop) -> None:
    result = run("dead", "show", ID)
    assert result.exit_code == 0
    assert '{"a": "[bold]"}' in result.stdout
    assert "catalog_svc/handlers.py:5" in result.stdout
    assert run("dead", "show", OTHER).exit_code == 1


def test_redriving_asks_first_and_goes_only_to_the_service_that_has_it(shop: FakeShop) -> None:
    result = run("dead", "redrive", ID, answer="y\n")
    assert result.exit_code == 0
    assert "redrive 1 dead letters of catalog?" in result.stderr
    assert "redriven" in result.stdout
    assert [service for service, body in shop.posts() if not body.get("dry_run")] == ["catalog"]


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("", 2)])
def test_without_a_yes_nothing_is_done(shop: FakeShop, answer: str, code: int) -> None:
    assert run("dead", "discard", "--all", "--reason", "test", answer=answer).exit_code == code
    assert all(body["dry_run"] for _, body in shop.posts())


def test_a_dry_run_neither_asks_nor_does(shop: FakeShop) -> None:
    result = run("dead", "redrive", "--all", "--dry-run")
    assert (result.exit_code, "would redrive" in result.stdout) == (0, True)
    assert all(body["dry_run"] for _, body in shop.posts())


def test_discarding_needs_a_reason_and_sends_it(shop: FakeShop) -> None:
    assert run("dead", "discard", ID, "--yes").exit_code == 2
    result = run("dead", "discard", "--error", "KeyError", "--limit", "3", "--reason", "a test", "--yes")
    assert result.exit_code == 0
    assert shop.posts()[-1] == ("catalog", {"filter": {"error_type": "KeyError"}, "limit": 3, "reason": "a test"})


def test_a_letter_nobody_has_is_a_no(shop: FakeShop) -> None:
    result = run("dead", "redrive", ID, OTHER, "--yes", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["not_found"]) == (1, [OTHER])
    assert document["services"]["catalog"][0]["outcome"] == "redriven"


@pytest.mark.parametrize(
    "arguments", [(), (ID, "--all"), ("--all", "--type", "x"), ("--all", "--service", "shipping"), ("--limit", "0")]
)
def test_it_must_be_said_which_letters(shop: FakeShop, arguments: tuple[str, ...]) -> None:
    assert run("dead", "redrive", *arguments, "--yes").exit_code == 2
    assert shop.requests == []


def test_parked_events_are_listed_and_let_go(shop: FakeShop) -> None:
    listed = run("outbox", "parked")
    assert (listed.exit_code, "too large" in listed.stdout, ID in listed.stdout) == (0, True, True)
    assert run("outbox", "unpark", ID).exit_code == 0
    assert run("outbox", "unpark", OTHER).exit_code == 1
    assert run("outbox", "unpark", "--all", "--service", "order", "--yes").exit_code == 0
    assert shop.posts()[-1] == ("order", {"all": True})
    assert run("outbox", "unpark", "--yes").exit_code == 2


def test_events_are_sent_again_by_id_from_whichever_service_has_them(shop: FakeShop) -> None:
    sent = run("outbox", "resend", ID)
    assert (sent.exit_code, f"order {ID}: on its way" in sent.stdout) == (0, True)
    assert run("outbox", "resend", OTHER).exit_code == 1
    assert run("outbox", "resend").exit_code == 2
    assert run("outbox", "resend", ID, "--lost").exit_code == 2


def test_what_the_audit_misses_is_sent_again_by_those_who_sent_it(
    shop: FakeShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = Finding(Check.MESSAGES, "never handled", (ID, "an order"), sent_by="order")
    other = Finding(Check.MONEY, "something else", ("an order",))
    found = SimpleNamespace(breaches=[lost, other])

    async def audited(_: object) -> SimpleNamespace:
        return found

    monkeypatch.setattr("ops.cli.outbox.audit", audited)
    assert run("outbox", "resend", "--lost", "--yes").exit_code == 0
    assert [request for request in shop.requests if request[1] == "/outbox/resend"] == [
        ("order", "/outbox/resend", {"ids": [ID]})
    ]
    found.breaches = [other]
    nothing = run("outbox", "resend", "--lost")
    assert (nothing.exit_code, "nothing is lost" in nothing.stdout) == (0, True)


@pytest.mark.parametrize("group", ["dead", "outbox"])
def test_help_shows_examples(group: str) -> None:
    verbs = {"dead": ("list", "show", "redrive", "discard"), "outbox": ("parked", "unpark", "resend")}[group]
    for verb in verbs:
        assert f"shop {group} {verb}" in run(group, verb, "--help").stdout
