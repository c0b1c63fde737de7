"""The HTTP door: accounts, sessions, keys."""

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import JSONResponse, Response

from auth_svc import queries
from auth_svc.domain.user import MAX_EMAIL, normalize_email
from auth_svc.schemas import (
    DisableBody,
    Jwks,
    LoginBody,
    Me,
    PasswordBody,
    RefreshBody,
    RegisterBody,
    Registered,
    Tokens,
    UserList,
)
from auth_svc.sessions import Opened, Sessions
from chassis.auth import AnyUser, Bearer, Operator
from chassis.body import json_body
from chassis.fields import PathUuid
from chassis.problems import ProblemError

COOKIE = "refresh_token"
COOKIE_PATH = "/auth"
JWKS_CACHE = "public, max-age=300"

router = APIRouter(prefix="/auth", tags=["auth"])


async def _sessions(request: Request) -> Sessions:
    sessions: Sessions = request.app.state.sessions
    return sessions


Service = Annotated[Sessions, Depends(_sessions)]


@router.post("/register", status_code=201)
async def register(
    body: Annotated[RegisterBody, json_body(RegisterBody)], service: Service, request: Request
) -> Registered:
    """Make a customer's account. Problems: email-taken, weak-password, too-many-attempts, busy."""
    user_id = await service.register(body.email, body.password, body.name, _client(request))
    return Registered(user_id=user_id)


@router.post("/login", response_model=Tokens)
async def login(body: Annotated[LoginBody, json_body(LoginBody)], service: Service, request: Request) -> Response:
    """Begin a session. Problems: invalid-credentials, account-disabled, too-many-attempts, busy."""
    opened = await service.log_in(body.email, body.password, _client(request))
    return _answer(opened, service, cookie=body.cookie)


@router.post("/refresh", response_model=Tokens)
async def refresh(
    body: Annotated[RefreshBody, json_body(RefreshBody, optional=True)], service: Service, request: Request
) -> Response:
    """Exchange a refresh token, from the body or the cookie, for new tokens. Problems: invalid-grant, csrf."""
    token, from_cookie = _refresh_token(body, request)
    if token is None:
        raise ProblemError(401, "invalid-grant", "There is no refresh token in the request.")
    return _answer(await service.refresh(token), service, cookie=from_cookie)


@router.post("/logout", status_code=204)
async def logout(
    body: Annotated[RefreshBody, json_body(RefreshBody, optional=True)], service: Service, request: Request
) -> Response:
    """End the session of the access token or, without one, of the refresh token. Its tokens are refused from now on."""
    if "authorization" in request.headers:
        await service.log_out(session_id=(await Bearer()(request)).session_id)
    else:
        token, _ = _refresh_token(body, request)
        if token is not None:
            await service.log_out(refresh_token=token)
    return _forget_cookie(service)


@router.post("/password", status_code=204)
async def change_password(
    body: Annotated[PasswordBody, json_body(PasswordBody)], principal: AnyUser, service: Service
) -> Response:
    """Set a new password; every other session ends. Problems: wrong-password, weak-password, too-many-attempts."""
    await service.change_password(principal, body.current_password, body.new_password)
    return Response(status_code=204)


@router.get("/me")
async def me(principal: AnyUser, service: Service) -> Me:
    """The account behind the access token."""
    return queries.me(await queries.user(service.reader, principal.user_id))


@router.delete("/me", status_code=204)
async def erase(principal: AnyUser, service: Service) -> Response:
    """Erase the account's personal data and end its sessions. There is no way back; orders keep an opaque id."""
    await service.erase(principal.user_id)
    return _forget_cookie(service)


@router.get("/.well-known/jwks.json", response_model=Jwks)
async def jwks(service: Service) -> Response:
    """The public keys access tokens are signed with, the coming one included."""
    return JSONResponse({"keys": service.jwks()}, headers={"Cache-Control": JWKS_CACHE})


@router.get("/users")
async def find_users(
    principal: Operator, service: Service, email: Annotated[str, Query(min_length=3, max_length=MAX_EMAIL)]
) -> UserList:
    """The account with this e-mail address, if any."""
    return UserList(items=await queries.find_by_email(service.reader, normalize_email(email)))


@router.post("/users/{user_id}/disable")
async def disable(
    user_id: PathUuid, principal: Operator, body: Annotated[DisableBody, json_body(DisableBody)], service: Service
) -> Me:
    """Close an account and end its sessions. Doing it again changes nothing."""
    await service.disable(user_id, body.reason)
    return queries.me(await queries.user(service.reader, user_id))


def _answer(opened: Opened, service: Sessions, *, cookie: bool) -> Response:
    tokens = Tokens(
        access_token=opened.access_token,
        expires_in=opened.expires_in,
        refresh_token=None if cookie else opened.refresh_token,
    )
    response = Response(tokens.model_dump_json(exclude_none=True), media_type="application/json")
    if cookie:
        response.set_cookie(
            COOKIE,
            opened.refresh_token,
            max_age=opened.refresh_seconds,
            path=COOKIE_PATH,
            secure=service.secure_cookies,
            httponly=True,
            samesite="strict",
        )
    return response


def _forget_cookie(service: Sessions) -> Response:
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, path=COOKIE_PATH, secure=service.secure_cookies, httponly=True, samesite="strict")
    return response


def _refresh_token(body: RefreshBody, request: Request) -> tuple[str | None, bool]:
    """The token, and whether it came by the cookie, which a browser sends for other sites' pages too.

    Raises:
        ProblemError: 403 csrf, if nothing shows that our own page sent the cookie.
    """
    if body.refresh_token is not None:
        return body.refresh_token, False
    token = request.cookies.get(COOKIE)
    if token is None:
        return None, False
    origin = request.headers.get("origin")
    ours = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if "x-requested-with" not in request.headers and not ours:
        raise ProblemError(403, "csrf", "Send an X-Requested-With header with the cookie.")
    return token[:200], True


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
