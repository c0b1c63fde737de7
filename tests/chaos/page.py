"""x"""

from typing import Any


def page(document: dict[str, Any]) -> str:
    return ""
