"""The last steps before a shop is open: wait until every service can work, then fill the shelves through the API."""

import asyncio
from contextlib import suppress
from typing import Final

import httpx

from ops.config import SERVICES, ShopConfig
from ops.console import ShopConsole
from ops.demo.loader import DemoLoadError, LoadReport, OperatorLogin, ShopUrls, load_demo_shop
from ops.processes import Child

READY_SECONDS: Final = 60.0
QUIET_SECONDS: Final = 0.5
MOST_QUIET_SECONDS: Final = 5.0


class LaunchError(Exception):
    """The shop cannot start; the message says why and what to do."""


async def wait_ready(config: ShopConfig, console: ShopConsole, children: list[Child]) -> None:
    """Until every service says it can do its work; after a while, what each is waiting for."""
    loop = asyncio.get_running_loop()
    deadline, told = loop.time() + READY_SECONDS, loop.time() + 8
    waiting = dict.fromkeys(SERVICES, "no answer yet")
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        while waiting:
            for service in list(waiting):
                reason = await _unready(http, config.service_url(service))
                if reason is None:
                    del waiting[service]
                else:
                    waiting[service] = reason
            if waiting and any(child.restarts >= 3 for child in children):
                raise LaunchError("A service keeps dying; its reason is in the lines above.")
            if waiting and loop.time() > deadline:
                raise LaunchError("Not ready in time: " + "; ".join(f"{s}: {r}" for s, r in waiting.items()))
            if waiting and loop.time() > told:
                told = deadline
                console.step("still waiting: " + "; ".join(f"{s}: {r}" for s, r in waiting.items()))
            if waiting:
                await asyncio.sleep(0.1)
    console.good("all four services are ready")


async def _unready(http: httpx.AsyncClient, url: str) -> str | None:
    """Why a service is not ready, None if it is."""
    try:
        answer = await http.get(f"{url}/readyz")
    except httpx.TransportError:
        return "no answer yet"
    if answer.status_code == 200:
        return None
    return ", ".join(f"{check}: {why}" for check, why in answer.json().get("failing", {}).items())


async def wait_quiet(children: list[Child]) -> None:
    """Until what the processes say at their start has been printed: what is printed next stays in sight."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    last = begun
    while loop.time() - last < QUIET_SECONDS and loop.time() - begun < MOST_QUIET_SECONDS:
        await asyncio.sleep(0.05)
        last = max(begun, *(child.last_line_at for child in children))


async def wait_answering(url: str) -> None:
    """Until something answers at `url`, whatever it says; after a while, go on without."""
    deadline = asyncio.get_running_loop().time() + READY_SECONDS
    async with httpx.AsyncClient(timeout=2, trust_env=False) as http:
        while asyncio.get_running_loop().time() < deadline:
            with suppress(httpx.TransportError):
                await http.get(url)
                return
            await asyncio.sleep(0.1)


async def load_demo(config: ShopConfig, console: ShopConsole) -> None:
    if not config.demo:
        return
    console.step("loading the demo bookshop through the API")
    urls = ShopUrls(auth=config.service_url("auth"), catalog=config.service_url("catalog"))
    operator = OperatorLogin(config.secrets.operator_email, config.secrets.operator_password)
    try:
        report = await load_demo_shop(urls, operator)
        await _register_customer(config)
    except (DemoLoadError, httpx.HTTPError) as error:
        raise LaunchError(f"The demo shop could not be loaded: {error}") from error
    _tell_report(report, console)


def _tell_report(report: LoadReport, console: ShopConsole) -> None:
    for failure in report.failures:
        console.warn(failure)
    if report.created or report.completed:
        console.good(f"{report.created + report.completed} books are on the shelves")
    else:
        console.good(f"{report.already_there} books were on the shelves already")


async def _register_customer(config: ShopConfig) -> None:
    """The customer whose login is printed; that they exist already is fine."""
    body = {
        "email": config.secrets.customer_email,
        "password": config.secrets.customer_password,
        "name": "Demo Reader",
    }
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        answer = await http.post(f"{config.service_url('auth')}/auth/register", json=body)
    if answer.status_code not in {201, 409}:
        raise DemoLoadError(f"registering the demo customer answered {answer.status_code}")
