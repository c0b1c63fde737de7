"""The floor: the same answers by hand, a bare ASGI function over raw sqlite3 or asyncpg. `BENCH_STORE` is its store.

No framework, no validation to speak of, no tokens, no keys. Orders that wait are committed together, as the shop's
writer does it. Run by uvicorn.
"""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qs
from uuid import uuid4

import orjson

from bench.web.raw import Row, open_raw
from bench.web.work import COLUMNS, order_placed

BATCH: Final = 100


class Orders:
    """Writes what is waiting in one transaction, then answers all of them."""

    def __init__(self) -> None:
        self._waiting: asyncio.Queue[tuple[Row, Row, asyncio.Future[None]]] = asyncio.Queue()

    async def place(self, order: Row, event: Row) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.put_nowait((order, event, committed))
        await committed

    async def write(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await store.insert([order for order, _, _ in batch], [event for _, event, _ in batch])
            for _, _, committed in batch:
                committed.set_result(None)


store = open_raw()
orders = Orders()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await _live(receive, send)
    elif scope["method"] == "POST":
        await _answer(send, 201, await _place(await _body(receive)))
    elif scope["path"] == "/catalog/products":
        category = parse_qs(scope["query_string"].decode())["category"][0]
        rows = await store.page(category)
        await _answer(send, 200, {"items": [dict(zip(COLUMNS, row, strict=True)) for row in rows]})
    else:
        await _detail(scope, send)


async def _place(body: bytes) -> dict[str, Any]:
    lines = orjson.loads(body)["lines"]
    order_id, event_id, now = str(uuid4()), str(uuid4()), datetime.now(UTC).isoformat()
    event = json.dumps(order_placed(order_id, lines, now, event_id))
    await orders.place((order_id, "pending", json.dumps(lines), now), (event_id, "order.placed.v1", event, now))
    return {"id": order_id, "status": "pending", "lines": lines, "placed_at": now}


async def _detail(scope: dict[str, Any], send: Any) -> None:
    row = await store.product(scope["path"].rpartition("/")[2])
    if row is None:
        await _answer(send, 404, {})
        return
    product = dict(zip(COLUMNS, row, strict=True))
    etag = f'"{product["version"]}.{product["available"]}"'.encode()
    if dict(scope["headers"]).get(b"if-none-match") == etag:
        await send({"type": "http.response.start", "status": 304, "headers": [(b"etag", etag)]})
        await send({"type": "http.response.body"})
        return
    await _answer(send, 200, product, (b"etag", etag))


async def _body(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        part = await receive()
        body, more = body + part.get("body", b""), part.get("more_body", False)
    return body


async def _answer(send: Any, status: int, content: Any, *headers: tuple[bytes, bytes]) -> None:
    body = orjson.dumps(content)
    fixed = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *headers]})
    await send({"type": "http.response.body", "body": body})


async def _live(receive: Any, send: Any) -> None:
    await receive()
    await store.open()
    writing = asyncio.create_task(orders.write())
    await send({"type": "lifespan.startup.complete"})
    await receive()
    writing.cancel()
    await store.close()
    await send({"type": "lifespan.shutdown.complete"})
