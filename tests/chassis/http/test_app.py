"""What every service's app has: problems for every failure, headers on every answer, health, documents, metrics."""

from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from chassis.seedwork import ErrorKind
from tests.chassis.http.test_bodies import JSON, a_body
from tests.support.tokens import TokenMint

THING = "0198f0c2-0000-7000-8000-000000000001"
STATUS = {
    ErrorKind.INVALID: 422,
    ErrorKind.NOT_FOUND: 404,
    ErrorKind.CONFLICT: 409,
    ErrorKind.FORBIDDEN: 403,
    ErrorKind.UNAUTHENTICATED: 401,
    ErrorKind.PRECONDITION_FAILED: 412,
    ErrorKind.TOO_MANY: 429,
    ErrorKind.UNAVAILABLE: 503,
}


@pytest.mark.parametrize("kind", ErrorKind)
async def test_a_refusal_of_the_domain_has_the_status_of_its_kind(client: httpx.AsyncClient, kind: ErrorKind) -> None:
    answer = await client.get(f"/things/refused/{kind.value}")
    assert answer.status_code == STATUS[kind]
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "/problems/price-changed"
    assert problem["detail"] == "The total is another now."
    assert ("retry-after" in answer.headers) == (kind is ErrorKind.UNAVAILABLE)


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [
        ("GET", "/nowhere", 404, "not-found"),
        ("GET", "/things/", 404, "not-found"),
        ("DELETE", "/things", 405, "method-not-allowed"),
        ("GET", "/things?limit=0", 422, "validation"),
        ("GET", "/things?limit=1000000", 422, "validation"),
        ("GET", f"/things?limit={2**70}", 422, "validation"),
        ("GET", f"/things?limit={'9' * 3000}", 422, "validation"),
        ("GET", "/things?limit=NaN", 422, "validation"),
        ("GET", "/things?limit=secret-canary", 422, "validation"),
        ("GET", "/things?limit=%00", 422, "validation"),
        ("GET", "/things?limit=%ff", 422, "validation"),
        ("GET", f"/things/{THING.upper()}", 404, "not-found"),
        ("GET", f"/things/{{{THING}}}", 404, "not-found"),
        ("GET", f"/things/urn:uuid:{THING}", 404, "not-found"),
        ("GET", f"/things/{2**70}", 404, "not-found"),
        ("GET", "/things/%00", 404, "not-found"),
        ("GET", "/things/..%2fadmin", 404, "not-found"),
        ("GET", "/things/stuck", 503, "storage-unavailable"),
        ("GET", "/things/broken", 500, "internal"),
        ("PATCH", "/things/cached", 428, "precondition-required"),
        ("GET", f"/things?q={'x' * 5000}", 414, "uri-too-long"),
    ],
)
async def test_every_failure_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, slug: str
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"/problems/{slug}"
    assert answer.json()["instance"] == f"urn:uuid:{answer.headers['x-request-id']}"
    assert "canary" not in answer.text


async def test_an_unknown_path_id_and_an_unknown_id_look_the_same(client: httpx.AsyncClient) -> None:
    unroutable, unparsable = await client.get("/nowhere"), await client.get("/things/not-an-id")
    for answer in (unroutable, unparsable):
        assert set(answer.json()) == {"type", "title", "status", "instance"}


async def test_405_lists_what_is_allowed(client: httpx.AsyncClient) -> None:
    assert "GET" in (await client.delete("/things/cached")).headers["allow"]


