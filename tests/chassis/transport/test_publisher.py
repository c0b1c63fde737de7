"""How the publisher keeps a slow moment from becoming a standstill. Its dealings with a broker: `test_amqp_faults`."""

from collections.abc import Sequence

import pytest

from chassis.clock import SystemClock
from chassis.topology import shop_topology
from chassis.transport.amqp.publisher import TIMED_OUT, WINDOW, Publisher, Suspects
from chassis.transport.base import Outcome, OutgoingMessage, PublishResult
from tests.support.messages import a_message

CLOSED = PublishResult(Outcome.UNKNOWN, "the connection was closed")
ACK = PublishResult(Outcome.ACK)


def test_who_went_down_with_the_connection_is_suspected_until_it_got_through() -> None:
    suspects, message = Suspects(), a_message()
    suspects.learn([message], [CLOSED])
    suspects.learn([message], [CLOSED])
    assert suspects.failures(message.message_id) == 2
    suspects.learn([message], [ACK])
    assert message.message_id not in suspects


def test_nobody_is_suspected_for_a_timeout_and_nobody_cleared() -> None:
    suspects, slow, bad = Suspects(), a_message(), a_message()
    suspects.learn([bad], [CLOSED])
    suspects.learn([slow, bad], [TIMED_OUT, TIMED_OUT])
    assert slow.message_id not in suspects
    assert suspects.failures(bad.message_id) == 1


async def test_a_long_backlog_is_published_in_windows_that_can_be_answered_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publisher = Publisher("amqp://nobody/", shop_topology(), name="test", user=None, clock=SystemClock())
    windows: list[int] = []

    async def answered(messages: Sequence[OutgoingMessage]) -> list[PublishResult]:
        windows.append(len(messages))
        return [ACK] * len(messages)

    monkeypatch.setattr(publisher, "_publish_window", answered)
    results = await publisher.publish([a_message() for _ in range(2 * WINDOW + 50)])
    assert results == [ACK] * (2 * WINDOW + 50)
    assert windows == [WINDOW, WINDOW, 50]
