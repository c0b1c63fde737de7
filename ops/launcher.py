"""`shop up`: from nothing to a running shop, step by step, and back to nothing on Ctrl-C."""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx

from chassis.topology import shop_topology
from chassis.transport.amqp import TopologyError, apply_topology
from ops.broker import BrokerStartError, PortTakenError, PrivateBroker, RabbitNotInstalledError, find_installation
from ops.broker.ports import require_free
from ops.config import SERVICES, ShopConfig, read_state
from ops.console import ShopConsole
from ops.definitions import shop_definitions
from ops.demo.loader import DemoLoadError, LoadReport, OperatorLogin, ShopUrls, load_demo_shop
from ops.install import apt_install, can_install
from ops.processes import Child, ChildFailedError, ChildSpec, run_once

ROOT: Final = Path(__file__).resolve().parent.parent
READY_SECONDS: Final = 60.0
BROKER_WATCH_SECONDS: Final = 2.0


class LaunchError(Exception):
    """The shop cannot start; the message says why and what to do."""


async def up(config: ShopConfig, console: ShopConsole, *, stay: bool = True) -> None:
    """Start everything, tell where it is, and keep it running until SIGINT or SIGTERM.

    Raises:
        LaunchError: something is in the way.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        starting = asyncio.create_task(_start(config, console, stack))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
        try:
            await starting
        except asyncio.CancelledError:
            console.step("stopping before it was up")
        else:
            if stay:
                await stopped
            console.step("stopping (everything accepted is kept; a second start goes on with it)")
        finally:
            stopped.cancel()
    console.good("stopped")


async def _start(config: ShopConfig, console: ShopConsole, stack: AsyncExitStack) -> None:
    begun = asyncio.get_running_loop().time()
    _refuse_second(config)
    _check_ports(config)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    state = _State(config)
    stack.callback(state.remove)
    if not config.embedded:
        await stack.enter_async_context(_broker(config, console))
    children = await stack.enter_async_context(_services(config, console, state))
    edge = await stack.enter_async_context(_edge(config, console, state))
    await _wait_ready(config, console, children)
    await _load_demo(config, console)
    state.children = {child.spec.name: child for child in (*children, *edge)}
    state.write(ready=True)
    console.good(f"the shop is open ({asyncio.get_running_loop().time() - begun:.0f} s)")
    console.addresses(_addresses(config, has_edge=bool(edge)))


def _addresses(config: ShopConfig, *, has_edge: bool) -> dict[str, str]:
    secrets = config.secrets
    rows = {"storefront": config.edge_url} if has_edge else {}
    rows |= {f"{service} API": f"{config.service_url(service)}/docs" for service in SERVICES}
    if not config.embedded and not config.amqp_url:
        rows["RabbitMQ"] = f"{config.management_url}  (monitoring / {secrets.broker['monitoring']})"
    if config.demo:
        rows["customer"] = f"{secrets.customer_email} / {secrets.customer_password}"
    rows["operator"] = f"{secrets.operator_email} / {secrets.operator_password}"
    rows["for scripts"] = str(config.state_file)
    rows["stop"] = "Ctrl-C"
    return rows


class _State:
    """The file that tells scripts where the shop is; kept up to date when a process is started again."""

    def __init__(self, config: ShopConfig) -> None:
        self._config = config
        self._ready = False
        self.children: dict[str, Child] = {}

    def write(self, *, ready: bool | None = None) -> None:
        self._ready = self._ready if ready is None else ready
        config, secrets = self._config, self._config.secrets
        document: dict[str, Any] = {
            "ready": self._ready,
            "pid": os.getpid(),
            "embedded": config.embedded,
            "edge": config.edge_url,
            "services": {service: config.service_url(service) for service in SERVICES},
            "pids": {name: child.pid for name, child in self.children.items()},
            "operator": {"email": secrets.operator_email, "password": secrets.operator_password},
            "customer": {"email": secrets.customer_email, "password": secrets.customer_password},
        }
        if not config.embedded:
            document["amqp"] = {"monitoring": config.broker_url("monitoring")}
            if not config.amqp_url:
                document["management"] = {
                    "url": config.management_url,
                    "user": "monitoring",
                    "password": secrets.broker["monitoring"],
                }
        temporary = config.state_file.with_suffix(".tmp")
        temporary.touch(mode=0o600)
        temporary.write_text(json.dumps(document, indent=2))
        temporary.replace(config.state_file)

    def changed(self) -> None:
        if self._ready:
            self.write()

    def remove(self) -> None:
        self._config.state_file.unlink(missing_ok=True)


def _refuse_second(config: ShopConfig) -> None:
    state = read_state(config.state_file)
    if state is None:
        return
    try:
        os.kill(int(state["pid"]), 0)
    except (ProcessLookupError, KeyError, ValueError):
        return  # left behind by one that was killed
    except PermissionError:
        pass
    raise LaunchError(f"A shop runs from {config.run_dir} already (pid {state['pid']}). Stop it, or set RUN_DIR.")


def _check_ports(config: ShopConfig) -> None:
    wanted = {"edge_port": "the storefront"} | {f"{s}_port": f"the {s} service" for s in SERVICES}
    for name, purpose in wanted.items():
        try:
            require_free(getattr(config.ports, name), purpose)
        except PortTakenError as error:
            raise LaunchError(f"{error} Stop that program or choose another: {name.upper()}=… make run") from None


@asynccontextmanager
async def _broker(config: ShopConfig, console: ShopConsole) -> AsyncIterator[None]:
    if config.amqp_url:
        console.step("using the broker of AMQP_URL; declaring the shop's exchanges and queues on it")
        try:
            await apply_topology(config.amqp_url, shop_topology())
        except (TopologyError, OSError) as error:
            raise LaunchError(f"The broker of AMQP_URL cannot be used: {error}") from error
        yield
        return
    _require_rabbitmq(console)
    ports = config.ports
    broker = PrivateBroker(
        config.run_dir / "broker",
        "orderflow",
        amqp_port=ports.amqp_port,
        management_port=ports.management_port,
        dist_port=ports.broker_dist_port,
        epmd_port=ports.broker_epmd_port,
    )
    console.step("starting a private RabbitMQ node")
    try:
        seconds = await asyncio.to_thread(broker.start, shop_definitions(config.secrets.broker))
    except PortTakenError as error:
        raise LaunchError(
            f"{error} Choose others: AMQP_PORT, MANAGEMENT_PORT, BROKER_DIST_PORT, BROKER_EPMD_PORT"
        ) from None
    except BrokerStartError as error:
        raise LaunchError(str(error)) from None
    console.good(f"RabbitMQ is up ({seconds:.0f} s)")
    watch = asyncio.create_task(_watch_broker(broker, console))
    try:
        yield
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        await asyncio.to_thread(broker.stop)


def _require_rabbitmq(console: ShopConsole) -> None:
    try:
        find_installation()
    except RabbitNotInstalledError as error:
        if can_install() and apt_install("rabbitmq-server", console):
            find_installation()
            return
        raise LaunchError(
            f"{error}\n"
            "  Install it (sudo apt-get install rabbitmq-server), or use a broker you have (AMQP_URL=… make run),\n"
            "  or none at all (make run EMBEDDED=1), or containers (docker compose up)."
        ) from None


async def _watch_broker(broker: PrivateBroker, console: ShopConsole) -> None:
    while True:
        await asyncio.sleep(BROKER_WATCH_SECONDS)
        if broker.pid is None:
            console.warn("RabbitMQ died; starting it again (services keep taking orders meanwhile)")
            try:
                seconds = await asyncio.to_thread(broker.restart)
            except (BrokerStartError, PortTakenError) as error:
                console.fail(str(error))
            else:
                console.good(f"RabbitMQ is back ({seconds:.0f} s)")


@asynccontextmanager
async def _services(config: ShopConfig, console: ShopConsole, state: _State) -> AsyncIterator[list[Child]]:
    packages = [f"{service}_svc" for service in SERVICES]
    environment = {service: config.service_environment(service) for service in SERVICES}
    if config.embedded:
        console.step("starting the four services in one process, with a broker in its memory")
        together = {name: value for own in environment.values() for name, value in own.items()}
        specs = [ChildSpec("shop", [sys.executable, "-m", "chassis.host", *packages], together)]
    else:
        console.step("bringing the four stores to the newest schema")
        migrations = [
            ChildSpec(f"{service} migrate", [sys.executable, "-m", f"{service}_svc", "migrate"], environment[service])
            for service in SERVICES
        ]
        try:
            await asyncio.gather(*(run_once(spec) for spec in migrations))
        except ChildFailedError as error:
            raise LaunchError(str(error)) from None
        console.step("starting the four services")
        specs = [
            ChildSpec(service, [sys.executable, "-m", f"{service}_svc", "serve"], environment[service])
            for service in SERVICES
        ]
    children = [Child(spec, console, state.changed) for spec in specs]
    try:
        for child in children:
            await child.start()
        yield children
    finally:
        await asyncio.gather(*(child.stop() for child in children))


@asynccontextmanager
async def _edge(config: ShopConfig, console: ShopConsole, state: _State) -> AsyncIterator[list[Child]]:
    if shutil.which("caddy") is None and not (can_install() and apt_install("caddy", console)):
        console.warn("Caddy is not installed, so there is no storefront (sudo apt-get install caddy); the APIs work")
        yield []
        return
    ports = config.ports
    caddyfile = ROOT / "edge" / "Caddyfile"
    environment = {
        "EDGE_PORT": str(ports.edge_port),
        "EDGE_ROOT": str(ROOT / "edge" / "static"),
        "XDG_DATA_HOME": str(config.run_dir / "caddy"),
        "XDG_CONFIG_HOME": str(config.run_dir / "caddy"),
        **{f"{service.upper()}_UPSTREAM": f"127.0.0.1:{ports.of(service)}" for service in SERVICES},
    }
    command = ["caddy", "run", "--config", str(caddyfile), "--adapter", "caddyfile"]
    child = Child(ChildSpec("edge", command, environment), console, state.changed)
    await child.start()
    try:
        yield [child]
    finally:
        await child.stop()


async def _wait_ready(config: ShopConfig, console: ShopConsole, children: list[Child]) -> None:
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


async def _load_demo(config: ShopConfig, console: ShopConsole) -> None:
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
