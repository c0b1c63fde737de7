"""Every refusal and failure as RFC 9457 `application/problem+json`: stable slugs, no stack, SQL or rejected value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from chassis.context import current_context
from chassis.seedwork import DomainError, ErrorKind
from chassis.sessions import is_store_trouble

log = structlog.get_logger("http")

MEDIA_TYPE: Final = "application/problem+json"
MAX_LISTED_ERRORS: Final = 20
RETRY_AFTER_SECONDS: Final = 1


@dataclass(frozen=True, slots=True)
class ProblemType:
    """One kind of problem a client may meet; `description` says what to do about it."""

    slug: str
    status: int
    title: str
    description: str = ""

    @property
    def uri(self) -> str:
        return f"/problems/{self.slug}"


CHASSIS_PROBLEMS: Final[Mapping[str, ProblemType]] = MappingProxyType(
    {
        problem.slug: problem
        for problem in (
            ProblemType(
                "malformed-json", 400, "Malformed JSON", "The body is not strict UTF-8 JSON of depth 16 or less."
            ),
            ProblemType("bad-cursor", 400, "Bad cursor", "Take `cursor` unchanged from `next_cursor`."),
            ProblemType("bad-request", 400, "Bad request", "The request is not valid HTTP for this route."),
            ProblemType("idempotency-key-required", 400, "Idempotency-Key required", "Send a new key per intent."),
            ProblemType(
                "idempotency-key-invalid", 400, "Idempotency-Key invalid", "1 to 255 printable ASCII characters."
            ),
            ProblemType("unauthenticated", 401, "Not authenticated", "Log in, or refresh the access token."),
            ProblemType("forbidden", 403, "Forbidden", "This needs another role."),
            ProblemType("not-found", 404, "Not found", "There is no such thing, or it is not yours."),
            ProblemType("method-not-allowed", 405, "Method not allowed", "`Allow` lists the methods of this path."),
            ProblemType("idempotency-in-progress", 409, "Still in progress", "Repeat after `Retry-After` seconds."),
            ProblemType("illegal-transition", 409, "Not possible in this state", "Read the current state first."),
            ProblemType("precondition-failed", 412, "Precondition failed", "`If-Match` names an older version."),
            ProblemType("too-large", 413, "Body too large", "A body may have 64 KiB."),
            ProblemType("uri-too-long", 414, "URI too long", "Path and query may have 4 KiB."),
            ProblemType("unsupported-media-type", 415, "Unsupported media type", "Send plain `application/json`."),
            ProblemType("validation", 422, "Validation failed", "`errors` points at each field that is wrong."),
            ProblemType(
                "idempotency-key-reused", 422, "Idempotency-Key reused", "The key came with another body before."
            ),
            ProblemType(
                "precondition-required", 428, "Precondition required", "Send `If-Match` with the ETag you read."
            ),
            ProblemType("too-many-requests", 429, "Too many requests", "Repeat after `Retry-After` seconds."),
            ProblemType("headers-too-large", 431, "Headers too large", "Request headers may have 16 KiB."),
            ProblemType("internal", 500, "Internal error", "Our fault; `instance` identifies the request in our logs."),
            ProblemType(
                "overloaded", 503, "Overloaded", "More changes wait than can be taken on; repeat a little later."
            ),
            ProblemType("concurrent-change", 503, "Changed meanwhile", "Another process changed it; repeat."),
            ProblemType("busy", 503, "Busy", "More work than can be queued; repeat after `Retry-After` seconds."),
            ProblemType(
                "broker-unavailable", 503, "Broker unavailable", "Nothing was changed; repeat when RabbitMQ is back."
            ),
            ProblemType(
                "storage-unavailable", 503, "Storage unavailable", "Nothing was changed unless a retry says so."
            ),
        )
    }
)

STATUS_OF_KIND: Final[Mapping[ErrorKind, int]] = MappingProxyType(
    {
        ErrorKind.INVALID: 422,
        ErrorKind.NOT_FOUND: 404,
        ErrorKind.CONFLICT: 409,
        ErrorKind.FORBIDDEN: 403,
        ErrorKind.UNAUTHENTICATED: 401,
        ErrorKind.PRECONDITION_FAILED: 412,
        ErrorKind.TOO_MANY: 429,
        ErrorKind.UNAVAILABLE: 503,
    }
)

_SLUG_OF_STATUS: Final[Mapping[int, str]] = MappingProxyType(
    {problem.status: problem.slug for problem in reversed(list(CHASSIS_PROBLEMS.values()))} | {400: "bad-request"}
)

# Where pydantic's own message would repeat a piece of the input.
_MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "uuid_parsing": "Input should be a valid UUID",
        "union_tag_invalid": "Input has an unknown tag",
        "datetime_parsing": "Input should be a valid RFC 3339 time",
        "datetime_from_date_parsing": "Input should be a valid RFC 3339 time",
        "date_parsing": "Input should be a valid date",
        "url_parsing": "Input should be a valid URL",
    }
)


class ProblemError(Exception):
    """An HTTP door's own refusal (wrong media type, missing header …); rules of the business raise DomainError."""

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(slug)
        self.status = status
        self.slug = slug
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_response(
    status: int,
    slug: str,
    title: str = "",
    detail: str = "",
    *,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    request_id: UUID | str | None = None,
) -> Response:
    """The problem document. `title` defaults to the registered one, `request_id` to the current request's."""
    known = CHASSIS_PROBLEMS.get(slug)
    document: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": title or (known.title if known else slug.replace("-", " ").capitalize()),
        "status": status,
    }
    if detail:
        document["detail"] = detail
    if request_id is None and (context := current_context()) is not None:
        request_id = context.causation_id
    if request_id is not None:
        document["instance"] = f"urn:uuid:{request_id}"
    if errors:
        document["errors"] = list(errors)
    return Response(orjson.dumps(document), status, headers, media_type=MEDIA_TYPE)