@pytest.mark.parametrize(
    "path", ["/healthz", "/things", "/nowhere", "/things/broken", "/things/me", "/docs", "/openapi.json", "/metrics"]
)
async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["content-security-policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


async def test_a_route_decides_its_own_caching(client: httpx.AsyncClient) -> None:
    first = await client.get("/things/cached")
    assert first.headers.get_list("cache-control") == ["public, max-age=30"]
    tag = first.headers["etag"]
    for given in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        again = await client.get("/things/cached", headers={"If-None-Match": given})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert (await client.get("/things/cached", headers={"If-None-Match": '"other"'})).status_code == 200


async def test_a_change_needs_the_version_it_is_based_on(client: httpx.AsyncClient) -> None:
    tag = (await client.get("/things/cached")).headers["etag"]
    assert (await client.patch("/things/cached", headers={"If-Match": tag})).status_code == 200
    assert (await client.patch("/things/cached", headers={"If-Match": '"old"'})).status_code == 412
    assert (await client.patch("/things/cached", headers={"If-Match": f"W/{tag}"})).status_code == 412


async def test_a_client_may_name_the_request_with_a_uuid_only(client: httpx.AsyncClient) -> None:
    named = await client.get("/nowhere", headers={"X-Request-Id": THING})
    assert named.headers["x-request-id"] == THING
    for bad in ("1", THING.upper(), "x" * 5000, "a\tb"):
        answer = await client.get("/nowhere", headers={"X-Request-Id": bad})
        assert UUID(answer.headers["x-request-id"]).version == 7


async def test_headers_have_a_limit(client: httpx.AsyncClient) -> None:
    large = await client.get("/things", headers={"X-Large": "x" * 17_000})
    many = await client.get("/things", headers={f"X-{n}": "x" for n in range(70)})
    assert [large.status_code, many.status_code] == [431, 431]


async def test_head_is_get_without_the_body(client: httpx.AsyncClient) -> None:
    answer = await client.head("/things/cached")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["etag"] == (await client.get("/things/cached")).headers["etag"]


async def test_ready_when_everything_works_and_not_while_stopping(app: FastAPI, client: httpx.AsyncClient) -> None:
    assert (await client.get("/readyz")).json() == {"status": "ready", "failing": {}}
    app.state.stopping.set()
    stopping = await client.get("/readyz")
    assert stopping.status_code == 503
    assert stopping.json()["failing"] == {"runtime": "stopping"}
    assert (await client.get("/healthz")).status_code == 200


async def test_a_service_without_its_broker_is_ready_for_requests_until_it_stops(
    app: FastAPI, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app.state.runtime, "readiness", lambda: {"broker": "not connected"})
    assert (await client.get("/readyz")).status_code == 503
    answer = await client.get("/readyz?for=requests")
    assert (answer.status_code, answer.json()) == (200, {"status": "ready", "failing": {}})
    app.state.stopping.set()
    assert (await client.get("/readyz?for=requests")).json()["failing"] == {"runtime": "stopping"}


async def test_metrics_count_by_route_template(client: httpx.AsyncClient) -> None:
    await client.get(f"/things/{THING}")
    await client.get("/things/random-path")
    await client.get("/random-path")
    text = (await client.get("/metrics")).text
    assert 'http_request_duration_seconds_count{method="GET",route="/things/{thing_id}",status="200"} 1.0' in text
    assert 'http_request_duration_seconds_count{method="GET",route="(none)",status="404"} 1.0' in text
    assert "random-path" not in text
    assert "outbox_pending 0.0" in text
    assert "broker_connected 1.0" in text


async def test_the_document_declares_bodies_roles_and_problems(client: httpx.AsyncClient) -> None:
    document = (await client.get("/things/openapi.json")).json()
    operation = document["paths"]["/things"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Place"}
    assert operation["security"] == [{"bearer": []}]
    assert operation["x-role"] == "customer"
    assert document["components"]["schemas"]["Line"]["properties"]["quantity"]["maximum"] == 999
    assert "422" not in document["paths"]["/things"]["get"]["responses"]
    assert "/healthz" not in document["paths"]


async def test_the_docs_page_loads_nothing(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/things/docs"):
        answer = await client.get(path)
        assert answer.headers["content-type"].startswith("text/html")
        assert "/things/{thing_id}" in answer.text
        assert "<script" not in answer.text
        assert "src=" not in answer.text


async def test_an_idempotency_key_makes_a_repetition_harmless(client: httpx.AsyncClient, mint: TokenMint) -> None:
    headers = mint.headers(UUID(THING)) | JSON | {"Idempotency-Key": "k-1"}
    first = await client.post("/things/once", content=a_body(), headers=headers)
    again = await client.post("/things/once", content=a_body(), headers=headers)
    other_body = await client.post("/things/once", content=a_body(note="x"), headers=headers)
    other_user = await client.post("/things/once", content=a_body(), headers=headers | mint.headers())
    assert (first.status_code, first.headers.get("idempotent-replayed")) == (201, None)
    assert (again.status_code, again.content, again.headers["idempotent-replayed"]) == (201, first.content, "true")
    assert (other_body.status_code, other_body.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert other_user.status_code == 201
    assert other_user.content != first.content


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "a\tb", "ü"])
async def test_a_bad_idempotency_key_is_told(client: httpx.AsyncClient, mint: TokenMint, key: str) -> None:
    headers = httpx.Headers({**mint.headers(), **JSON, "Idempotency-Key": key}, encoding="utf-8")
    answer = await client.post("/things/once", content=a_body(), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/idempotency-key-invalid")


async def test_an_idempotency_key_is_required_once(client: httpx.AsyncClient, mint: TokenMint) -> None:
    base = [*(mint.headers() | JSON).items()]
    missing = await client.post("/things/once", content=a_body(), headers=base)
    twice = await client.post(
        "/things/once", content=a_body(), headers=[*base, ("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    )
    assert (missing.status_code, missing.json()["type"]) == (400, "/problems/idempotency-key-required")
    assert (twice.status_code, twice.json()["type"]) == (400, "/problems/idempotency-key-invalid")
