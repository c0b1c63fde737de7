"""The command line every service has: `python -m order_svc serve|migrate|rebuild`, and its real environment."""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from fastapi import FastAPI
from pydantic import ValidationError

from chassis.clock import SystemClock
from chassis.db import Store
from chassis.failpoints import Failpoints
from chassis.ids import Uuid7
from chassis.logs import configure_logging
from chassis.migrate import migrate, pending_migrations
from chassis.rebuild.command import rebuild_command
from chassis.runtime import Environment, Runtime
from chassis.serve import serve
from chassis.settings import ServiceSettings
from chassis.telemetry import Metrics
from chassis.topology import shop_topology
from chassis.tracing import Tracer
from chassis.tracing.start import TracingPackagesMissingError, tracer_for
from chassis.transport.amqp import AmqpTransport

SettingsT = TypeVar("SettingsT", bound=ServiceSettings)
Command = Callable[[SettingsT, Sequence[str]], None]


def main(
    package: str,
    settings_type: type[SettingsT],
    build: Callable[[SettingsT, Environment], FastAPI],
    *,
    commands: Mapping[str, Command[SettingsT]] | None = None,
) -> None:
    """Run one of a service's commands; `commands` are those it has beside `serve`, `migrate` and `rebuild`."""
    extra = dict(commands or {})
    parser = argparse.ArgumentParser(prog=f"python -m {package}")
    parser.add_argument("command", choices=["serve", "migrate", "rebuild", *extra])
    arguments, rest = parser.parse_known_args()
    if rest and arguments.command in {"serve", "migrate"}:
        parser.error(f"unexpected arguments: {' '.join(rest)}")
    try:
        settings = settings_type()
    except ValidationError as error:
        _give_up("; ".join(": ".join([*map(str, e["loc"]), e["msg"]]) for e in error.errors(include_input=False)))
    configure_logging(settings.service, level=settings.log_level, style=settings.log_format)
    if arguments.command == "migrate":
        migrate(package, settings.database_url)
        return
    if pending_migrations(package, settings.database_url):
        _give_up(f"the store is not at the newest schema: run `python -m {package} migrate` first")
    if arguments.command == "serve":
        serve(build(settings, real_environment(settings)), settings)
    elif arguments.command == "rebuild":
        configure_logging(settings.service, level="error", style=settings.log_format)  # its handlers' news is old
        runtime: Runtime[Any] = build(settings, real_environment(settings)).state.runtime
        raise SystemExit(rebuild_command(runtime, settings, rest))
    else:
        extra[arguments.command](settings, rest)


def real_environment(settings: ServiceSettings) -> Environment:
    """The machine's clock, the store and the broker the settings name, failpoints from `FAILPOINT`."""
    clock = SystemClock()
    return Environment(
        store=Store(settings.database_url),
        transport=AmqpTransport(settings.amqp_url, shop_topology(), service=settings.service, clock=clock),
        clock=clock,
        ids=Uuid7(clock),
        observer=Metrics(),
        tracer=_tracer(settings),
        failpoints=Failpoints.from_environment(settings.service),
        broker_page=settings.broker_page,
    )


def _tracer(settings: ServiceSettings) -> Tracer:
    try:
        return tracer_for(settings)
    except TracingPackagesMissingError as error:
        _give_up(str(error))


def _give_up(reason: str) -> NoReturn:
    sys.stderr.write(f"{reason}\n")
    raise SystemExit(2)
