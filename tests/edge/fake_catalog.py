"""The shelves of the double."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.edge.fake_state import Json, RefusedError, ShopState


class FakeCatalog:
    """catalog_svc as the pages and the loader meet it."""

    def __init__(self, shop: ShopState) -> None:
        self._shop = shop

    def routes(self) -> list[Route]:
        return [
            Route("/catalog/products", self._create_product, methods=["POST"]),
            Route("/catalog/products", self._list_products),
            Route("/catalog/categories", self._categories),
            Route("/catalog/products/{sku}", self._product),
            Route("/catalog/products/{sku}/stock", self._adjust_stock, methods=["POST"]),
        ]

    async def _create_product(self, request: Request) -> Response:
        self._shop.user(request)
        body = await request.json()
        if body["sku"] in self._shop.products:
            raise RefusedError(409, "product-exists")
        self._shop.products[body["sku"]] = body | {"available": 0, "version": 1, "status": "active"}
        return JSONResponse(self._shop.products[body["sku"]], 201)

    async def _adjust_stock(self, request: Request) -> Response:
        self._shop.user(request)
        product = self._shop.known(request.path_params["sku"])

        def add(body: Json) -> Json:
            product["available"] += body["delta"]
            return product

        return await self._shop.once(request, add)

    async def _product(self, request: Request) -> Response:
        return JSONResponse(self._shop.known(request.path_params["sku"]))

    async def _categories(self, request: Request) -> Response:
        names = sorted({product["category"] for product in self._shop.products.values()})
        counts = [sum(product["category"] == name for product in self._shop.products.values()) for name in names]
        items = [{"name": name, "count": count} for name, count in zip(names, counts, strict=True)]
        return JSONResponse({"items": items})

    async def _list_products(self, request: Request) -> Response:
        asked = request.query_params
        text, start = asked.get("q", "").lower(), int(asked.get("cursor", "0"))
        found = [
            product
            for product in self._shop.products.values()
            if text in f"{product['title']} {product['author']}".lower()
            and asked.get("category", product["category"]) == product["category"]
            and (asked.get("in_stock") != "true" or product["available"] > 0)
        ]
        found.sort(key=lambda product: product["title"])
        if asked.get("sort", "title").endswith("price"):
            found.sort(key=lambda product: product["price"]["amount"], reverse=asked["sort"].startswith("-"))
        end = start + int(asked.get("limit", "20"))
        return JSONResponse({"items": found[start:end], "next_cursor": str(end) if end < len(found) else None})
