"""A disk that loses its power: what was synced is there, of what came after there is any part in any order.

Sectors of 512 bytes are written whole or not at all; everything larger may be torn. A new file is there for certain
only when its directory was synced, and a removed one may come back until then.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from tests.power.trace import Create, Event, Send, SyncBegun, SyncDone, Truncate, Unlink, Write

SECTOR: Final = 512


@dataclass(slots=True)
class _File:
    """`lasting` is what the platter holds; `pending` what the kernel has and the platter may or may not."""

    lasting: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)
    entry_lasts: bool = False
    syncs: dict[int, int] = field(default_factory=dict)

    def settle(self, count: int) -> None:
        for change in self.pending[:count]:
            _apply(self.lasting, change)
        del self.pending[:count]
        self.syncs = {thread: max(0, covered - count) for thread, covered in self.syncs.items()}

    def after_the_cut(self, rng: Random) -> bytes:
        content = bytearray(self.lasting)
        share = rng.choice((0.0, 0.5, 0.9, 1.0))
        for change in self.pending:
            if rng.random() < share:
                _apply(content, change, rng if rng.random() < 0.3 else None)
        return bytes(content)


class Disk:
    """One folder with a store, as the kernel and the platter have it. `-shm` files are memory and are left out."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self._folder = str(folder)
        self._now = {name: _File(bytearray(content), entry_lasts=True) for name, content in files.items()}
        self._removed: dict[str, _File] = {}
        (self.store,) = (name for name in files if name.endswith(".db"))

    @classmethod
    def of(cls, folder: Path) -> "Disk":
        """Take the folder as it is, all of it synced."""
        return cls(folder, {file.name: file.read_bytes() for file in folder.glob("*.db*") if not _memory(file.name)})

    def see(self, event: Event) -> None:
        """Follow the process by one step."""
        if isinstance(event, Send) or self._is_folder(event):
            return
        folder, _, name = event.path.rpartition("/")
        if folder != self._folder or _memory(name):
            return
        match event:
            case Write() | Truncate():
                self._file(name).pending.append(event)
            case SyncBegun():
                self._file(name).syncs[event.by] = len(self._file(name).pending)
            case SyncDone():
                file = self._file(name)
                file.settle(file.syncs.pop(event.by, 0))
            case Create():
                self._now.setdefault(name, _File())
            case Unlink():
                self._removed[name] = self._now.pop(name, _File())

    def cut(self, rng: Random) -> dict[str, bytes]:
        """The files somebody finds who switches the machine on again: one of the many ways it may have gone."""
        found: dict[str, bytes] = {}
        for name in self._now.keys() | self._removed.keys():
            file, gone = self._now.get(name), self._removed.get(name)
            if gone is not None and gone.entry_lasts and rng.random() < 0.5:
                found[name] = gone.after_the_cut(rng)
            elif file is not None and (file.entry_lasts or rng.random() < 0.5):
                found[name] = file.after_the_cut(rng)
        return found

    def synced(self) -> dict[str, bytes]:
        """The files if all that was not synced is lost."""
        return {name: bytes(file.lasting) for name, file in self._now.items() if file.entry_lasts}

    def _is_folder(self, event: Event) -> bool:
        """Whether it is about the folder itself: its sync makes names come and go for good."""
        if not isinstance(event, SyncBegun | SyncDone) or event.path != self._folder:
            return False
        if isinstance(event, SyncDone):
            self._removed.clear()
            for file in self._now.values():
                file.entry_lasts = True
        return True

    def _file(self, name: str) -> _File:
        return self._now.setdefault(name, _File())


def lay_out(files: Mapping[str, bytes], folder: Path) -> None:
    """Put an image where SQLite can open it, in place of what is there."""
    for old in folder.iterdir():
        if old.name not in files:
            old.unlink()
    for name, content in files.items():
        (folder / name).write_bytes(content)


def _apply(content: bytearray, change: Write | Truncate, torn: Random | None = None) -> None:
    """Make a change; with `torn`, only some of its sectors."""
    if isinstance(change, Truncate):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    end = change.offset + len(change.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    start = change.offset
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        if torn is None or torn.random() < 0.5:
            content[start:stop] = change.data[start - change.offset : stop - change.offset]
        start = stop


def _memory(name: str) -> bool:
    return name.endswith(("-shm", ".lock"))
