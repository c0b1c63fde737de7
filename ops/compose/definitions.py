"""Writes the broker's definitions for the shop in containers: `python -m ops.compose.definitions FILE`.

Each user's password comes from `<USER>_BROKER_PASSWORD`; the file holds salted hashes only.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from chassis.topology import shop_rights
from ops.definitions import shop_definitions


def passwords(environment: Mapping[str, str]) -> dict[str, str]:
    """The password of every broker user; one that is not set is empty, which the definitions refuse."""
    return {rights.user: environment.get(f"{rights.user.upper()}_BROKER_PASSWORD", "") for rights in shop_rights()}


def write(path: Path, environment: Mapping[str, str]) -> None:
    """Put the definitions at `path` in one step: a broker that starts meanwhile reads the old ones or the new.

    Raises:
        ValueError: a user has no password.
    """
    document = json.dumps(shop_definitions(passwords(environment)), indent=2)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(document + "\n")
    temporary.chmod(0o644)  # the broker runs as another user
    temporary.replace(path)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m ops.compose.definitions FILE")
    try:
        write(Path(sys.argv[1]), os.environ)
    except ValueError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
