"""A route that is called as it stands: documented by its signature like any other, without FastAPI's work per request.

To solve dependencies, validate parameters and copy them costs more than a read that takes the store some ten
microseconds. For the few routes asked most often, whose parameters are checked by hand.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from starlette.responses import Response


class DirectRoute(APIRoute):
    """Calls `endpoint(request, **path_params)`; the path parameters are strings that nobody has looked at."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        endpoint = self.endpoint

        async def call(request: Request) -> Response:
            response: Response = await endpoint(request, **request.path_params)
            return response

        return call
