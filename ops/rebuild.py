"""Rebuilding a service's projections from outside: its own command, in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ops.audit import Check, Finding
from ops.config import ShopConfig
from ops.journal import NoJournalError, journal_url

PROJECTING: Final = ("order", "payment", "catalog")
"""auth_svc keeps nothing of others."""


class RebuildError(Exception):
    """The rebuild could not be done; the message is what the service's command said."""


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a service's command printed, and whether its projections equal their rebuild."""

    equal: bool
    output: str


async def rebuild_service(config: ShopConfig, state: Mapping[str, Any] | None, service: str, *options: str) -> Rebuilt:
    """Run `python -m order_svc rebuild` with the environment of the running shop. `--from FILE` needs no journal.

    Raises:
        NoJournalError: no shop runs, or it has no journal, and no file was given.
        RebuildError: the store is not there, the journal cannot be read, or a handler does what it must not.
    """
    environment = {**os.environ, **config.service_environment(service)}
    if "--from" not in options:
        if state is None:
            raise NoJournalError(f"No shop runs from {config.run_dir}, whose journal could be read.")
        environment["JOURNAL_URL"] = journal_url(state)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", f"{service}_svc", "rebuild", *options),
        env=environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await process.communicate()
    if process.returncode not in {0, 1} or (process.returncode == 1 and not output):
        raise RebuildError(f"{service}_svc: {errors.decode(errors='replace').strip() or 'ended without a word'}")
    return Rebuilt(process.returncode == 0, output.decode())


async def compared_projections(config: ShopConfig, state: Mapping[str, Any]) -> tuple[int, list[Finding]]:
    """For the audit: how many projections there are, and those that are not what the journal makes of them.

    Raises:
        NoJournalError, RebuildError: as `rebuild_service`.
    """
    reports = [await rebuild_service(config, state, service, "--check", "--json") for service in PROJECTING]
    documents = [json.loads(report.output) for report in reports]
    return sum(len(each["projections"]) for each in documents), [f for each in documents for f in breaches_of(each)]


def breaches_of(document: Mapping[str, Any]) -> list[Finding]:
    """What one service's report says is wrong; the ids are the keys of the rows."""
    return [_breach(document["service"], found) for found in document["projections"] if not found["equal"]]


def _breach(service: str, found: Mapping[str, Any]) -> Finding:
    missing, differing, surplus = found["missing"], found["differing"], found["surplus"]
    counts = f"{len(missing)} rows missing, {len(differing)} different, {len(surplus)} too many"
    text = f"{service}: {found['table']} is not what the journal makes of it: {counts}"
    return Finding(Check.PROJECTIONS, text, (*missing, *differing, *surplus))
