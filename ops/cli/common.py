"""What every command shares: the `--json` option, the running shop, and the way to give up."""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NoReturn

import httpx
import typer

from ops.config import ConfigError, ShopConfig
from ops.console import ShopConsole
from ops.shop_api import ShopApi, ShopNotRunningError, running_shop

Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@asynccontextmanager
async def asked_shop() -> AsyncIterator[ShopApi]:
    """The running shop; whatever keeps us from asking it ends the command with one sentence and exit code 2."""
    try:
        async with running_shop(config()) as shop:
            yield shop
    except ShopNotRunningError as error:
        give_up(str(error))
    except httpx.HTTPError as error:
        give_up(explained(error))


def explained(error: httpx.HTTPError) -> str:
    """What went wrong on the way to a service, and what to do about it."""
    if isinstance(error, httpx.HTTPStatusError):
        asked = f"{error.request.method} {error.request.url.copy_with(query=None)}"
        if error.response.status_code in {401, 403} and error.request.url.path.endswith("/auth/login"):
            return f"{asked} refused the operator's login in shop.json. Was the password changed? Put it there"
        return f"{asked} answered {error.response.status_code}; the log of that service says why"
    try:
        where = f"{error.request.url.scheme}://{error.request.url.netloc.decode()}"
    except RuntimeError:  # it never came to a request
        return str(error) or type(error).__name__
    if isinstance(error, httpx.ConnectError):
        return (
            f"nothing answers at {where}, where shop.json says a service is. Is `make run` still up? (RUN_DIR, ports)"
        )
    if isinstance(error, httpx.TimeoutException):
        return f"{where} did not answer in time; ./shop status says what keeps it"
    return f"{where}: {error or type(error).__name__}"


def config() -> ShopConfig:
    try:
        return ShopConfig.from_environment()
    except ConfigError as error:
        give_up(str(error))


def give_up(reason: str, *, code: int = 2) -> NoReturn:
    """End the command: 1 for a no, 2 for a question that could not be asked."""
    ShopConsole.on_stderr().fail(reason)
    raise SystemExit(code)


def write_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
