"""The catalog's HTTP door: anyone reads, operators change."""

import hashlib
import re
from typing import Annotated, Final

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from catalog_svc import queries
from catalog_svc.commands import AdjustStock, ChangeProduct, ListProduct, RetireProduct, Versions
from catalog_svc.cursors import BadCursorError
from catalog_svc.domain.product import DetailChanges, Details
from catalog_svc.domain.stock import StockCounts
from catalog_svc.handlers import adjust_stock, change_product, list_product, retire_product
from catalog_svc.schemas import (
    Categories,
    NewProduct,
    PathSku,
    ProductPage,
    ProductPatch,
    ProductQuery,
    ProductView,
    StockAdjustment,
    StockView,
)
from catalog_svc.settings import CatalogSettings
from catalog_svc.store import CatalogUnitOfWork
from chassis.auth import Operator
from chassis.body import json_body, raw_json
from chassis.conditional import IfMatch, etag_of_bytes, is_unchanged, not_modified
from chassis.direct import DirectRoute
from chassis.idempotency import IdempotentRequest, StoredResponse
from chassis.idempotency_key import parse_key, stored_answer
from chassis.problems import ProblemError
from chassis.runtime import Runtime

router = APIRouter(prefix="/catalog", tags=["catalog"], route_class=DirectRoute)

_PRODUCT_ETAG = re.compile(r'(?:W/)?"(\d{1,9})\.[^"]*"')
_STOCK_ROUTE: Final = "POST /catalog/products/{sku}/stock"


async def _runtime(request: Request) -> Runtime[CatalogUnitOfWork]:
    runtime: Runtime[CatalogUnitOfWork] = request.app.state.runtime
    return runtime


async def _cache_control(request: Request) -> str:
    settings: CatalogSettings = request.app.state.settings
    return settings.cache_control


async def _optional_key(
    request: Request, principal: Operator, idempotency_key: Annotated[str | None, Header()] = None
) -> IdempotentRequest | None:
    """An Idempotency-Key is honoured, not demanded.

    Raises (as problems): 400 idempotency-key-invalid.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    fingerprint = hashlib.sha256(request.scope["path"].encode() + b"\n" + await raw_json(request)).hexdigest()
    return IdempotentRequest(principal.user_id, _STOCK_ROUTE, parse_key(keys), fingerprint)


CatalogRuntime = Annotated[Runtime[CatalogUnitOfWork], Depends(_runtime)]
CacheControl = Annotated[str, Depends(_cache_control)]
OptionalKey = Annotated[IdempotentRequest | None, Depends(_optional_key)]


@router.get("/products", response_model=ProductPage)
async def browse(
    request: Request, runtime: CatalogRuntime, cache_control: CacheControl, query: Annotated[ProductQuery, Query()]
) -> Response:
    """Listed products, a page at a time. A page is stable under inserts: the cursor names the last item seen."""
    try:
        page = await queries.product_page(runtime.reader, query)
    except BadCursorError:
        raise ProblemError(400, "bad-cursor", "The cursor is not one of ours, or of another sort or filter.") from None
    return _cached(request, orjson.dumps(page), cache_control)


@router.get("/products/{sku}", response_model=ProductView)
async def detail(request: Request, runtime: CatalogRuntime, cache_control: CacheControl, sku: PathSku) -> Response:
    """One product; a retired one too, for those who hold an order of it."""
    shown = await queries.product(runtime.reader, sku)
    etag = _product_etag(shown)
    if is_unchanged(request, etag):
        return not_modified(etag, cache_control)
    headers = {"ETag": etag, "Cache-Control": cache_control}
    return Response(orjson.dumps(shown), headers=headers, media_type="application/json")


@router.get("/categories", response_model=Categories)
async def list_categories(request: Request, runtime: CatalogRuntime, cache_control: CacheControl) -> Response:
    """The categories that have listed products, by name."""
    found = await queries.categories(runtime.reader)
    return _cached(request, found.model_dump_json().encode(), cache_control)


@router.post("/products", status_code=201, response_model=ProductView)
async def create(
    principal: Operator, runtime: CatalogRuntime, body: Annotated[NewProduct, json_body(NewProduct)]
) -> Response:
    """A new product, without stock. 409 `product-exists` if the SKU is taken."""
    details = Details(body.title, body.author, body.category, body.description, body.price)
    await runtime.writer.execute(list_product, ListProduct(body.sku, details))
    view = await queries.product(runtime.reader, body.sku)
    return _changed(view, 201, {"Location": f"/catalog/products/{body.sku}"})


@router.patch("/products/{sku}", response_model=ProductView)
async def change(
    principal: Operator,
    runtime: CatalogRuntime,
    sku: PathSku,
    if_match: IfMatch,
    body: Annotated[ProductPatch, json_body(ProductPatch)],
) -> Response:
    """Change what is given. `If-Match` compares the product's version only: a sale meanwhile is no conflict."""
    changes = DetailChanges(body.title, body.author, body.category, body.description, body.price)
    await runtime.writer.execute(change_product, ChangeProduct(sku, changes, body.status, _versions(if_match)))
    return _changed(await queries.product(runtime.reader, sku), 200)


@router.delete("/products/{sku}", status_code=204, response_class=Response)
async def retire(principal: Operator, runtime: CatalogRuntime, sku: PathSku, if_match: IfMatch) -> Response:
    """Take the product off sale; orders that hold it go on. `If-Match: *` retires whatever version there is."""
    await runtime.writer.execute(retire_product, RetireProduct(sku, _versions(if_match)))
    return Response(status_code=204)


@router.post("/products/{sku}/stock", response_model=StockView)
async def change_stock(
    principal: Operator,
    runtime: CatalogRuntime,
    sku: PathSku,
    once: OptionalKey,
    body: Annotated[StockAdjustment, json_body(StockAdjustment)],
) -> Response:
    """Count units in or out. 409 `stock-negative` if fewer would be left than orders hold.

    With an Idempotency-Key a repetition changes nothing and gets the first answer.
    """
    command = AdjustStock(sku, body.delta, body.reason)
    if once is not None:
        return stored_answer(await runtime.writer.execute_once(once, adjust_stock, command, _stock_answer))
    return stored_answer(_stock_answer(await runtime.writer.execute(adjust_stock, command)))


def _cached(request: Request, body: bytes, cache_control: str) -> Response:
    etag = etag_of_bytes(body)
    if is_unchanged(request, etag):
        return not_modified(etag, cache_control)
    return Response(body, headers={"ETag": etag, "Cache-Control": cache_control}, media_type="application/json")


def _changed(view: queries.Shown, status: int, headers: dict[str, str] | None = None) -> Response:
    headers = {"ETag": _product_etag(view), **(headers or {})}
    return Response(orjson.dumps(view), status, headers, media_type="application/json")


def _product_etag(view: queries.Shown) -> str:
    """The product's version, and what is available, because the representation tells that as well."""
    return f'"{view["version"]}.{view["available"]}"'


def _versions(if_match: frozenset[str]) -> Versions:
    """The versions that a product's ETags name. A proxy that compresses may have made them weak; the version in
    them is still exact."""
    if "*" in if_match:
        return None
    matches = (_PRODUCT_ETAG.fullmatch(tag) for tag in if_match)
    return frozenset(int(match[1]) for match in matches if match)


def _stock_answer(counts: StockCounts) -> StoredResponse:
    view = StockView(
        sku=counts.sku,
        on_hand=counts.on_hand,
        reserved=counts.reserved,
        available=counts.available,
        sold=counts.sold,
    )
    return StoredResponse(200, view.model_dump_json().encode())
