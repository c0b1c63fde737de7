"""Finding RabbitMQ's and Erlang's programs on this machine."""

import shutil
from dataclasses import dataclass
from pathlib import Path

_DEBIAN = Path("/usr/lib/rabbitmq/bin")
_WRAPPER_MARK = "su rabbitmq"


class RabbitNotInstalledError(Exception):
    """A program is missing; the message says which and what to do."""


@dataclass(frozen=True, slots=True)
class Installation:
    """The programs of one RabbitMQ installation."""

    server: Path
    ctl: Path
    epmd: Path


def find_installation() -> Installation:
    """The installed RabbitMQ.

    Debian's `/usr/sbin/rabbitmq-server` is a wrapper that switches the user and loses the environment, so the script
    behind it is taken.

    Raises:
        RabbitNotInstalledError: there is none that can be run directly.
    """
    scripts = _DEBIAN if (_DEBIAN / "rabbitmq-server").exists() else _on_path()
    epmd = shutil.which("epmd")
    if epmd is None:
        raise RabbitNotInstalledError("Erlang's epmd is not installed (Debian: apt-get install rabbitmq-server).")
    return Installation(scripts / "rabbitmq-server", scripts / "rabbitmqctl", Path(epmd))


def _on_path() -> Path:
    found = shutil.which("rabbitmq-server")
    if found is None:
        raise RabbitNotInstalledError("rabbitmq-server is not installed (Debian: apt-get install rabbitmq-server).")
    script = Path(found).resolve()
    if _WRAPPER_MARK in script.read_text(errors="replace"):
        raise RabbitNotInstalledError(f"{found} is a wrapper that cannot start a private node.")
    return script.parent
