"""One JSON object per line on stdout, with the conversation it belongs to; readable colours when a person watches.

Fields are plain values only, names that smell of a secret are blanked, and e-mail addresses, tokens and passwords in
URLs are scrubbed from every string, tracebacks and other libraries' messages included.
"""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID

import orjson
import structlog
from structlog.typing import Processor

from chassis.context import current_context

MAX_TEXT: Final = 1_000
MAX_TRACEBACK: Final = 8_000

_SECRET_NAME: Final = re.compile(
    r"(?:^|_)(?:password|passphrase|secret|token|authorization|cookie|e?mail|body|payload|card|private_key)(?:_|$)",
    re.IGNORECASE,
)
_SCRUBBED: Final = (
    (re.compile(r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]+"), "[token]"),
    (re.compile(r"(?<=://)[^/\s:@]{1,100}:[^/\s@]{1,200}@"), "[credentials]@"),
    (re.compile(r"[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[address]"),
    (re.compile(r"\[parameters: .*?\]$", re.MULTILINE), "[parameters]"),
)
_QUIET: Final = {
    **dict.fromkeys(
        ("uvicorn.access", "aiosqlite", "asyncio", "alembic", "httpx", "httpcore", "urllib3"), logging.WARNING
    ),
    **dict.fromkeys(("aio_pika", "aiormq"), logging.CRITICAL),  # our supervisor tells what they meet, once
    "opentelemetry": logging.ERROR,  # a collector that is away: each batch that is lost, not each try to send it
}


def configure_logging(service: str, *, level: str = "info", style: Literal["json", "console", "auto"] = "auto") -> None:
    """Route structlog and the standard library's loggers to stdout. Call it once, first thing in a process."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    numeric = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Stamp(service),
        structlog.processors.format_exc_info,
        clean,
    ]
    structlog.configure(
        processors=[*shared, _console() if console else _to_json],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=_Stdout,
        cache_logger_on_first_use=True,
    )
    handler = _StdoutHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _console() if console else _to_json,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=numeric, force=True)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(numeric, quiet))
    logging.captureWarnings(True)


def clean(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The fields that may be logged, as values that are safe to print on one line."""
    for name, value in event.items():
        if name.startswith("_"):
            continue
        event[name] = "[hidden]" if _SECRET_NAME.search(name) and value is not None else _plain(name, value)
    return event


class _Stdout:
    """Writes whole lines to whatever stdout is at that moment."""

    def __init__(self, *_name: object) -> None:
        """structlog hands over the logger's name; lines carry what they need themselves."""

    def msg(self, line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    debug = info = warning = error = critical = exception = msg


class _StdoutHandler(logging.Handler):
    """The same for other libraries' records."""

    def emit(self, record: logging.LogRecord) -> None:
        _Stdout().msg(self.format(record))


class _Stamp:
    """Adds the service and the current conversation's ids."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event.setdefault("service", self._service)
        context = current_context()
        if context is not None:
            event.setdefault("correlation_id", context.correlation_id)
            if context.causation_id is not None:
                event.setdefault("causation_id", context.causation_id)
        return event


def _plain(name: str, value: Any) -> Any:
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if abs(value) < 2**63 else str(value)[:100]
        case Enum():
            return str(value.value)
        case str():
            return _scrub(value, MAX_TRACEBACK if name == "exception" else MAX_TEXT)
        case UUID() | datetime() | timedelta():
            return str(value)
        case list() | tuple() | set() | frozenset():
            return [_plain(name, item) for item in list(value)[:20]]
        case Mapping():
            return {str(key): _plain(str(key), item) for key, item in list(value.items())[:20]}
        case BaseException():
            return _scrub(f"{type(value).__name__}: {value}", MAX_TEXT)
        case _:
            return f"<{type(value).__name__}>"


def _scrub(text: str, limit: int) -> str:
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()  # a lone surrogate cannot be written
    for pattern, replacement in _SCRUBBED:
        text = pattern.sub(replacement, text)
    if len(text) <= limit:
        return text
    half = limit // 2  # the end of a traceback says most
    return f"{text[:half]} … ({len(text)} characters) … {text[-half:]}"


def _to_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    ordered = {"time": event.pop("timestamp", None), "level": event.pop("level", None), **event}
    return orjson.dumps(ordered, default=str).decode()


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), sort_keys=False)
