"""A double of the four services, in memory and on one port: what the storefront and the loader are driven against."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import Response

from tests.edge.fake_auth import FakeAuth
from tests.edge.fake_catalog import FakeCatalog
from tests.edge.fake_operations import FakeOperators
from tests.edge.fake_orders import FakeOrders
from tests.edge.fake_payments import FakePayments
from tests.edge.fake_state import RefusedError, ShopState, problem


class FakeShop(ShopState):
    """The state with doors to it."""

    def app(self) -> Starlette:
        """All routes of the four services."""
        parts = (FakeAuth, FakeOperators, FakeCatalog, FakeOrders, FakePayments)  # operators' first, as in the services
        routes = [route for part in parts for route in part(self).routes()]
        app = Starlette(routes=routes, exception_handlers={RefusedError: _refuse})
        app.add_middleware(BaseHTTPMiddleware, dispatch=self._watch)
        return app

    async def _watch(self, request: Request, forward: Callable[[Request], Awaitable[Response]]) -> Response:
        self.requests.append(f"{request.method} {request.url.path}")
        if request.url.path.split("/")[1] in self.down:
            return problem(503, "service-unavailable")
        return await forward(request)


async def _refuse(_: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.answer
