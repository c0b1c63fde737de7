"""Rebuilding a service's projections from outside: its own command, in a process of its own."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.config import ShopConfig
from ops.journal import NoJournalError, journal_url


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


async def projection_breaches(config: ShopConfig, state: Mapping[str, Any], services: Sequence[str]) -> list[str]:
    """For the audit: one sentence for each projection that is not what the journal makes of it.

    Raises:
        NoJournalError, RebuildError: as `rebuild_service`.
    """
    reports = await asyncio.gather(*(rebuild_service(config, state, each, "--check", "--json") for each in services))
    return [sentence for report in reports for sentence in breaches_of(json.loads(report.output))]


def breaches_of(document: Mapping[str, Any]) -> list[str]:
    """The sentences for one service's report."""
    return [
        f"{document['service']}: {found['table']} is not what the journal makes of it: "
        f"{len(found['missing'])} rows missing, {len(found['differing'])} different, {len(found['surplus'])} too many"
        for found in document["projections"]
        if not found["equal"]
    ]
