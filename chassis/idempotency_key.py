"""The HTTP side of idempotency: from the `Idempotency-Key` header to the writer's request, and back to an answer."""

import hashlib
import re
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Request
from starlette.responses import Response

from chassis.auth import AnyUser
from chassis.body import raw_json
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.problems import ProblemError

REPLAYED_HEADER: Final = "Idempotent-Replayed"

_KEY = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def idempotent(route: str) -> Any:
    """The dependency that reads the key: `request: Annotated[IdempotentRequest, idempotent("POST /orders")]`.

    The fingerprint covers the path as sent and the body's bytes. Put it after the principal and before the body, so
    that a missing key is told before a wrong body.

    Raises (as problems): 400 idempotency-key-required, 400 idempotency-key-invalid; and those of authentication.
    """

    async def dependency(
        request: Request, principal: AnyUser, idempotency_key: Annotated[str | None, Header()] = None
    ) -> IdempotentRequest:
        key = parse_key(request.headers.getlist("idempotency-key"))
        fingerprint = hashlib.sha256(request.scope["path"].encode() + b"\n" + await raw_json(request)).hexdigest()
        return IdempotentRequest(principal.user_id, route, key, fingerprint)

    return Depends(dependency)


def parse_key(values: list[str]) -> str:
    """The key, bare or as the draft's quoted string.

    Raises:
        ProblemError: it is missing, sent twice, or not 1 to 255 printable ASCII characters.
    """
    if not values:
        raise ProblemError(400, "idempotency-key-required", "Send an Idempotency-Key header: a new UUID per intent.")
    key = values[0].strip()
    if len(key) > 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key):
        raise ProblemError(400, "idempotency-key-invalid", "The key has 1 to 255 printable ASCII characters.")
    return key


def stored_answer(stored: StoredResponse) -> Response:
    """The answer of the first request, the same to the last byte; marked if it is a repetition."""
    headers = dict(stored.headers)
    if stored.replayed:
        headers[REPLAYED_HEADER] = "true"
    return Response(stored.body, stored.status, headers, media_type="application/json")
