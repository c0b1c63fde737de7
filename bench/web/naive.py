"""The naive stack: FastAPI, SQLAlchemy's async ORM with its default pool, a session per request.

Written as the frameworks' own documentation writes it. It knows no tokens and no idempotency keys and looks up no
prices, and nobody publishes its outbox: it does less than order_svc. Run by uvicorn; `BENCH_STORE` is its store.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated
from uuid import uuid4

import sqlalchemy as sa
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from bench.durability import set_full
from bench.web.work import PAGE, order_placed, store_url

engine = create_async_engine(store_url())
if engine.dialect.name == "sqlite":
    sa.event.listen(engine.sync_engine, "connect", lambda connection, _: set_full(connection))
sessions = async_sessionmaker(engine, expire_on_commit=False)


class Base(DeclarativeBase):
    """The mapped tables; `bench.web.work` makes them."""


class Product(Base):
    __tablename__ = "products"
    sku: Mapped[str] = mapped_column(primary_key=True)
    title: Mapped[str]
    author: Mapped[str]
    category: Mapped[str]
    description: Mapped[str]
    amount: Mapped[int]
    currency: Mapped[str]
    available: Mapped[int]
    version: Mapped[int]


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]
    lines: Mapped[str]
    placed_at: Mapped[str]


class Outbox(Base):
    __tablename__ = "outbox"
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    body: Mapped[str]
    created_at: Mapped[str]


class ProductOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)
    sku: str
    title: str
    author: str
    category: str
    description: str
    amount: int
    currency: str
    available: int
    version: int


class Page(BaseModel):
    items: list[ProductOut]


class Line(BaseModel):
    sku: str
    quantity: Annotated[int, Field(ge=1, le=999)]


class NewOrder(BaseModel):
    lines: Annotated[list[Line], Field(min_length=1, max_length=100)]


class OrderOut(BaseModel):
    id: str
    status: str
    lines: list[Line]
    placed_at: str


async def get_session() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(get_session)]


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/orders", status_code=201)
async def place(body: NewOrder, session: Session) -> OrderOut:
    order_id, event_id, now = str(uuid4()), str(uuid4()), datetime.now(UTC).isoformat()
    lines = [line.model_dump() for line in body.lines]
    session.add(Order(id=order_id, status="pending", lines=json.dumps(lines), placed_at=now))
    event = json.dumps(order_placed(order_id, lines, now, event_id))
    session.add(Outbox(id=event_id, type="order.placed.v1", body=event, created_at=now))
    await session.commit()
    return OrderOut(id=order_id, status="pending", lines=body.lines, placed_at=now)


@app.get("/catalog/products")
async def browse(session: Session, category: str) -> Page:
    wanted = sa.select(Product).where(Product.category == category, Product.available > 0)
    found = await session.scalars(wanted.order_by(Product.title).limit(PAGE))
    return Page(items=[ProductOut.model_validate(product) for product in found])


@app.get("/catalog/products/{sku}", response_model=ProductOut)
async def detail(
    session: Session, response: Response, sku: str, if_none_match: Annotated[str, Header()] = ""
) -> Product | Response:
    product = await session.get(Product, sku)
    if product is None:
        raise HTTPException(404)
    etag = f'"{product.version}.{product.available}"'
    if if_none_match == etag:
        return Response(status_code=304, headers={"ETag": etag})
    response.headers["ETag"] = etag
    return product
