"""Fills the shelves of the shop in containers through its edge: `python -m ops.compose.demo`. Safe to repeat.

Environment: EDGE_URL, OPERATOR_EMAIL, OPERATOR_PASSWORD, CUSTOMER_EMAIL, CUSTOMER_PASSWORD.
"""

import asyncio
import os
import sys
from collections.abc import Mapping

import httpx

from ops.demo.loader import DemoLoadError, OperatorLogin, ShopUrls, load_demo_shop


async def load(environment: Mapping[str, str]) -> list[str]:
    """Load the books and register the demo customer; what failed, one line each.

    Raises:
        DemoLoadError: the operator could not log in.
        KeyError: a variable is missing.
        httpx.HTTPError: the edge cannot be reached.
    """
    edge = environment["EDGE_URL"]
    operator = OperatorLogin(environment["OPERATOR_EMAIL"], environment["OPERATOR_PASSWORD"])
    report = await load_demo_shop(ShopUrls.at_edge(edge), operator)
    customer = {
        "email": environment["CUSTOMER_EMAIL"],
        "password": environment["CUSTOMER_PASSWORD"],
        "name": "Demo Reader",
    }
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:
        answer = await http.post(f"{edge}/auth/register", json=customer)
    registered = answer.status_code in {201, 409}  # 409: an earlier run did it
    return report.failures + ([] if registered else [f"registering the customer answered {answer.status_code}"])


def main() -> None:
    try:
        failures = asyncio.run(load(os.environ))
    except KeyError as error:
        sys.exit(f"{error.args[0]} is not set")
    except (DemoLoadError, httpx.HTTPError) as error:
        sys.exit(f"the demo shop could not be loaded: {error}")
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
