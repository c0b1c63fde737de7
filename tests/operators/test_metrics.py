"""What a service's metrics say of its dead queue, and that counters are there before they count."""

import math
from datetime import timedelta

import pytest

from chassis import telemetry
from chassis.observer import Observer
from chassis.sweeps import Sweep, Sweeper
from chassis.telemetry import Metrics
from chassis.topology import RETRY_TIERS
from tests.operators.conftest import Desk


async def read(desk: Desk, metrics: Metrics, name: str) -> float:
    text = (await metrics.exposition(desk.service.runtime)).decode()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.rpartition(" ")[2])


async def test_the_dead_queue_is_counted_as_the_broker_has_it_and_unknown_without_one(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "DEAD_KEPT_SECONDS", 0.0)
    metrics = Metrics()
    assert await read(desk, metrics, "dead_letters_waiting") == 0
    desk.bury(b"not an event")
    desk.bury(b"nor this")
    assert await read(desk, metrics, "dead_letters_waiting") == 2
    desk.service.broker.disconnect()
    assert math.isnan(await read(desk, metrics, "dead_letters_waiting")), "nobody knows, which is not none"


async def test_the_broker_is_not_asked_at_every_scrape(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    metrics = Metrics()
    assert await read(desk, metrics, "dead_letters_waiting") == 0
    desk.bury(b"not an event")
    assert await read(desk, metrics, "dead_letters_waiting") == 0
    monkeypatch.setattr(telemetry, "DEAD_KEPT_SECONDS", 0.0)
    assert await read(desk, metrics, "dead_letters_waiting") == 1


async def test_counters_that_alerts_read_begin_at_zero(desk: Desk) -> None:
    text = (await Metrics().exposition(desk.service.runtime)).decode()
    for tier in RETRY_TIERS:
        assert f'events_retried_total{{tier="{tier.exchange}"}} 0.0' in text


async def test_a_sweep_is_told_before_it_finds_anything(desk: Desk) -> None:
    told: list[tuple[str, int]] = []

    class Listening(Observer):
        def swept(self, sweep: str, found: int) -> None:
            told.append((sweep, found))

    async def nothing() -> int:
        return 0

    Sweeper(Listening(), desk.service.runtime.failpoints).add(Sweep("provider_discrepancies", timedelta(1), nothing))
    assert told == [("provider_discrepancies", 0)]
