"""`shop journal`, `shop replay` and `shop rebuild`, as an operator types them, on a broker with a history."""

import asyncio
import json
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner, Result

from chassis.topology import inbox_queue, shop_topology
from chassis.transport import Transport
from chassis.transport.amqp import AmqpTransport
from chassis.transport.amqp.link import open_link
from contracts.registry import SERVICES
from ops.cli.__main__ import app
from ops.replay import read_events, send
from tests.fixtures.broker import RabbitVhost
from tests.support.messages import connected
from tests.support.replay import STORIES, load_story
from tests.support.waiting import wait_until

pytestmark = pytest.mark.rabbit

HAPPY = load_story("happy_path.jsonl")
ORDER = next(line.envelope.correlationid for line in HAPPY.lines if line.envelope.type == "order.placed.v1")


@pytest.fixture
def run_dir(tmp_path: Path, rabbit_vhost: RabbitVhost, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a running shop writes down about itself."""
    node = rabbit_vhost.node
    state = {
        "services": dict.fromkeys(SERVICES, "http://127.0.0.1:9"),
        "amqp": {"monitoring": rabbit_vhost.url("monitoring")},
        "management": {"url": node.broker.management_url, "user": "monitoring", "password": "unused"},
    }
    secrets = {
        "broker": dict(node.passwords),
        "auth_master_key": "00" * 32,
        "operator_email": "operator@shop.example",
        "operator_password": "unused",
        "customer_email": "reader@shop.example",
        "customer_password": "unused",
    }
    (tmp_path / "shop.json").write_text(json.dumps(state))
    (tmp_path / "secrets.json").write_text(json.dumps(secrets))
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
async def bus(rabbit_vhost: RabbitVhost) -> Transport:
    """The happy path has happened."""
    transport = AmqpTransport(rabbit_vhost.url(), shop_topology(), service="operator")
    await connected(transport)
    await send(transport, read_events(STORIES / HAPPY.name), None)
    await transport.stop()
    return transport


async def shop(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


async def test_an_orders_events_make_a_story_for_tests(run_dir: Path, bus: Transport) -> None:
    found = await shop("journal", "grep", "--order", str(ORDER), "--json")
    assert found.exit_code == 0, found.output
    (run_dir / "story.jsonl").write_text(found.stdout)
    story = load_story("story.jsonl", run_dir)
    wanted = [line.envelope for line in HAPPY.lines if line.envelope.correlationid == ORDER]
    assert [line.envelope for line in story.lines] == wanted
    assert (await shop("replay", str(run_dir / "story.jsonl"), "--to", "catalog", "--dry-run")).exit_code == 0


async def test_tail_and_grep_are_for_people_too(run_dir: Path, bus: Transport) -> None:
    newest = await shop("journal", "tail", "-n", "2")
    assert [line.split()[3] for line in newest.stdout.splitlines()] == [e.envelope.type for e in HAPPY.lines[-2:]]
    reserved = await shop("journal", "grep", "--type", "stock.reserved", "--since", "2020-01-01")
    assert (reserved.exit_code, len(reserved.stdout.splitlines())) == (0, 1)
    nothing = await shop("journal", "grep", "--id", str(UUID(int=1)))
    assert (nothing.exit_code, nothing.stdout) == (1, "")


async def test_replay_sends_to_one_inbox_and_asks_before(
    run_dir: Path, rabbit_vhost: RabbitVhost, bus: Transport
) -> None:
    file = str(STORIES / HAPPY.name)
    unasked = await shop("replay", file, "--to", "payment")
    assert unasked.exit_code == 2
    assert "--yes" in unasked.stderr
    assert (await shop("replay", file)).exit_code == 2
    before = {service: await waiting(rabbit_vhost, service) for service in SERVICES}
    sent = await shop("replay", file, "--to", "payment", "--yes")
    assert sent.exit_code == 0, sent.output
    assert "2 events were sent to payment.inbox" in sent.stdout

    async def arrived() -> bool:
        now = {service: await waiting(rabbit_vhost, service) for service in SERVICES}
        return now == before | {"payment": before["payment"] + 2}

    await wait_until(arrived, timeout=20)


async def waiting(vhost: RabbitVhost, service: str) -> int:
    """Messages in an inbox, as a consumer would find them."""
    async with open_link(vhost.url(), "counter") as link:
        channel = await link.connection.channel()
        queue = await channel.declare_queue(inbox_queue(service), passive=True)
        return queue.declaration_result.message_count or 0


async def test_without_a_broker_or_a_shop_each_says_so_in_one_sentence(run_dir: Path) -> None:
    state = json.loads((run_dir / "shop.json").read_text())
    del state["amqp"]
    (run_dir / "shop.json").write_text(json.dumps(state))
    file = str(STORIES / HAPPY.name)
    asked = (
        ("journal", "tail"),
        ("journal", "grep", "--order", str(ORDER)),
        ("replay", file, "--to-bus", "--yes"),
        ("rebuild", "order"),
    )
    for arguments in asked:
        answer = await shop(*arguments)
        assert (answer.exit_code, answer.stdout) == (2, ""), arguments
        assert "keeps no journal" in answer.stderr
        assert len(answer.stderr.splitlines()) <= 2
