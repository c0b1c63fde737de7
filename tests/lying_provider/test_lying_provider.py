"""The trial as `make payments` runs it, at its smallest."""

from pathlib import Path

import pytest

from tests.fixtures.broker import RabbitVhost
from tests.lying_provider.trial import Plan, a_trial

pytestmark = [pytest.mark.e2e, pytest.mark.rabbit, pytest.mark.timeout(240)]


async def test_the_books_agree_to_the_unit_after_lies_and_kills(rabbit_vhost: RabbitVhost, tmp_path: Path) -> None:
    plan = Plan(orders=12, most_kills=1)

    async with a_trial(plan, tmp_path, rabbit_vhost.url()) as trial:
        report = await trial.run()

    assert report.breaches == []
    assert report.kills == 1
    assert report.most_captures_of_an_order == 1
    assert report.captured > 0