def validation_errors(errors: Sequence[Mapping[str, Any]], prefix: Sequence[str] = ()) -> list[dict[str, str]]:
    """Pydantic's errors as `{pointer, code, message}`: a JSON pointer (RFC 6901), never the value."""
    return [
        {
            "pointer": "".join(f"/{_escape(str(part))}" for part in (*prefix, *error["loc"])),
            "code": str(error["type"]),
            "message": _MESSAGES.get(error["type"], str(error["msg"]).removeprefix("Value error, ")),
        }
        for error in errors[:MAX_LISTED_ERRORS]
    ]


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error this app can raise as a problem."""
    app.exception_handler(ProblemError)(_on_problem)
    app.exception_handler(DomainError)(_on_domain_error)
    app.exception_handler(RequestValidationError)(_on_request_validation)
    app.exception_handler(HTTPException)(_on_http_exception)
    app.exception_handler(DBAPIError)(_on_database_error)
    for error in (PoolTimeoutError, ConnectionError, TimeoutError):
        app.exception_handler(error)(_on_storage_trouble)


def internal_error(request_id: UUID | str | None = None) -> Response:
    """What a client sees of an exception nobody expected; the log has the rest."""
    return problem_response(500, "internal", request_id=request_id)


async def _on_problem(request: Request, error: ProblemError) -> Response:
    return problem_response(error.status, error.slug, detail=error.detail, errors=error.errors, headers=error.headers)


async def _on_domain_error(request: Request, error: DomainError) -> Response:
    status = STATUS_OF_KIND[error.kind]
    headers: dict[str, str] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    elif status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return problem_response(status, error.code, detail=error.detail, headers=headers)


async def _on_request_validation(request: Request, error: RequestValidationError) -> Response:
    """Parameters; bodies are checked by chassis.body. A path that cannot name a thing names nothing: 404."""
    errors = error.errors()
    if any(item["loc"][0] == "path" for item in errors):
        return problem_response(404, "not-found")
    return problem_response(422, "validation", errors=validation_errors(errors))


async def _on_http_exception(request: Request, error: HTTPException) -> Response:
    slug = _SLUG_OF_STATUS.get(error.status_code, "bad-request" if error.status_code < 500 else "internal")
    return problem_response(error.status_code, slug, headers=error.headers)


async def _on_database_error(request: Request, error: DBAPIError) -> Response:
    if not is_store_trouble(error):
        log.error("http.unexpected_error", error=type(error).__name__, exc_info=error)
        return internal_error()
    return await _on_storage_trouble(request, error)


async def _on_storage_trouble(request: Request, error: Exception) -> Response:
    cause = error.orig if isinstance(error, DBAPIError) else error
    log.error("http.storage_unavailable", error=type(cause).__name__, reason=str(cause)[:200])
    return problem_response(503, "storage-unavailable", headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def _escape(part: str) -> str:
    return part[:64].replace("~", "~0").replace("/", "~1")
