"""No route takes a thread: FastAPI runs plain functions in a pool, a hop there and back for each request."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from auth_svc.api import router as auth
from catalog_svc.api import router as catalog
from order_svc.api import router as order
from payment_svc.api import router as payment


@pytest.mark.parametrize("router", [auth, catalog, order, payment], ids=["auth", "catalog", "order", "payment"])
def test_routes_and_their_dependencies_run_on_the_loop(router: APIRouter) -> None:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    assert routes
    threaded = [f"{route.path}: {name}" for route in routes for name in in_threads(route.dependant)]
    assert not threaded


def in_threads(dependant: Dependant) -> Iterator[str]:
    """The functions below and at this one that are not coroutine functions."""
    call = dependant.call
    if call is not None and not any(map(inspect.iscoroutinefunction, (call, getattr(call, "__call__", None)))):  # noqa: B004 - whether its __call__ is a coroutine function, not whether it has one
        yield getattr(call, "__name__", str(call))
    for dependency in dependant.dependencies:
        yield from in_threads(dependency)
