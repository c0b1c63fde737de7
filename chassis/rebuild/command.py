"""`python -m order_svc rebuild`: the rebuild of one service, from its own composition root, nothing of it started."""

import argparse
import asyncio
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError

from chassis.rebuild.journal import BrokerJournal, FileJournal, JournalUnavailableError
from chassis.rebuild.reading import Reading
from chassis.rebuild.rebuild import Comparison, Rebuild, Report
from chassis.rebuild.scratch import SideEffectError, scratch
from chassis.runtime import Runtime
from chassis.seedwork import DomainError
from chassis.settings import ServiceSettings

SHOWN: Final = 10


def rebuild_command(runtime: Runtime[Any], settings: ServiceSettings, arguments: Sequence[str]) -> int:
    """Run it and print the report. 0: projections equal their rebuild, 1: they do not, 2: it could not be told."""
    options = _parser(f"{runtime.name}_svc").parse_args(arguments)
    try:
        report = asyncio.run(_run(runtime, settings, options))
    except (JournalUnavailableError, SideEffectError, DomainError, SQLAlchemyError, OSError) as error:
        sys.stderr.write(str(error).partition("\n")[0] + "\n")  # of a database's error not the statement
        return 2
    if options.json:
        sys.stdout.write(json.dumps(document(report), indent=2) + "\n")
    else:
        sys.stdout.write("\n".join(lines(report)) + "\n")
    return 0 if report.equal else 1


def document(report: Report) -> dict[str, Any]:
    """The report as JSON; rows are named by their keys only."""
    reading = report.reading
    return {
        "service": report.service,
        "equal": report.equal,
        "journal": {
            "entries": reading.entries,
            "first": reading.first,
            "last": reading.last,
            "handled": reading.handled,
            "undecodable": reading.undecodable,
            "refused": [{"id": str(each.event_id), "type": each.type, "error": each.error} for each in reading.refused],
            "cut": reading.cut,
        },
        "projections": [dataclasses.asdict(each) | {"equal": each.equal} for each in report.comparisons],
        "mended": {table: dataclasses.asdict(mended) for table, mended in report.mended.items()},
    }


def lines(report: Report) -> Iterator[str]:
    """The report for a person."""
    if not report.comparisons:
        yield f"{report.service}_svc keeps nothing of other services' facts: there is nothing to rebuild"
        return
    reading = report.reading
    yield f"read {reading.entries} journal entries, {reading.handled} of them for {report.service}_svc's projections"
    if reading.cut:
        yield f"not all of history: {reading.cut}. Rows that only the store has are kept and not counted"
    if reading.undecodable:
        yield f"skipped {len(reading.undecodable)} entries that are no events, at offsets {_some(reading.undecodable)}"
    for refused in reading.refused[:SHOWN]:
        yield f"refused by its handler, as when it came: {refused.type} {refused.event_id}: {refused.error}"
    for table, mended in report.mended.items():
        if mended.written or mended.deleted:
            yield f"{table}: {mended.written} rows written, {mended.deleted} deleted"
    for comparison in report.comparisons:
        yield from _comparison_lines(comparison)


def _comparison_lines(found: Comparison) -> Iterator[str]:
    if found.equal:
        yield f"{found.table}: {found.rows} rows, equal to their rebuild (sha256 {found.live[:16]})"
    else:
        yield f"{found.table}: {found.rows} rows, NOT equal to their rebuild"
    if found.moving:
        yield f"  {found.moving} rows were changing all the time and were not judged"
    for what, keys in (
        ("missing", found.missing),
        ("different", found.differing),
        ("only in the store", found.surplus),
        ("not to be judged, their first events are gone", found.unjudged),
    ):
        if keys:
            yield f"  {what}: {len(keys)}: {_some(keys)}"


def _some(items: Sequence[object]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(str(item) for item in items[:SHOWN]) + more


def _parser(package: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {package} rebuild",
        description="Make the projections again from the journal, with side effects off, and compare.",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="only compare (the default)")
    what.add_argument("--apply", action="store_true", help="write what is missing or different into the store")
    parser.add_argument("--from", dest="file", type=Path, help="a file of events, one a line, instead of the journal")
    parser.add_argument(
        "--force-complete", action="store_true", help="with --apply: delete rows the journal knows nothing of"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    return parser


async def _run(runtime: Runtime[Any], settings: ServiceSettings, options: argparse.Namespace) -> Report:
    if not runtime.definition.projections:
        return Report(runtime.name, Reading(), ())
    journal = FileJournal(options.file) if options.file else BrokerJournal(settings.journal_url or settings.amqp_url)
    try:
        async with scratch(runtime.definition) as beside:
            rebuild = Rebuild(runtime.definition, beside, runtime.reader, journal, runtime.clock)
            if not options.apply:
                return await rebuild.check()
            await runtime.writer.start()
            try:
                return await rebuild.apply(runtime.writer, delete_surplus=options.force_complete)
            finally:
                await runtime.writer.stop()
    finally:
        await runtime.store.close()
