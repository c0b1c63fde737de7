"""What operators' verbs leave in a service's store, on both databases."""

import sqlalchemy as sa
from structlog.testing import capture_logs

from chassis.discards import discarded_events
from order_svc.store import RUNTIME
from tests.operators.conftest import Desk, a_listing


async def test_a_discarded_letter_is_gone_and_remembered(desk: Desk) -> None:
    envelope = a_listing(desk)
    id, junk = desk.bury_event(envelope), desk.bury(b"pasted", message_id="")
    [junk_id] = [letter["id"] for letter in await desk.letters() if letter["id"] != id]
    with capture_logs() as logs:
        settled = await desk.settle("discard", ids=[id, junk_id], reason="it was a test")
    assert settled == {id: "discarded", junk_id: "discarded"}
    assert desk.waiting() == []
    reader = desk.service.runtime.reader
    rows = {row["id"]: row for row in await reader.all(sa.select(RUNTIME.discards))}
    assert (rows[id]["event_id"], rows[id]["type"], rows[id]["reason"]) == (envelope.id, envelope.type, "it was a test")
    assert (rows[junk_id]["event_id"], rows[junk_id]["type"]) == (None, "unknown")
    assert await discarded_events(reader, RUNTIME.discards) == {envelope.type: [envelope.id]}
    lines = [line for line in logs if line["event"] == "dead_letters.discarded"]
    assert [line["letter"] for line in lines] == [id, junk_id]
    assert "pasted" not in str(logs)
    assert junk == ""


async def test_an_event_that_killed_the_process_gets_new_attempts(desk: Desk) -> None:
    envelope = a_listing(desk)
    runtime, attempts = desk.service.runtime, RUNTIME.attempts
    for _ in range(3):
        await runtime.consumer._count_attempt(envelope)
    await desk.settle("redrive", ids=[desk.bury_event(envelope)])
    assert await runtime.reader.all(sa.select(attempts)) == []
