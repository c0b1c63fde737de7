"""The replay helper: what it refuses to read, and which orders it makes of a story."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from contracts.order import OrderPlaced
from tests.replay.clients import Reader
from tests.support.replay import STORIES, Cues, FixtureError, Line, load_story, replay, tell, types_of

HAPPY = "happy_path.jsonl"


async def nothing(_: object) -> None:
    """An act for stories that are only told, not played."""


ORDER_CUES: Cues = {OrderPlaced: nothing}


def a_story(folder: Path, *lines: str) -> str:
    (folder / "story.jsonl").write_text("\n".join(lines))
    return "story.jsonl"


def an_event() -> str:
    lines = (STORIES / HAPPY).read_text().splitlines()
    return next(line for line in lines if line.startswith("{"))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ('{"specversion": "1.0"', "not JSON"),
        ("[]", "not a CloudEvents envelope"),
        (an_event().replace("product.listed.v1", "product.lifted.v1"), "unknown event type 'product.lifted.v1'"),
        (an_event().replace('"price"', '"prize"'), "price: Field required"),
        (an_event(), "the id is that of line 3"),
    ],
    ids=["not JSON", "no envelope", "unknown type", "missing field", "same id"],
)
def test_an_error_names_file_and_line(tmp_path: Path, bad: str, reason: str) -> None:
    name = a_story(tmp_path, "# a comment", "", an_event(), "", bad)
    with pytest.raises(FixtureError) as error:
        load_story(name, tmp_path)
    assert str(error.value).startswith(f"{tmp_path / name}:5: ")
    assert reason in str(error.value)


def test_a_story_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(FixtureError, match=r"no such story; there are: .*happy_path\.jsonl"):
        load_story("hapy_path.jsonl")


@pytest.mark.parametrize("name", [path.name for path in sorted(STORIES.glob("*.jsonl"))])
def test_the_stories_are_sound(name: str) -> None:
    """Time runs forwards, causes come first, each aggregate counts its events, one conversation per order."""
    seen: set[object] = set()
    versions: dict[tuple[str, str], int] = {}
    known = {line.envelope.id for line in load_story(name).lines}
    for line in load_story(name).lines:
        envelope, key = line.envelope, (line.service, line.envelope.subject)
        versions[key] = versions.get(key, 0) + 1
        assert envelope.aggregateversion == versions[key]
        assert envelope.subject == line.event.subject
        assert envelope.correlationid == (line.event.conversation or envelope.correlationid)
        assert envelope.causationid not in known - seen
        seen.add(envelope.id)


def told(service: str, cues: Cues, *, shuffled: int | None = None, duplicated: int = 1) -> list[Line]:
    return tell(load_story(HAPPY), service, cues, shuffled=shuffled, duplicated=duplicated)


def numbers(lines: Sequence[Line], *names: str) -> list[int]:
    return [n for n, line in enumerate(lines) if line.event.wire_name in names]


@pytest.mark.parametrize("seed", range(20))
def test_a_shuffled_story_is_whole_and_could_have_happened(seed: int) -> None:
    straight, shuffled = told("order", ORDER_CUES), told("order", ORDER_CUES, shuffled=seed)
    assert sorted(line.number for line in shuffled) == [line.number for line in straight]
    [placed], [reserved] = numbers(shuffled, "order.placed.v1"), numbers(shuffled, "stock.reserved.v1")
    [authorized], [confirmed] = numbers(shuffled, "payment.authorized.v1"), numbers(shuffled, "order.confirmed.v1")
    effects = numbers(shuffled, "payment.captured.v1", "stock.committed.v1")
    assert max(numbers(shuffled, "product.listed.v1")) < placed < reserved < authorized < confirmed < min(effects)


def test_seeds_make_different_stories_and_the_same_seed_the_same() -> None:
    stories = [tuple(line.number for line in told("catalog", {}, shuffled=seed)) for seed in (*range(20), 7)]
    assert len(set(stories)) > 10
    assert stories[-1] == stories[7]


@pytest.mark.parametrize("seed", [None, 3])
def test_each_line_of_the_others_comes_so_often(seed: int | None) -> None:
    lines = told("order", ORDER_CUES, shuffled=seed, duplicated=3)
    assert len(numbers(lines, "stock.reserved.v1")) == 3
    assert len(numbers(lines, "order.placed.v1")) == 1


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
async def test_a_line_that_is_not_said_is_named(reader: Reader) -> None:
    """Nobody places the order, so order_svc has nothing to say at its cue."""
    with pytest.raises(AssertionError, match=r"happy_path\.jsonl:\d+: order did not say order\.placed\.v1 about"):
        await replay(reader.service, HAPPY, patience=0.05)
    assert types_of(reader.service.outgoing()) == []
