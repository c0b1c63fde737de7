"""The refusals of auth_svc, each with its slug."""

from chassis.seedwork import DomainError, ErrorKind


class EmailTakenError(DomainError):
    """Somebody has an account with this address. Registration reveals that; logging in does not."""

    def __init__(self) -> None:
        super().__init__("email-taken", ErrorKind.CONFLICT, "There is an account with this e-mail address already.")


class WeakPasswordError(DomainError):
    """The password is one of those that are tried first."""

    def __init__(self, detail: str) -> None:
        super().__init__("weak-password", ErrorKind.INVALID, detail)


class InvalidCredentialsError(DomainError):
    """Unknown address or wrong password: which of them is nobody's business."""

    def __init__(self) -> None:
        super().__init__(
            "invalid-credentials", ErrorKind.UNAUTHENTICATED, "The e-mail address or the password is wrong."
        )


class WrongPasswordError(DomainError):
    """Somebody who is logged in did not know the password. Not 401: the access token is fine."""

    def __init__(self) -> None:
        super().__init__("wrong-password", ErrorKind.FORBIDDEN, "The current password is wrong.")


class InvalidGrantError(DomainError):
    """The refresh token is unknown, used, expired or revoked: log in again."""

    def __init__(self) -> None:
        super().__init__("invalid-grant", ErrorKind.UNAUTHENTICATED, "Log in again.")


class AccountClosedError(DomainError):
    """The account is disabled; said only to who knows its password."""

    def __init__(self) -> None:
        super().__init__("account-disabled", ErrorKind.FORBIDDEN, "This account is disabled.")


class TooManyAttemptsError(DomainError):
    """Too many attempts; `retry_after` says when the next one counts."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(
            "too-many-attempts", ErrorKind.TOO_MANY, "Too many attempts; try again later.", retry_after=retry_after
        )


class BusyError(DomainError):
    """More passwords wait to be checked than can be in a reasonable time."""

    def __init__(self) -> None:
        super().__init__("busy", ErrorKind.UNAVAILABLE, "Too many log-ins at the moment.", retry_after=1)
