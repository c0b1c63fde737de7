"""What a process did to its files and sockets, read from `strace`'s own words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SYSCALLS: Final = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,fsync,fdatasync,sync_file_range,"
    "truncate,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,copy_file_range"
)
"""All that changes a file or speaks to somebody; not `msync`: a store maps its `-shm` only, and that is no data."""

OPTIONS: Final = ("-f", "-yy", "-xx", "-s", "200000", "-e", "signal=none", "-e", f"trace={SYSCALLS}")


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class SyncBegun:
    """A sync was asked for; it covers what was written before this moment. `by` is the thread."""

    path: str
    by: int


@dataclass(frozen=True, slots=True)
class SyncDone:
    """The sync that this thread asked for has returned 0. A directory's sync makes its entries last."""

    path: str
    by: int


@dataclass(frozen=True, slots=True)
class Create:
    path: str


@dataclass(frozen=True, slots=True)
class Unlink:
    path: str


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes handed to a socket: from then on the peer may have them. `socket` is `here->there`."""

    socket: str
    data: bytes


Event = Write | Truncate | SyncBegun | SyncDone | Create | Unlink | Send

_LINE: Final = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>(.*)|(\w+)\((.*))", re.DOTALL)
_FD: Final = re.compile(r"\d+<((?:\\x[0-9a-f]{2})+|TCP(?:v6)?:\[[^\]]*\])")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_AT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)", \d+, (\d+)')
_RESULT: Final = re.compile(r"= (-?\d+)[^=]*$")
_NAMED: Final = frozenset({"unlink", "unlinkat", "rename", "renameat", "renameat2"})


def read_trace(path: Path) -> Iterator[Event]:
    """The events of a trace in the order in which they became true.

    A write counts from its call on, since a power cut may catch it half done; a sync counts from its return.

    Raises:
        ValueError: a call changes files in a way this reader does not know.
    """
    begun: dict[int, str] = {}
    with path.open(errors="replace") as lines:
        for line in lines:
            match = _LINE.match(line)
            if match is None:
                continue
            thread, resumed, rest, name, arguments = match.groups()
            if resumed:
                yield from _ended(int(thread), resumed, begun.pop(int(thread), "") + rest)
                continue
            yield from _begun(int(thread), name, arguments)
            if arguments.rstrip().endswith("<unfinished ...>"):
                begun[int(thread)] = arguments.rstrip().removesuffix("<unfinished ...>")
            else:
                yield from _ended(int(thread), name, arguments)


def _begun(thread: int, name: str, arguments: str) -> Iterator[Event]:
    target = _target(arguments)
    match name:
        case "pwrite64":
            yield _positioned(target, arguments)
        case "write" | "writev" | "sendto" | "sendmsg" if target.startswith("TCP"):
            yield Send(target, b"".join(bytes.fromhex(t.replace("\\x", "")) for t, _ in _TEXT.findall(arguments)))
        case "fsync" | "fdatasync":
            yield SyncBegun(target, thread)


def _ended(thread: int, name: str, arguments: str) -> Iterator[Event]:
    result = _RESULT.search(arguments)
    succeeded = result is not None and int(result[1]) >= 0
    if not succeeded:
        return
    match name:
        case "fsync" | "fdatasync":
            yield SyncDone(_target(arguments), thread)
        case "openat" if "O_CREAT" in arguments:
            yield Create(_named(arguments))
        case "ftruncate":
            yield Truncate(_target(arguments), int(arguments.rsplit(", ", 1)[1].split(")")[0]))
        case "unlink" | "unlinkat":
            yield Unlink(_named(arguments))
        case "write" | "writev" if _is_store(_target(arguments)):
            raise ValueError(f"a store's file was written by {name}: {arguments[:200]}")
        case (
            "pwritev" | "pwritev2" | "fallocate" | "truncate" | "copy_file_range" | "rename" | "renameat" | "renameat2"
        ):
            if _is_store(_named(arguments) if name in _NAMED else _target(arguments)):
                raise ValueError(f"{name} is not in the model of the disk: {arguments[:200]}")


def _target(arguments: str) -> str:
    """What the first file descriptor stands for: a path, or `TCP:[…]`."""
    match = _FD.match(arguments)
    return "" if match is None else _decode(match[1])


def _named(arguments: str) -> str:
    match = _TEXT.search(arguments)
    return "" if match is None else _decode(match[1])


def _positioned(target: str, arguments: str) -> Write:
    match = _AT.search(arguments)
    if match is None:
        raise ValueError(f"the trace does not hold the whole write: {arguments[:200]}")
    return Write(target, int(match[2]), bytes.fromhex(match[1].replace("\\x", "")))


def _decode(text: str) -> str:
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def _is_store(path: str) -> bool:
    return ".db" in path and not path.endswith((".lock", "-shm"))
