"""Access tokens: the good one passes, and no bent one does."""

import base64
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chassis.auth import InvalidTokenError, TokenVerifier, VerificationKey
from contracts.claims import OPERATOR
from tests.support.tokens import MutableClock, TokenMint

NOW = 1_800_000_000


@pytest.fixture
def clock() -> MutableClock:
    return MutableClock(datetime.fromtimestamp(NOW, UTC))


@pytest.fixture
def verifier(clock: MutableClock, mint: TokenMint) -> TokenVerifier:
    verifier = TokenVerifier(clock)
    verifier.add_key(mint.verification_key)
    return verifier


def bent(mint: TokenMint, **changes: Any) -> str:
    claims = {**mint.claims(now=NOW), **changes}
    return mint.sign({name: value for name, value in claims.items() if value is not None})


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def handmade(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    return f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}.{b64(signature)}"


def flipped(token: str) -> str:
    head, payload, signature = token.split(".")
    return f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


BENT_CLAIMS: dict[str, dict[str, Any]] = {
    "expired": {"iat": NOW - 700, "exp": NOW - 60},
    "issued in the future": {"iat": NOW + 60, "exp": NOW + 120},
    "not yet valid": {"nbf": NOW + 60},
    "ten years": {"exp": NOW + 10 * 365 * 86400},
    "1e20": {"exp": 1e20},
    "exp as string": {"exp": str(NOW + 600)},
    "exp as float": {"exp": float(NOW + 600)},
    "exp as bool": {"exp": True},
    "iat as string": {"iat": str(NOW)},
    "exp before iat": {"iat": NOW + 10, "exp": NOW + 5},
    "no exp": {"exp": None},
    "no iat": {"iat": None},
    "no jti": {"jti": None},
    "no sid": {"sid": None},
    "no roles": {"roles": None},
    "other audience": {"aud": "another-api"},
    "other issuer": {"iss": "somebody"},
    "sub is no UUID": {"sub": "admin"},
    "sub in upper case": {"sub": "0198F0C2-0000-7000-8000-000000000001"},
    "sub is a number": {"sub": 1},
    "roles is a string": {"roles": "operator"},
    "role is a number": {"roles": [1]},
}
BENT_HEADERS: dict[str, dict[str, Any]] = {
    "refresh typ": {"typ": "rt+jwt"},
    "plain typ": {"typ": "JWT"},
    "no typ": {"typ": None},
    "unknown kid": {"kid": "other"},
    "no kid": {"kid": None},
    "long kid": {"kid": "k" * 65},
    "crit": {"crit": ["exp"]},
}


@pytest.mark.parametrize("changes", BENT_CLAIMS.values(), ids=BENT_CLAIMS.keys())
def test_a_token_with_bent_claims_is_refused(verifier: TokenVerifier, mint: TokenMint, changes: dict[str, Any]) -> None:
    token = bent(mint, **changes)
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


@pytest.mark.parametrize("changes", BENT_HEADERS.values(), ids=BENT_HEADERS.keys())
def test_a_token_with_a_bent_header_is_refused(
    verifier: TokenVerifier, mint: TokenMint, changes: dict[str, Any]
) -> None:
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": mint.kid, **changes}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(mint.claims(now=NOW)).encode())}"
    token = f"{signed}.{b64(mint.private_key.sign(signed.encode()))}"
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_a_handmade_token_with_the_right_header_passes(verifier: TokenVerifier, mint: TokenMint) -> None:
    """So that the table above fails for what it says it does."""
    header = {"alg": "EdDSA", "typ": "at+jwt", "kid": mint.kid}
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(mint.claims(now=NOW)).encode())}"
    verifier.verify(f"{signed}.{b64(mint.private_key.sign(signed.encode()))}")


def test_forgeries_are_refused(verifier: TokenVerifier, mint: TokenMint) -> None:
    good = mint.sign(mint.claims(now=NOW))
    claims = mint.claims(now=NOW)
    thief = Ed25519PrivateKey.generate()
    pem = mint.private_key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": b64(thief.public_key().public_bytes_raw())}
    header = {"typ": "at+jwt", "kid": mint.kid}
    forgeries = [
        "",
        "a.b.c",
        "..",
        "é.é.é",
        flipped(good),
        good.rpartition(".")[0] + ".",
        good.rpartition(".")[0],
        good + "." + good,
        good + "\n",
        handmade({**header, "alg": "none"}, claims),
        handmade({**header, "alg": "EdDSA"}, claims, b"\0" * 64),
        handmade([1], claims),  # type: ignore[arg-type]  # a header that is no object
        b64(b"[" * 3000) + ".e30.AA",
        jwt.encode(claims, mint.public_key, algorithm="HS256", headers=header),
        handmade({**header, "alg": "HS256"}, claims, pem),
        jwt.encode(claims, thief, algorithm="EdDSA", headers=header),
        jwt.encode(claims, thief, algorithm="EdDSA", headers={**header, "jwk": jwk}),
        jwt.encode(claims, thief, algorithm="EdDSA", headers={**header, "jku": "http://127.0.0.1:9/jwks"}),
        jwt.encode(claims, thief, algorithm="EdDSA", headers={**header, "x5u": "http://127.0.0.1:9/x5u"}),
        mint.sign({**claims, "pad": "x" * 5000}),
        "x" * 2_000_000,
    ]
    for token in forgeries:
        with pytest.raises(InvalidTokenError):
            verifier.verify(token)
    assert verifier.verify(good).roles == {"customer"}


