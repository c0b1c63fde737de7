"""Log lines: one JSON object each, part of a conversation, and nothing in them that should not be."""

import json
import logging
from uuid import UUID

import httpx
import pytest
import structlog

from chassis.context import MessageContext, enter_context
from tests.chassis.http.test_bodies import JSON, a_body
from tests.support.tokens import TokenMint


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_whatever_is_logged_is_one_json_object_per_line(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("evil", title='\r\n\x1b[2J\ud800{"level"', deep={"a": [1, {"b": object()}]}, n=2**70)
    logging.getLogger("library").warning("evil\n%s", '{"x"')
    first, second = lines(capsys)
    assert (first["event"], first["service"], first["level"]) == ("evil", "test", "info")
    assert second["event"] == 'evil\n{"x"'


def test_secrets_do_not_come_through(capsys: pytest.CaptureFixture[str], mint: TokenMint) -> None:
    log = structlog.get_logger()
    token, address = mint.token(), "canary@example.com"
    log.info(
        "x", password="canary", access_token="canary", user_email="canary", raw_body="canary", Authorization="canary"
    )
    log.info(f"Bearer {token}", url="amqp://order:canary@broker:5672/", who="anne.canary@example.co.uk")
    try:
        raise ValueError(token, address)
    except ValueError:
        log.exception("failed")
    logging.getLogger("driver").error("cannot reach postgresql://shop:canary@db/orders")
    text = capsys.readouterr().out
    assert "canary" not in text
    assert token not in text


def test_a_line_carries_the_conversation(capsys: pytest.CaptureFixture[str]) -> None:
    enter_context(MessageContext(UUID(int=1), UUID(int=2)))
    structlog.get_logger().info("x")
    (line,) = lines(capsys)
    assert (line["correlation_id"], line["causation_id"]) == (str(UUID(int=1)), str(UUID(int=2)))


async def test_requests_leave_no_input_in_the_log(
    client: httpx.AsyncClient, mint: TokenMint, capsys: pytest.CaptureFixture[str]
) -> None:
    await client.post("/things", content=a_body(note="canary\x07"), headers=mint.headers() | JSON)
    await client.get("/things/canary", headers={"Authorization": "Bearer canary"})
    assert "canary" not in capsys.readouterr().out


async def test_an_unexpected_error_is_logged_once_with_the_request_id(
    client: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = await client.get("/things/broken")
    (line,) = lines(capsys)
    assert line["event"] == "http.unexpected_error"
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "RuntimeError" in str(line["exception"])
