"""Routes whose signature is turned into plain calls once: declared, documented and answered as FastAPI's own.

FastAPI works out for each request anew what kind of function every dependency is, what to close after it and how each
parameter is read; that was a quarter of the processor time of placing an order. What our routes do not need is refused
when a route is declared: dependencies that yield or block, cookies, lists in a query, and bodies that FastAPI reads
(chassis.body reads ours).
"""

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from fastapi import Request
from fastapi._compat import ModelField, field_annotation_is_sequence, get_missing_field_error
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

Errors = list[Any]
"""What is wrong with parameters, as pydantic tells it, `loc` beginning with `path`, `query` or `header`."""


class DirectRoute(APIRoute):
    """Calls its endpoint, a coroutine function, which returns a Response or a model that becomes the JSON.

    As with FastAPI, dependencies are called in the order of the signature, each once per request, and parameters are
    read after them: a missing token is told before a wrong query.

    Raises:
        TypeError: the signature asks for something that is not done here.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        super().__init__(path, endpoint, **options)
        self.app = _answering(_Call(self.dependant), self.status_code or 200)


def _answering(endpoint: "_Call", status: int) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request, errors = Request(scope, receive, send), Errors()
        arguments = await endpoint.arguments(request, {}, errors)
        if errors:
            raise RequestValidationError(errors)
        result: Response | BaseModel = await endpoint.function(**arguments)
        if isinstance(result, BaseModel):
            result = Response(result.model_dump_json(), status, media_type="application/json")
        await result(scope, receive, send)

    return answer


class _Call:
    """An endpoint or a dependency, and where its arguments come from."""

    def __init__(self, dependant: Dependant) -> None:
        _refuse_what_is_not_done(dependant)
        self.function: Callable[..., Awaitable[Any]] = dependant.call  # type: ignore[assignment]  # checked just now
        self._dependencies: Final = [(child.name, _Call(child)) for child in dependant.dependencies]
        self._path: Final = [_Parameter(field, "path") for field in dependant.path_params]
        self._query: Final = [_Parameter(field, "query") for field in dependant.query_params]
        self._headers: Final = [_Parameter(field, "header") for field in dependant.header_params]
        self._request_name: Final = dependant.request_param_name

    async def arguments(self, request: Request, known: dict[Any, Any], errors: Errors) -> dict[str, Any]:
        """What to call the function with, complete if no errors were added. `known`: what was called already."""
        arguments: dict[str, Any] = {}
        for name, dependency in self._dependencies:
            function = dependency.function
            if function not in known:
                before = len(errors)
                its_arguments = await dependency.arguments(request, known, errors)
                if len(errors) > before:
                    continue
                known[function] = await function(**its_arguments)
            if name is not None:
                arguments[name] = known[function]
        if self._path:
            _read(self._path, request.path_params, arguments, errors)
        if self._query:
            _read(self._query, request.query_params, arguments, errors)
        if self._headers:
            _read(self._headers, request.headers, arguments, errors)
        if self._request_name is not None:
            arguments[self._request_name] = request
        return arguments


class _Parameter:
    """One value of a path, query or header; or, as a model, the whole query."""

    def __init__(self, field: ModelField, place: str) -> None:
        annotation = field.field_info.annotation
        if field_annotation_is_sequence(annotation):
            raise TypeError(f"{field.name}: lists are not read from a {place}")
        self.name: Final = field.name
        self._field: Final = field
        self._is_model: Final = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        self._alias: Final = field.alias
        self._loc: Final[tuple[str, ...]] = (place,) if self._is_model else (place, field.alias)
        self._required: Final = field.field_info.is_required()
        self._default: Final = field.get_default()

    def read(self, received: Mapping[str, Any]) -> tuple[Any, Errors]:
        """The value and no errors, or what is wrong with it."""
        value = dict(received.items()) if self._is_model else received.get(self._alias)
        if value is not None:
            return self._field.validate(value, loc=self._loc)
        if self._required:
            return None, [get_missing_field_error(self._loc)]
        return self._default, []


def _read(
    parameters: Sequence[_Parameter], received: Mapping[str, Any], arguments: dict[str, Any], errors: Errors
) -> None:
    for parameter in parameters:
        value, wrong = parameter.read(received)
        errors += wrong
        if not wrong:
            arguments[parameter.name] = value


def _refuse_what_is_not_done(dependant: Dependant) -> None:
    call: Any = dependant.call
    if not inspect.iscoroutinefunction(call) and not inspect.iscoroutinefunction(getattr(call, "__call__", None)):  # noqa: B004 - which kind of call it is matters
        raise TypeError(f"{call} is no coroutine function")
    not_done = (
        dependant.cookie_params,
        dependant.body_params,
        dependant.websocket_param_name,
        dependant.http_connection_param_name,
        dependant.response_param_name,
        dependant.background_tasks_param_name,
        dependant.security_scopes_param_name,
    )
    if any(not_done):
        raise TypeError(f"{call} takes an argument that is not passed here")
