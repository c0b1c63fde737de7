"""Asking every service the same question, and telling which of them did not answer."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import httpx
import typer

from ops.cli.common import give_up
from ops.config import PREFIXES
from ops.console import ShopConsole
from ops.shop_api import ShopApi

Service = Annotated[str | None, typer.Option("--service", "-s", help="Only auth, catalog, order or payment.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

PROBLEM: Final = 2


@dataclass(slots=True)
class Answers:
    """What the services said; `silent` are those that could not answer, and why."""

    documents: dict[str, Any] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)

    def report_silent(self) -> None:
        """Tell people about the silent ones, on standard error."""
        console = ShopConsole.on_stderr()
        for service, why in self.silent.items():
            console.fail(f"{service}: {why}")


async def ask(
    shop: ShopApi, services: Sequence[str], question: Callable[[ShopApi, str, str], Awaitable[httpx.Response]]
) -> Answers:
    """Put a question, made for a service and the prefix of its routes, to each of them. A 404 is an answer: None."""
    answers = Answers()
    for service in services:
        try:
            response = await question(shop, service, PREFIXES[service])
        except httpx.HTTPError as error:
            answers.silent[service] = str(error) or type(error).__name__
            continue
        if response.status_code == httpx.codes.NOT_FOUND:
            answers.documents[service] = None
        elif response.is_error:
            answers.silent[service] = _problem(response)
        else:
            answers.documents[service] = response.json()
    return answers


def chosen(service: str | None) -> list[str]:
    """The services meant by `--service`."""
    if service is None:
        return [*PREFIXES]
    if service not in PREFIXES:
        give_up(f"there is no service {service!r}: {', '.join(PREFIXES)}")
    return [service]


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless told not to; a no ends the command with exit code 1, nobody to ask with 2."""
    if yes:
        return
    try:
        agreed = typer.confirm(question, err=True)
    except typer.Abort:
        give_up("nobody answered; repeat it with --yes")
    if not agreed:
        give_up("nothing was done", code=1)


def _problem(response: httpx.Response) -> str:
    try:
        document = response.json()
        errors = "; ".join(f"{e['pointer'] or 'body'}: {e['message']}" for e in document.get("errors", ()))
        return errors or str(document.get("detail") or document["title"])
    except (ValueError, KeyError, TypeError):
        return f"answered {response.status_code}"
