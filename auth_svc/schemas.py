"""HTTP bodies. Passwords may hold any characters; they are not trimmed, folded or cut."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from auth_svc.domain.user import MAX_EMAIL
from auth_svc.passwords import MAX_LENGTH, MIN_LENGTH
from chassis.fields import Answer, Body, Text

Email = Annotated[str, Text(MAX_EMAIL, min_length=3)]
GivenPassword = Annotated[str, Field(min_length=1, max_length=MAX_LENGTH)]
ChosenPassword = Annotated[str, Field(min_length=MIN_LENGTH, max_length=MAX_LENGTH)]
RefreshToken = Annotated[str, Field(min_length=1, max_length=200)]


class RegisterBody(Body):
    email: Email
    password: ChosenPassword
    name: Annotated[str, Text(100)]


class LoginBody(Body):
    """With `cookie: false` the refresh token comes in the answer's body instead of a cookie."""

    email: Email
    password: GivenPassword
    cookie: bool = True


class RefreshBody(Body):
    """Without a token here the cookie's is taken."""

    refresh_token: RefreshToken | None = None


class PasswordBody(Body):
    current_password: GivenPassword
    new_password: ChosenPassword


class DisableBody(Body):
    reason: Annotated[str, Text(200)]


class Registered(Answer):
    user_id: UUID


class Tokens(Answer):
    """`expires_in` is in seconds. `refresh_token` only for who asked not to get a cookie."""

    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the scheme's name
    expires_in: int
    refresh_token: str | None = None


class Me(Answer):
    user_id: UUID
    email: str
    name: str
    roles: list[str]
    status: str
    created_at: datetime


class UserList(Answer):
    items: list[Me]


class Jwks(Answer):
    """RFC 7517; besides, `nbf` and `exp` in Unix seconds say when a key may sign."""

    keys: list[dict[str, str | int]]
