"""Taking the lead in PostgreSQL when the answer is lost: the lock must not stay with a session nobody uses."""

from typing import Any, Self, cast

import sqlalchemy as sa

from chassis.db import Store
from chassis.leadership import AdvisoryLeadership


class LosesAnswers:
    """A store, its engine and its only connection, on which every statement's answer is lost."""

    def __init__(self) -> None:
        self.engine = self
        self.ended: list[str] = []

    def execution_options(self, **_: Any) -> Self:
        return self

    async def connect(self) -> Self:
        return self

    async def execute(self, statement: sa.Executable) -> None:
        raise sa.exc.OperationalError(str(statement), None, OSError("connection lost"))

    async def invalidate(self) -> None:
        self.ended.append("invalidated")

    async def close(self) -> None:
        self.ended.append("closed")


async def test_a_session_that_may_hold_the_lock_is_ended() -> None:
    store = LosesAnswers()
    assert not await AdvisoryLeadership(cast("Store", store), "order.relay").hold()
    assert store.ended == ["invalidated", "closed"]
