"""`shop up`: from nothing to a running shop, step by step, and back to nothing on Ctrl-C."""

import asyncio
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Final

from chassis.topology import shop_topology
from chassis.transport.amqp import TopologyError, apply_topology
from ops.broker import BrokerStartError, PortTakenError, PrivateBroker, RabbitNotInstalledError, find_installation
from ops.broker.ports import require_free
from ops.config import SERVICES, ShopConfig
from ops.console import ShopConsole
from ops.definitions import shop_definitions
from ops.install import apt_install, can_install
from ops.opening import LaunchError, load_demo, wait_answering, wait_quiet, wait_ready
from ops.processes import Child, ChildFailedError, ChildSpec, run_once
from ops.state import ShopState, running_pid

ROOT: Final = Path(__file__).resolve().parent.parent
BROKER_WATCH_SECONDS: Final = 2.0


async def up(config: ShopConfig, console: ShopConsole) -> None:
    """Open a shop and keep it running until SIGINT or SIGTERM.

    Raises:
        LaunchError: see `open_shop`.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = asyncio.create_task(_run_until(stop, config, console))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not running.done() and not console.opened:
        console.step("stopping before it was open")
        running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    console.good("stopped")


async def _run_until(stop: asyncio.Event, config: ShopConfig, console: ShopConsole) -> None:
    async with open_shop(config, console):
        console.opened = True
        await stop.wait()
        console.step("stopping (everything accepted is kept; the next start goes on with it)")


@asynccontextmanager
async def open_shop(config: ShopConfig, console: ShopConsole) -> AsyncIterator[None]:
    """A running, ready and stocked shop; leaving the context stops it and loses nothing.

    Raises:
        LaunchError: something is in the way.
    """
    begun = asyncio.get_running_loop().time()
    if pid := running_pid(config):
        raise LaunchError(f"A shop runs from {config.run_dir} already (pid {pid}). Stop it, or set RUN_DIR.")
    _check_ports(config)
    config.run_dir.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as stack:
        state = ShopState(config)
        stack.callback(state.remove)
        if not config.embedded:
            await stack.enter_async_context(_broker(config, console))
        children = await stack.enter_async_context(_services(config, console, state))
        edge = await stack.enter_async_context(_edge(config, console, state))
        await wait_ready(config, console, children)
        await load_demo(config, console)
        state.children = {child.spec.name: child for child in (*children, *edge)}
        state.write(ready=True)
        if edge:  # who reads it, reads it there
            state.children["auditor"] = await stack.enter_async_context(_auditor(config, console, state))
            state.changed()
            await wait_answering(f"http://127.0.0.1:{config.ports.auditor_port}/audit")
        await wait_quiet([*state.children.values()])
        console.good(f"the shop is open ({asyncio.get_running_loop().time() - begun:.0f} s)")
        console.addresses(_addresses(config, has_edge=bool(edge)))
        yield


def _addresses(config: ShopConfig, *, has_edge: bool) -> dict[str, str]:
    secrets = config.secrets
    rows = {"storefront": config.edge_url, "operators' page": f"{config.edge_url}/ops"} if has_edge else {}
    rows |= {f"{service} API": f"{config.service_url(service)}/docs" for service in SERVICES}
    if not config.embedded and not config.amqp_url:
        rows["RabbitMQ"] = config.management_url
        rows["RabbitMQ login"] = f"monitoring / {secrets.broker['monitoring']}"
    if config.demo:
        rows["customer"] = f"{secrets.customer_email} / {secrets.customer_password}"
    if config.remote_provider:
        rows["provider"] = config.service_environment("payment")["PAYMENT_PROVIDER_URL"]
    rows["operator"] = f"{secrets.operator_email} / {secrets.operator_password}"
    rows["for scripts"] = str(config.state_file)
    rows["stop"] = "Ctrl-C"
    return rows


def _check_ports(config: ShopConfig) -> None:
    wanted = {"edge_port": "the storefront"} | {f"{s}_port": f"the {s} service" for s in SERVICES}
    wanted["auditor_port"] = "the auditor"
    if config.remote_provider:
        wanted["provider_port"] = "the payment provider"
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
async def _services(config: ShopConfig, console: ShopConsole, state: ShopState) -> AsyncIterator[list[Child]]:
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
    if config.remote_provider:
        console.step("the payment provider is a process of its own")
        command = [sys.executable, "-m", "payment_svc.providers.simulator"]
        specs.insert(0, ChildSpec("provider", command, config.provider_environment()))
    children = [Child(spec, console, state.changed) for spec in specs]
    try:
        for child in children:
            await child.start()
        yield children
    finally:
        await asyncio.gather(*(child.stop() for child in children))


@asynccontextmanager
async def _edge(config: ShopConfig, console: ShopConsole, state: ShopState) -> AsyncIterator[list[Child]]:
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
        **{f"{service.upper()}_UPSTREAM": f"127.0.0.1:{ports.of(service)}" for service in (*SERVICES, "auditor")},
    }
    command = ["caddy", "run", "--config", str(caddyfile), "--adapter", "caddyfile"]
    child = Child(ChildSpec("edge", command, environment), console, state.changed)
    await child.start()
    try:
        yield [child]
    finally:
        await child.stop()


@asynccontextmanager
async def _auditor(config: ShopConfig, console: ShopConsole, state: ShopState) -> AsyncIterator[Child]:
    spec = ChildSpec("auditor", [sys.executable, "-m", "ops.auditor"], config.environment())
    child = Child(spec, console, state.changed)
    await child.start()
    try:
        yield child
    finally:
        await child.stop()
