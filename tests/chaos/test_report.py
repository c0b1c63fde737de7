"""The plan repeats itself, the sums are right, and the page needs nothing but itself."""

from html.parser import HTMLParser

import pytest

from tests.chaos.page import page
from tests.chaos.plan import MODES, Config, make_plan
from tests.chaos.record import Ask, Backlog, Inflicted, Offer, Record
from tests.chaos.summary import Machine, percentiles, recovered_after, summarise
from tests.chaos.verdict import Verdict


@pytest.mark.parametrize("mode", MODES)
def test_the_same_seed_makes_the_same_plan(mode: str) -> None:
    plan = make_plan(Config(mode, seed=7))
    assert plan == make_plan(Config(mode, seed=7))
    assert all(fault.at >= Config(mode).steady for fault in plan.faults)
    assert plan.phases[-1].end == plan.seconds


def test_kills_come_as_often_as_they_should_and_reach_everybody() -> None:
    faults = make_plan(Config("kills", minutes=5, kill_every=2)).faults
    assert len(faults) == 150
    assert {fault.target for fault in faults} == {"auth", "catalog", "order", "payment"}


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentiles(n / 1000 for n in range(1, 101)) == {
        "count": 100,
        "p50": 50.0,
        "p95": 95.0,
        "p99": 99.0,
        "max": 100.0,
    }
    assert percentiles([]) == {"count": 0}


def test_a_backlog_is_gone_when_it_stays_gone() -> None:
    waiting = [500, 400, 10, 300, 8, 7, 9, 6]
    samples = [Backlog(float(at), {"order": pending}, {"order": 0}) for at, pending in enumerate(waiting)]
    assert recovered_after(1.0, samples, 20) == 3.0
    assert recovered_after(1.0, samples, 5) is None


def test_a_service_that_cannot_be_asked_may_have_a_backlog() -> None:
    assert Backlog(0.0, {"order": None, "auth": 0}, {"order": 0}).total is None


def _document() -> dict[str, object]:
    config, record = Config("broker", steady=2, fault_seconds=2, recovery_seconds=2), Record()
    record.offers = [Offer(at / 10, accepted=at / 10 + 0.01, attempts=1, paid=at / 10 + 1) for at in range(100)]
    record.asks = [Ask(at / 10, "order", "place", 0.01, "ok", 1, 201) for at in range(100)]
    record.backlog = [
        Backlog(float(at), dict.fromkeys(("auth", "catalog", "order", "payment"), at), None) for at in range(10)
    ]
    record.faults = [
        Inflicted("broker <killed>", "broker killed", 2.0, 4.0, "slow & late"),
        Inflicted("kill order", "kill", 5.0),
    ]
    verdict = Verdict(lost=["order <b>1</b> is not there"])
    return summarise(config, Machine("2026-11-26T04:00", "abc", 2, "3.11", 0.5), make_plan(config), record, [], verdict)


class _Reader(HTMLParser):
    """Notes what a page asks the outside for, and whether its tags are closed."""

    VOID = frozenset({"meta", "rect", "line", "path", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.outside += [f"{tag} {name}" for name, _ in attrs if name in {"src", "href", "srcset"}]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_needs_nothing_from_outside_and_shows_what_is_wrong() -> None:
    html, reader = page(_document()), _Reader()
    reader.feed(html)
    assert reader.open == []
    assert reader.outside == []
    assert "url(" not in html
    assert "@import" not in html
    assert "order <b>1</b> is not there" in reader.texts
    assert "slow & late" in reader.texts
    assert "Broken" in reader.texts
