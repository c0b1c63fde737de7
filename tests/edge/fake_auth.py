"""Accounts and sessions of the double."""

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.edge.fake_state import RefusedError, ShopState


class FakeAuth:
    """auth_svc as the pages meet it."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop

    def routes(self) -> list[Route]:
        return [
            Route("/auth/register", self._register, methods=["POST"]),
            Route("/auth/login", self._login, methods=["POST"]),
            Route("/auth/refresh", self._refresh, methods=["POST"]),
            Route("/auth/logout", self._logout, methods=["POST"]),
            Route("/auth/me", self._me),
        ]

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        if len(body["password"]) < 12:
            errors = [{"pointer": "/password", "code": "too-short", "message": "Use at least 12 characters"}]
            raise RefusedError(422, "validation", errors=errors)
        if body["email"] in self._shop.users:
            raise RefusedError(409, "email-taken")
        self._shop.users[body["email"]] = body["password"]
        return JSONResponse({"user_id": str(uuid4())}, 201)

    async def _login(self, request: Request) -> Response:
        body = await request.json()
        if self._shop.users.get(body["email"]) != body["password"]:
            raise RefusedError(401, "unauthenticated")
        return self._open_session(body["email"])

    async def _refresh(self, request: Request) -> Response:
        if request.headers.get("x-requested-with") != "orderflow":
            raise RefusedError(403, "csrf")
        user = self._shop.cookies.pop(request.cookies.get("refresh", ""), None)
        if user is None:
            raise RefusedError(401, "unauthenticated")
        return self._open_session(user)

    async def _logout(self, request: Request) -> Response:
        self._shop.cookies.pop(request.cookies.get("refresh", ""), None)
        answer = Response(status_code=204)
        answer.delete_cookie("refresh", path="/auth")
        return answer

    def _open_session(self, user: str) -> Response:
        token, cookie = uuid4().hex, uuid4().hex
        self._shop.tokens[token], self._shop.cookies[cookie] = user, user
        answer = JSONResponse({"access_token": token, "token_type": "Bearer", "expires_in": 600})
        answer.set_cookie("refresh", cookie, httponly=True, samesite="strict", path="/auth")
        return answer

    async def _me(self, request: Request) -> Response:
        user = self._shop.user(request)
        roles = ["customer", *(["operator"] if user in self._shop.operators else [])]
        return JSONResponse({"email": user, "name": "Ada", "roles": roles})
