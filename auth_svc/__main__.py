"""`python -m auth_svc serve|migrate|rebuild|create-operator|rotate-key`."""

import argparse
import asyncio
import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence

from auth_svc import handlers
from auth_svc.app import Parts, assemble, build
from auth_svc.settings import AuthSettings
from auth_svc.tokens import Vault
from chassis.main import main, real_environment
from chassis.seedwork import DomainError


def create_operator(settings: AuthSettings, arguments: Sequence[str]) -> None:
    """Make an operator's account. The password is asked for, or read from stdin when that is not a terminal."""
    parser = argparse.ArgumentParser(prog="python -m auth_svc create-operator")
    parser.add_argument("email")
    email = parser.parse_args(arguments).email
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")

    async def run(parts: Parts) -> str:
        return f"{email} is an operator: {await parts[2].ensure_operator(email, password)}"

    _with_writer(settings, run)


def rotate_key(settings: AuthSettings, arguments: Sequence[str]) -> None:
    """Make the next signing key; the running service publishes it and takes it into use."""
    parser = argparse.ArgumentParser(prog="python -m auth_svc rotate-key")
    parser.add_argument(
        "--withdraw", action="store_true", help="a key has leaked: sign with the new one now and end the others"
    )
    withdraw = parser.parse_args(arguments).withdraw
    vault = Vault(settings.master_key.get_secret_value())

    async def run(parts: Parts) -> str:
        kid = await parts[0].writer.execute(handlers.rotate_signing_key(vault, withdraw=withdraw), None)
        return f"{kid} signs {'from now on' if withdraw else 'in ten minutes'}"

    _with_writer(settings, run)


def _with_writer(settings: AuthSettings, work: Callable[[Parts], Awaitable[str]]) -> None:
    """Run `work` with a writer on the service's store; its events are published by the service itself."""

    async def run() -> str:
        parts = assemble(settings, real_environment(settings))
        runtime = parts[0]
        await runtime.writer.start()
        try:
            return await work(parts)
        finally:
            await runtime.writer.stop()
            await runtime.store.close()

    try:
        sys.stdout.write(f"{asyncio.run(run())}\n")
    except DomainError as error:
        sys.stderr.write(f"{error.detail or error.code}\n")
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(
        "auth_svc",
        AuthSettings,
        build,
        commands={"create-operator": create_operator, "rotate-key": rotate_key},
    )
