"""`shop audit`: do stock, money and messages add up?"""

import asyncio
from typing import Any

from ops.audit import breaches, moving
from ops.cli.common import Json, asked_shop, write_json
from ops.console import ShopConsole


def audit(as_json: Json = False) -> None:
    """Do stock, money and messages add up across the services? Exit 1 on any breach; what still moves is listed."""
    report = asyncio.run(_audit())
    if as_json:
        write_json(report)
    else:
        console = ShopConsole()
        for text in report["moving"]:
            console.warn(f"still moving: {text}")
        for text in report["breaches"]:
            console.fail(text)
        if not report["breaches"]:
            console.good(f"{report['orders']} orders: stock, money and messages add up")
    raise SystemExit(1 if report["breaches"] else 0)


async def _audit() -> dict[str, Any]:
    async with asked_shop() as shop:
        figures = await shop.figures()
        return {
            "orders": len(figures["order"]["orders"]),
            "moving": moving(figures),
            "breaches": breaches(figures),
        }
