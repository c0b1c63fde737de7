"""Loads the shop's topology and users into a RabbitMQ cluster whose nodes all run: `python -m ops.kubernetes.topology`.

Environment: MANAGEMENT_URL, ADMIN_USER, ADMIN_PASSWORD, BROKER_NODES and `<USER>_BROKER_PASSWORD` for each user. Safe
to repeat: what is there stays, and a binding that is new in this version is added.
"""

import os
import sys
from collections.abc import Mapping

from ops.broker.management import ManagementApi, ManagementError
from ops.compose.definitions import passwords
from ops.definitions import shop_definitions


class NotYetError(Exception):
    """The cluster is not whole; whoever started this tries again later."""


def load(environment: Mapping[str, str]) -> None:
    """Load the definitions.

    A queue made while the cluster is still forming would have members on the nodes there are, so it waits for all.

    Raises:
        KeyError: a variable is missing.
        ValueError: a user has no password, or BROKER_NODES is no number.
        NotYetError: fewer than BROKER_NODES nodes run.
        ManagementError: the broker refused or did not answer.
    """
    wanted = int(environment["BROKER_NODES"])
    definitions = shop_definitions(passwords(environment))
    admin = environment["ADMIN_USER"], environment["ADMIN_PASSWORD"]
    with ManagementApi(environment["MANAGEMENT_URL"], *admin, timeout=60) as api:
        running = sum(1 for node in api.get("nodes") if node.get("running"))
        if running < wanted:
            raise NotYetError(f"{running} of {wanted} nodes run")
        api.load_definitions(definitions)


def main() -> None:
    try:
        load(os.environ)
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set")
    except (NotYetError, ManagementError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
