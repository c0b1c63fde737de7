"""What operators can do at every service over HTTP: settle dead letters, let parked events go, send events again."""

from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.routing import APIRoute
from pydantic import AwareDatetime, Field, model_validator
from starlette.routing import Match
from starlette.types import Scope

from chassis.auth import Operator
from chassis.body import json_body
from chassis.dead_letters import MAX_HELD, LetterPage, Selection, Settlement
from chassis.discards import MAX_LETTER_ID, MAX_REASON, MAX_TYPE
from chassis.fields import Body, CanonicalUuid, Text
from chassis.letters import EVERY_LETTER, LetterFilter, OpenedLetter
from chassis.operations import Operations, operations_of
from chassis.parked import ParkedPage, UnparkedPage
from chassis.resend import ResentPage
from chassis.runtime import Runtime

MAX_PAGE = 100


def operator_routes(prefix: str) -> APIRouter:
    """The routes under a service's prefix: `/orders/dead-letters` and so on."""
    router = APIRouter(prefix=prefix, tags=["operations"], route_class=RareRoute)
    router.get("/operations")(read_operations)
    router.get("/dead-letters")(list_dead_letters)
    router.get("/dead-letters/{letter_id}")(get_dead_letter)
    router.post("/dead-letters/redrive")(redrive_dead_letters)
    router.post("/dead-letters/discard")(discard_dead_letters)
    router.get("/outbox/parked")(list_parked_events)
    router.post("/outbox/unpark")(unpark_events)
    router.post("/outbox/resend")(resend_events)
    return router


class RareRoute(APIRoute):
    """A route that comes before those of every order and is asked for once a week: it steps aside at one look."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        path = scope["path"]
        if "/dead-letters" not in path and "/outbox/" not in path and "/operations" not in path:
            return Match.NONE, {}
        return super().matches(scope)


async def _runtime(request: Request) -> Runtime[Any]:
    runtime: Runtime[Any] = request.app.state.runtime
    return runtime


ServiceRuntime = Annotated[Runtime[Any], Depends(_runtime)]
TypeName = Annotated[str, Text(MAX_TYPE)]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE)]


class FilterBody(Body):
    """Which letters: those that match everything given, all of them if nothing is."""

    type: TypeName | None = None
    error_type: TypeName | None = None
    older_than: AwareDatetime | None = None
    newer_than: AwareDatetime | None = None


class RedriveBody(Body):
    """Either `ids` or `filter`; with a filter at most `limit` letters. `dry_run` only tells what would be done."""

    ids: Annotated[list[Annotated[str, Text(MAX_LETTER_ID)]], Field(min_length=1, max_length=MAX_PAGE)] | None = None
    filter: FilterBody | None = None
    limit: Annotated[int, Field(ge=1, le=MAX_HELD)] = MAX_HELD
    dry_run: bool = False

    @model_validator(mode="after")
    def _names_what(self) -> Self:
        if (self.ids is None) == (self.filter is None):
            raise ValueError("give either ids or filter")
        return self

    def selection(self) -> Selection:
        wanted = LetterFilter(**self.filter.model_dump()) if self.filter else EVERY_LETTER
        return Selection(tuple(self.ids or ()), wanted, self.limit)


class DiscardBody(RedriveBody):
    """As for redriving; `reason` is kept beside the letters' ids."""

    reason: Annotated[str, Text(MAX_REASON)]


class UnparkBody(Body):
    """Either `ids`, of events, or `all`."""

    ids: Annotated[list[CanonicalUuid], Field(min_length=1, max_length=MAX_PAGE)] | None = None
    all: bool = False

    @model_validator(mode="after")
    def _names_what(self) -> Self:
        if (self.ids is None) != self.all:
            raise ValueError("give either ids or all")
        return self


class ResendBody(Body):
    """Events by id."""

    ids: Annotated[list[CanonicalUuid], Field(min_length=1, max_length=MAX_PAGE)]


async def read_operations(principal: Operator, request: Request) -> Operations:
    """How this service is, what waits in its outbox and in its queues."""
    return await operations_of(request.app)


async def list_dead_letters(
    principal: Operator,
    runtime: ServiceRuntime,
    type: Annotated[TypeName | None, Query()] = None,
    error_type: Annotated[TypeName | None, Query()] = None,
    older_than: AwareDatetime | None = None,
    newer_than: AwareDatetime | None = None,
    limit: Limit = 20,
) -> LetterPage:
    """What this service could not handle, oldest first. Looking changes nothing."""
    return await runtime.dead_letters.page(LetterFilter(type, error_type, older_than, newer_than), limit)


async def get_dead_letter(
    letter_id: Annotated[str, Path(max_length=MAX_LETTER_ID)], principal: Operator, runtime: ServiceRuntime
) -> OpenedLetter:
    """One dead letter with its body."""
    return await runtime.dead_letters.show(letter_id)


async def redrive_dead_letters(
    principal: Operator, runtime: ServiceRuntime, body: Annotated[RedriveBody, json_body(RedriveBody)]
) -> Settlement:
    """Try again what could not be handled, once the cause is mended. Repeating it is harmless."""
    return await runtime.dead_letters.redrive(body.selection(), principal.user_id, dry_run=body.dry_run)


async def discard_dead_letters(
    principal: Operator, runtime: ServiceRuntime, body: Annotated[DiscardBody, json_body(DiscardBody)]
) -> Settlement:
    """Throw dead letters away for good. Their ids, your id and the reason are kept."""
    office = runtime.dead_letters
    return await office.discard(body.selection(), principal.user_id, body.reason, dry_run=body.dry_run)


async def list_parked_events(principal: Operator, runtime: ServiceRuntime, limit: Limit = 20) -> ParkedPage:
    """Events of this service that the broker kept refusing, oldest first."""
    return await runtime.parked.page(limit)


async def unpark_events(
    principal: Operator, runtime: ServiceRuntime, body: Annotated[UnparkBody, json_body(UnparkBody)]
) -> UnparkedPage:
    """Let parked events go out again, once the cause is mended. Repeating it changes nothing."""
    ids: list[UUID] | None = None if body.all else body.ids
    return await runtime.parked.unpark(ids, principal.user_id)


async def resend_events(
    principal: Operator, runtime: ServiceRuntime, body: Annotated[ResendBody, json_body(ResendBody)]
) -> ResentPage:
    """Send events again that a reader never got, once the cause is mended. Who had them drops them by their ids."""
    return await runtime.sent.resend(body.ids, principal.user_id)
