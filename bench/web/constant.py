"""FastAPI answering a constant: what the framework and uvicorn cost before any work is done."""

import orjson
from fastapi import FastAPI, Response

from bench.web.work import COLUMNS, product_rows

app = FastAPI()
BODY = orjson.dumps(dict(zip(COLUMNS, product_rows()[0], strict=True)))


@app.get("/catalog/products/{sku}")
async def detail(sku: str) -> Response:
    return Response(BODY, media_type="application/json")
