"""Loads the demo shop the way any operator would: through the HTTP API, as often as anyone likes."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import httpx

from ops.demo.books import Book, demo_books

_TRIES = 5
_LONGEST_WAIT_SECONDS = 5.0
_BUSY = {429, 502, 503, 504}


class DemoLoadError(Exception):
    """The shop did not take what was sent; the message says what was asked and what it answered."""


class Loaded(StrEnum):
    """What became of one book."""

    CREATED = "created"
    COMPLETED = "completed"  # listed by an earlier run that ended before its copies were on the shelf
    ALREADY_THERE = "already there"


@dataclass(frozen=True, slots=True)
class ShopUrls:
    """Where the two services the loader talks to are reached, without a trailing slash."""

    auth: str
    catalog: str

    @classmethod
    def at_edge(cls, url: str) -> "ShopUrls":
        """Both behind one origin."""
        return cls(auth=url.rstrip("/"), catalog=url.rstrip("/"))


@dataclass(frozen=True, slots=True)
class OperatorLogin:
    """An operator's e-mail and password."""

    email: str
    password: str = field(repr=False)


@dataclass(slots=True)
class LoadReport:
    """How many books were created, completed and left alone, and one readable line per book that failed."""

    created: int = 0
    completed: int = 0
    already_there: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Books dealt with so far, failed ones included."""
        return self.created + self.completed + self.already_there + len(self.failures)


Progress = Callable[[LoadReport, int], None]
"""Called after each book with the report so far and the number of books in all."""


async def load_demo_shop(
    urls: ShopUrls,
    operator: OperatorLogin | str,
    books: Sequence[Book] | None = None,
    *,
    concurrency: int = 8,
    progress: Progress | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
) -> LoadReport:
    """List every book (default: the demo shelf) and put its copies in stock. `operator` is a login or an access token.

    Safe to repeat and to interrupt anywhere: a listed book is never listed again, and copies are added under one
    idempotency key per book, so a run that died between the two is completed by the next. A book that is listed and
    has copies is left alone. A failing book is reported and does not stop the others.

    Raises:
        DemoLoadError: the operator could not log in.
    """
    shelf = demo_books() if books is None else books
    report = LoadReport()
    gate = asyncio.Semaphore(concurrency)
    async with httpx.AsyncClient(transport=transport, timeout=10.0, trust_env=False) as client:
        token = operator if isinstance(operator, str) else await _log_in(client, urls.auth, operator)
        client.headers["Authorization"] = f"Bearer {token}"

        async def load(book: Book) -> None:
            async with gate:
                await _load_into(report, client, urls.catalog, book)
            if progress is not None:
                progress(report, len(shelf))

        await _all(load(book) for book in shelf)
    return report


async def _all(loads: Iterable[Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for load in loads:
            group.create_task(load)


async def _load_into(report: LoadReport, client: httpx.AsyncClient, url: str, book: Book) -> None:
    try:
        loaded = await _load_book(client, url, book)
    except DemoLoadError as error:
        report.failures.append(f"{book.sku} {book.title}: {error}")
        return
    match loaded:
        case Loaded.CREATED:
            report.created += 1
        case Loaded.COMPLETED:
            report.completed += 1
        case Loaded.ALREADY_THERE:
            report.already_there += 1


async def _load_book(client: httpx.AsyncClient, url: str, book: Book) -> Loaded:
    listing = book.model_dump(mode="json", exclude={"stock"})
    answer = await _send(client, "POST", f"{url}/catalog/products", json=listing)
    if answer.status_code == 201:
        await _add_copies(client, url, book)
        return Loaded.CREATED
    if answer.status_code == 409 and _slug(answer) == "product-exists":
        if book.stock and await _is_unstocked(client, url, book):
            await _add_copies(client, url, book)
            return Loaded.COMPLETED
        return Loaded.ALREADY_THERE
    raise DemoLoadError(_explain(answer))


async def _is_unstocked(client: httpx.AsyncClient, url: str, book: Book) -> bool:
    """No copies: never stocked, or sold out. The idempotency key tells the two apart for as long as it is kept."""
    answer = await _send(client, "GET", f"{url}/catalog/products/{book.sku}")
    if answer.status_code == 404:  # retired since
        return False
    if answer.status_code != 200:
        raise DemoLoadError(_explain(answer))
    product = answer.json()
    return bool(product["available"] == 0)


async def _add_copies(client: httpx.AsyncClient, url: str, book: Book) -> None:
    if book.stock == 0:
        return
    answer = await _send(
        client,
        "POST",
        f"{url}/catalog/products/{book.sku}/stock",
        json={"delta": book.stock, "reason": "demo shop"},
        headers={"Idempotency-Key": f"demo-stock-{book.sku}"},
    )
    if answer.status_code not in {200, 201}:
        raise DemoLoadError(_explain(answer))


async def _log_in(client: httpx.AsyncClient, url: str, operator: OperatorLogin) -> str:
    credentials = {"email": operator.email, "password": operator.password, "cookie": False}
    answer = await _send(client, "POST", f"{url}/auth/login", json=credentials)
    if answer.status_code != 200:
        raise DemoLoadError(f"{operator.email} could not log in: {_explain(answer)}")
    return str(answer.json()["access_token"])


async def _send(client: httpx.AsyncClient, method: str, url: str, **request: Any) -> httpx.Response:
    """One request, tried again while the service is away or busy: everything sent here is safe to repeat."""
    trouble = ""
    for attempt in range(_TRIES):
        last = attempt == _TRIES - 1
        try:
            answer = await client.request(method, url, **request)
        except httpx.TransportError as error:
            trouble = f"{method} {url} was not answered ({type(error).__name__}: {error})"
            wait = 0.2 * 2**attempt
        else:
            if answer.status_code not in _BUSY or last:
                return answer
            wait = _seconds(answer.headers.get("Retry-After"), default=0.2 * 2**attempt)
        if not last:
            await asyncio.sleep(min(wait, _LONGEST_WAIT_SECONDS))
    raise DemoLoadError(trouble)


def _seconds(retry_after: str | None, *, default: float) -> float:
    return float(retry_after) if retry_after is not None and retry_after.isdecimal() else default


def _problem(answer: httpx.Response) -> dict[str, Any]:
    if "json" not in answer.headers.get("Content-Type", ""):
        return {}
    try:
        problem = answer.json()
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _slug(answer: httpx.Response) -> str:
    return str(_problem(answer).get("type", "")).rsplit("/", 1)[-1]


def _explain(answer: httpx.Response) -> str:
    problem = _problem(answer)
    said = [str(problem[key]) for key in ("title", "detail") if problem.get(key)]
    said += [f"{item.get('pointer', '')} {item.get('message', '')}".strip() for item in problem.get("errors", [])]
    asked = f"{answer.request.method} {answer.request.url.path}"
    return f"{asked} answered {answer.status_code}" + (f" ({'; '.join(said)})" if said else "")
