"""`python -m tests.lying_provider --orders 5000`: the trial at any size, on a private broker; prints the report."""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path

from chassis.topology import OPERATOR_USER, shop_rights
from ops.broker import PrivateBroker, free_port
from ops.definitions import shop_definitions
from tests.lying_provider.trial import Plan, a_trial


async def _run(plan: Plan, folder: Path, amqp_url: str) -> int:
    async with a_trial(plan, folder, amqp_url) as trial:
        report = await trial.run()
    sys.stdout.write(json.dumps(report.as_dict(), indent=2) + "\n")
    return 1 if report.breaches else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.lying_provider", description=__doc__)
    parser.add_argument("--orders", type=int, default=500)
    parser.add_argument("--calls", type=int, default=6, help="payment requests per order, at once")
    parser.add_argument("--at-once", type=int, default=25, help="orders at once")
    parser.add_argument("--kill-every", type=float, default=3.0, help="seconds")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    given = parser.parse_args()
    plan = Plan(
        orders=given.orders,
        calls=given.calls,
        at_once=given.at_once,
        kill_every=given.kill_every,
        seed=given.seed,
        settle_seconds=300,
    )
    sys.stderr.write(f"{plan}\n")
    passwords = {rights.user: secrets.token_hex(8) for rights in shop_rights()}
    with tempfile.TemporaryDirectory(prefix="orderflow-lies-") as name:
        folder = Path(name)
        ports = {f"{kind}_port": free_port() for kind in ("amqp", "management", "dist", "epmd")}
        broker = PrivateBroker(folder / "broker", f"lies-{secrets.token_hex(4)}", **ports)
        broker.start(shop_definitions(passwords))
        try:
            return asyncio.run(_run(plan, folder, broker.amqp_url(OPERATOR_USER, passwords[OPERATOR_USER])))
        finally:
            broker.stop()


if __name__ == "__main__":
    sys.exit(main())
