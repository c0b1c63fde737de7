"""Ports for servers: different ones, free, and below those the kernel gives to outgoing connections."""

import socket
from collections.abc import Iterator

import pytest

from bench import ports
from bench.ports import free_ports
from ops.broker import PortTakenError


@pytest.fixture
def listening(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The only port there is; somebody listens on it."""
    first = free_ports(1)[0]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first))
        taken.listen()
        monkeypatch.setattr(ports, "BELOW_OUTGOING", range(first, first + 1))
        yield first


def test_ports_are_different_and_below_those_of_outgoing_connections() -> None:
    found = free_ports(40)
    assert len(set(found)) == 40
    assert all(port in ports.BELOW_OUTGOING for port in found)


def test_a_port_somebody_listens_on_is_not_given(listening: int) -> None:
    with pytest.raises(PortTakenError, match="no 1 ports"):
        free_ports(1)
