"""docs/explanation/order.svg: the sequence picture of one order, drawn without a script so that it shows anywhere."""

from html import escape
from typing import Final

LANES: Final = ("customer", "order_svc", "catalog_svc", "payment_svc", "provider")
STEPS: Final = (
    (0, 1, "POST /orders → 201 pending"),
    (1, 2, "order.placed"),
    (2, 1, "stock.reserved"),
    (1, 3, "order.payment_requested"),
    (0, 3, "POST /payments"),
    (3, 4, "authorise → held"),
    (3, 1, "payment.authorized"),
    (1, 2, "order.confirmed"),
    (1, 3, "order.confirmed"),
    (2, 1, "stock.committed"),
    (3, 4, "capture → taken"),
    (3, 1, "payment.captured"),
    (1, 0, "order.paid: the live page says so"),
)
"""From lane, to lane, words. Events are dashed, calls that wait for an answer are not."""

GAP: Final = 190
TOP: Final = 70
ROW: Final = 38


def order_picture() -> str:
    """The picture as an SVG document; its ground is light in both colour schemes."""
    width, height = GAP * len(LANES), TOP + ROW * len(STEPS) + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="system-ui, sans-serif" font-size="13">',
        "<title>One order, message by message</title>",
        '<defs><marker id="a" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#234"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for lane, name in enumerate(LANES):
        parts.append(f'<path d="M{_x(lane)} 44V{height - 8}" stroke="#9ab" />')
        parts.append(f'<rect x="{_x(lane) - 62}" y="12" width="124" height="32" rx="6" fill="#e6eef5" stroke="#9ab"/>')
        parts.append(f'<text x="{_x(lane)}" y="33" text-anchor="middle">{name}</text>')
    for number, (start, end, words) in enumerate(STEPS):
        y = TOP + ROW * number + 12
        dashes = "" if "→" in words or words.startswith("POST") else ' stroke-dasharray="6 4"'
        parts.append(f'<path d="M{_x(start)} {y}H{_x(end)}" stroke="#234"{dashes} marker-end="url(#a)"/>')
        middle = (_x(start) + _x(end)) // 2
        label = f"{number + 1}. {escape(words)}"
        half = len(label) * 7 // 2
        parts.append(f'<rect x="{middle - half}" y="{y - 20}" width="{half * 2}" height="16" fill="#fff"/>')
        parts.append(f'<text x="{middle}" y="{y - 7}" text-anchor="middle" fill="#123">{label}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _x(lane: int) -> int:
    return GAP * lane + GAP // 2
