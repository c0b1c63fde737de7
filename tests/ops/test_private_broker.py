"""The private node: starts beside others, comes back with its data, and explains itself when it cannot."""

import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from chassis.topology import MONITORING_USER, OPERATOR_USER, inbox_queue, shop_rights
from ops.broker import BrokerStartError, ManagementApi, PortTakenError, PrivateBroker, free_port
from ops.broker.ports import listener_of, require_free
from ops.broker.processes import PidFile
from ops.definitions import shop_definitions
from tests.fixtures.broker import RabbitNode

PASSWORDS = {rights.user: f"password-{rights.user}" for rights in shop_rights()}


def a_broker(folder: Path, *, name: str | None = None) -> PrivateBroker:
    return PrivateBroker(
        folder,
        name or f"test-{secrets.token_hex(4)}",
        amqp_port=free_port(),
        management_port=free_port(),
        dist_port=free_port(),
        epmd_port=free_port(),
    )


@pytest.fixture
def broker(tmp_path: Path, rabbit: RabbitNode) -> Iterator[PrivateBroker]:
    """A second node: `rabbit` is asked for only to know that the binaries are there, and to have a neighbour."""
    broker = a_broker(tmp_path)
    yield broker
    broker.kill()
    broker.stop()


def publish_one(broker: PrivateBroker) -> None:
    with ManagementApi(broker.management_url, OPERATOR_USER, PASSWORDS[OPERATOR_USER]) as management:
        answer = management.post(
            "exchanges/%2F/shop.events/publish",
            {
                "properties": {"delivery_mode": 2},
                "routing_key": "stock.reserved.v1",
                "payload": "kept",
                "payload_encoding": "string",
            },
        )
    assert answer == {"routed": True}


@pytest.mark.rabbit
def test_a_crashed_launchers_node_is_replaced_and_its_messages_are_kept(broker: PrivateBroker) -> None:
    broker.start(shop_definitions(PASSWORDS))
    publish_one(broker)
    left_behind = broker.pid
    settings = broker.settings
    successor = PrivateBroker(
        settings.data_dir,
        settings.node_name,
        amqp_port=settings.amqp_port,
        management_port=settings.management_port,
        dist_port=settings.dist_port,
        epmd_port=settings.epmd_port,
    )
    changed = {user: f"new-{password}" for user, password in PASSWORDS.items()}
    successor.start(shop_definitions(changed))
    assert successor.pid not in (None, left_behind)
    with ManagementApi(successor.management_url, MONITORING_USER, changed[MONITORING_USER]) as management:
        [message] = management.peek("/", inbox_queue("order"), 1)
    assert message["payload"] == "kept"
    successor.stop()
    assert successor.pid is None
    require_free(settings.epmd_port, "nothing")


@pytest.mark.rabbit
def test_a_node_that_cannot_start_shows_the_end_of_its_log(broker: PrivateBroker) -> None:
    (broker.settings.data_dir / "advanced.config").write_text("this is not Erlang")
    with pytest.raises(
        BrokerStartError, match=r"RabbitMQ ended with status \d+:\n[\s\S]*failed_to_read_advanced_configuration_file"
    ):
        broker.start(shop_definitions(PASSWORDS))
    assert broker.pid is None


def test_a_taken_port_is_named_with_its_owner(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTakenError, match=rf"Port {port}, wanted for AMQP, is taken by .+ \(pid \d+\)\."):
            require_free(port, "AMQP")
        assert listener_of(free_port()) == ""


def test_a_pid_of_someone_else_is_not_ours(tmp_path: Path) -> None:
    file = PidFile(tmp_path / "node.pid", "a mark no command line has")
    file.write(1)
    assert file.pid() is None
    file.end(grace=0)
    assert not (tmp_path / "node.pid").exists()


def test_no_password_is_an_error_not_an_open_door() -> None:
    with pytest.raises(ValueError, match="'monitoring'"):
        shop_definitions({**PASSWORDS, "monitoring": ""})


def test_definitions_hold_no_password_in_clear() -> None:
    assert not any(password in str(shop_definitions(PASSWORDS)) for password in PASSWORDS.values())
