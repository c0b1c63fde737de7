"""When audits are run, one at a time, and what came of the last one."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx
import structlog

from ops.audit import Report, audit, keep_report, kept_report, running_source
from ops.config import ShopConfig
from ops.shop_api import ManagementError, ShopNotRunningError, explained, running_shop

log = structlog.get_logger("auditor")

FIRST_SECONDS: Final = 15.0
"""From the start to the first: what opening a shop sends has come to rest by then."""

Take = Callable[[], Awaitable[Report]]
Explain = Callable[[httpx.HTTPError], str]


class AuditDesk:
    """Audits every `every` seconds (0: only when asked) and keeps the last result in `file`."""

    def __init__(
        self, take: Take, file: Path, *, every: float, first: float = FIRST_SECONDS, explain: Explain = explained
    ) -> None:
        self._take = take
        self._explain = explain
        self._file = file
        self._every = every
        self._first = first
        self._asked = asyncio.Event()
        self._running = False
        self._trouble: dict[str, str] | None = None

    def ask(self) -> None:
        """Have one run now; one that runs already is the one."""
        if not self._running:
            self._asked.set()

    def told(self) -> dict[str, Any]:
        """`last`: the last result or null; `trouble`: when and why a later attempt gave none. Times are ISO 8601."""
        return {
            "now": datetime.now(UTC).isoformat(),
            "running": self._running or self._asked.is_set(),
            "every_seconds": self._every,
            "last": kept_report(self._file),
            "trouble": self._trouble,
        }

    async def work(self) -> None:
        """Until cancelled. An audit that fails is told, and the next one comes in its time."""
        pause = self._first
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(pause, self._every) if self._every else None):
                    await self._asked.wait()
            await self._run()
            pause = self._every

    async def _run(self) -> None:
        self._running = True
        self._asked.clear()
        try:
            report = await self._take()
            await asyncio.to_thread(keep_report, self._file, report)
            self._trouble = None
            told = log.debug if report.sound else log.error
            told("auditor.audited", result=report.result, breaches=len(report.breaches), looks=report.looks)
        except (ShopNotRunningError, OSError) as error:
            self._failed(str(error))
        except httpx.HTTPError as error:
            self._failed(self._explain(error))
        except ManagementError as error:
            self._failed(f"broker: {error}")
        except Exception as error:
            log.exception("auditor.bug")
            self._failed(f"the audit itself failed ({type(error).__name__}); the auditor's log says where")
        finally:
            self._running = False

    def _failed(self, reason: str) -> None:
        self._trouble = {"at": datetime.now(UTC).isoformat(), "text": reason}
        log.warning("auditor.not_audited", reason=reason)


async def audit_running_shop(config: ShopConfig) -> Report:
    """Raises: ShopNotRunningError, httpx.HTTPError, ManagementError."""
    async with running_shop(config) as shop:
        return await audit(running_source(shop))
