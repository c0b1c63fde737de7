"""TCP ports of the loopback: is one free, and if not, who has it."""

import contextlib
import socket
from pathlib import Path


class PortTakenError(Exception):
    """Something listens where we want to; the message says where and, if it can be known, who."""


def free_port() -> int:
    """A port nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, purpose: str) -> None:
    """Check that a port of the loopback can be listened on.

    Raises:
        PortTakenError: it cannot.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            owner = listener_of(port)
            whose = f"by {owner}" if owner else f"({error.strerror})"
            raise PortTakenError(f"Port {port}, wanted for {purpose}, is taken {whose}.") from error


def listener_of(port: int) -> str:
    """The program listening on a port as `name (pid 123)`, or empty: other users' processes cannot be seen."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").glob("[0-9]*") if inodes else ():
        with contextlib.suppress(OSError):  # it ended, or is not ours to look into
            if any(str(link.readlink()) in inodes for link in (folder / "fd").iterdir()):
                return f"{(folder / 'comm').read_text().strip()} (pid {folder.name})"
    return ""


def _listening_inodes(port: int) -> list[str]:
    lines: list[str] = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):  # not Linux, or no IPv6: then nobody is known
            lines += Path(table).read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return [field[9] for field in fields if field[3] == "0A" and int(field[1].rpartition(":")[2], 16) == port]
