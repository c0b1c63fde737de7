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
from ops.shop_api import ShopApi, ShopNotRunningError, explained, running_shop

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