def test_a_verified_token_expires_all_the_same(verifier: TokenVerifier, mint: TokenMint, clock: MutableClock) -> None:
    token = mint.sign(mint.claims(now=NOW))
    verifier.verify(token)
    clock.advance(600 + 29)
    verifier.verify(token)
    clock.advance(1)
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_a_revoked_session_is_refused_at_once_also_when_just_verified(
    verifier: TokenVerifier, mint: TokenMint, clock: MutableClock
) -> None:
    token = mint.sign(mint.claims(now=NOW))
    principal = verifier.verify(token)
    verifier.revoke(principal.session_id, clock.now() + timedelta(seconds=700))
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)
    clock.advance(600)
    verifier.prune()
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_a_key_verifies_only_what_was_issued_in_its_time(clock: MutableClock, mint: TokenMint) -> None:
    verifier = TokenVerifier(clock)
    verifier.add_key(
        VerificationKey(mint.kid, mint.public_key, clock.now() - timedelta(hours=2), clock.now() - timedelta(minutes=5))
    )
    verifier.verify(mint.sign({**mint.claims(now=NOW - 400)}))
    with pytest.raises(InvalidTokenError):
        verifier.verify(mint.sign(mint.claims(now=NOW)))
    clock.advance(3600)
    verifier.prune()
    assert not verifier.ready


def test_a_kid_is_never_given_to_another_key(verifier: TokenVerifier, mint: TokenMint, clock: MutableClock) -> None:
    other = TokenMint(mint.kid)
    verifier.add_key(other.verification_key)
    verifier.verify(mint.sign(mint.claims(now=NOW)))
    with pytest.raises(InvalidTokenError):
        verifier.verify(other.sign(other.claims(now=NOW)))


def test_a_public_key_of_the_wrong_length_is_no_key(clock: MutableClock) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        VerificationKey("k", b"short", clock.now(), clock.now())


async def test_an_unknown_key_is_looked_for_once_per_token(clock: MutableClock, mint: TokenMint) -> None:
    asked = []
    empty = TokenVerifier(clock)

    async def find(kid: str) -> bool:
        asked.append(kid)
        empty.add_key(mint.verification_key)
        return True

    empty.find_key = find
    await empty.authenticate(mint.sign(mint.claims(now=NOW)))
    await empty.authenticate(mint.sign(mint.claims(now=NOW)))
    assert asked == [mint.kid]


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer x", "bearer  x", "Token x"],
)
async def test_a_bad_header_is_401(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/things/me", headers={"Authorization": value})
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/unauthenticated")
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_without_a_header_no_error_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.get("/things/me")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


async def test_two_headers_are_refused(client: httpx.AsyncClient, mint: TokenMint) -> None:
    header = ("Authorization", f"Bearer {mint.token()}")
    assert (await client.get("/things/me", headers=[header])).status_code == 200
    assert (await client.get("/things/me", headers=[header, header])).status_code == 401


async def test_roles_open_doors(client: httpx.AsyncClient, mint: TokenMint) -> None:
    user = uuid4()
    as_customer = await client.get("/things/admin", headers=mint.headers(user))
    as_operator = await client.get("/things/admin", headers=mint.headers(user, roles=(OPERATOR,)))
    nobody = await client.get("/things/admin")
    assert [as_customer.status_code, as_operator.status_code, nobody.status_code] == [403, 200, 401]
    assert as_customer.json()["type"] == "/problems/forbidden"
    assert (await client.get("/things/me", headers=mint.headers(user))).json() == {"user": str(user)}


def test_the_principal_is_what_the_token_says(mint: TokenMint) -> None:
    verifier = TokenVerifier(MutableClock(datetime.fromtimestamp(time.time(), UTC)))
    verifier.add_key(mint.verification_key)
    principal = verifier.verify(mint.token(UUID(int=7), roles=("customer", "operator")))
    assert (principal.user_id, principal.is_operator) == (UUID(int=7), True)
