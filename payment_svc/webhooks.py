"""The providers' door: exists only where a secret is configured, and trusts nothing but a signature over raw bytes."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import JSONResponse, Response

from chassis.body import read_capped
from chassis.problems import ProblemError
from payment_svc.commands import TakeNotice
from payment_svc.notices import take_notice
from payment_svc.providers.port import MalformedNoticeError, PaymentProvider
from payment_svc.providers.signatures import HEADER, InvalidSignatureError, check
from payment_svc.runtime import PaymentRuntime


async def _runtime(request: Request) -> PaymentRuntime:
    runtime: PaymentRuntime = request.app.state.runtime
    return runtime


def router(provider: PaymentProvider, secrets: Sequence[str]) -> APIRouter:
    """The route of the configured provider.

    Raises:
        ValueError: without a secret anybody could post here.
    """
    if not secrets:
        raise ValueError("a webhook route needs a secret")
    routes = APIRouter(prefix="/payments/webhooks", tags=["webhooks"])

    @routes.post(f"/{provider.name}")
    async def receive(request: Request, service: Annotated[PaymentRuntime, Depends(_runtime)]) -> Response:
        """Take a notice: 200 whenever it need not be sent again, known types or not."""
        body = await read_capped(request)
        headers = request.headers.getlist(HEADER)
        try:
            check(body, headers[0] if len(headers) == 1 else "", secrets, service.clock.now().timestamp())
        except InvalidSignatureError as error:
            raise ProblemError(400, "invalid-signature", "The signature is not valid for this body now.") from error
        try:
            notice = provider.read_notice(body)
        except MalformedNoticeError as error:
            raise ProblemError(400, "malformed-notice", "The body is not a notice of this provider.") from error
        result = await service.writer.execute(take_notice, TakeNotice(provider.name, notice))
        return JSONResponse({"result": result})

    return routes
