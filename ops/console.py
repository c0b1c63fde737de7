"""What the launcher prints: steps, the services' logs in colour, and the table of where everything is."""

import json
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.text import Text

COLOURS: Final[Mapping[str, str]] = {
    "auth": "magenta",
    "catalog": "green",
    "order": "cyan",
    "payment": "yellow",
    "edge": "blue",
    "auditor": "bright_black",
    "broker": "red",
    "shop": "bold white",
}
LEVELS: Final[Mapping[str, str]] = {"warning": "yellow", "error": "bold red", "critical": "bold red"}
HIDDEN: Final = frozenset({"time", "level", "event", "service", "exception"})


class ShopConsole:
    """Prints to the terminal; rich drops the colours where there is none, or where NO_COLOR asks for it."""

    def __init__(self, console: Console | None = None) -> None:
        self.out = console or Console(highlight=False, soft_wrap=True)
        self.opened = False

    @classmethod
    def on_stderr(cls) -> "ShopConsole":
        """For what is said beside a command's own output."""
        return cls(Console(stderr=True, highlight=False, soft_wrap=True))

    def step(self, text: str) -> None:
        """Something begins or is done."""
        self.out.print(Text("▸ ", style="bold cyan").append(text, style="not bold default"))

    def good(self, text: str) -> None:
        self.out.print(Text("✓ ", style="bold green").append(text, style="not bold default"))

    def warn(self, text: str) -> None:
        self.out.print(Text("! ", style="bold yellow").append(text, style="not bold default"))

    def fail(self, text: str) -> None:
        self.out.print(Text("✗ ", style="bold red").append(text, style="not bold default"))

    def log(self, source: str, line: str) -> None:
        """One line a child process printed: our JSON logs made readable, anything else as it is."""
        text = Text(f"{source:<8}", style=COLOURS.get(source, "white"))
        try:
            entry = json.loads(line)
            event, level = str(entry["event"]), str(entry.get("level", "info"))
        except (ValueError, KeyError, TypeError):
            self.out.print(text.append(line, style="default"))
            return
        more = " ".join(f"{key}={value}" for key, value in entry.items() if key not in HIDDEN)
        text = Text(f"{str(entry.get('time', ''))[11:19]} ", style="dim") + text
        text.append(event, style=LEVELS.get(level, "default"))
        if more:
            text.append(f"  {more}", style="dim")
        self.out.print(text)
        if entry.get("exception"):
            self.out.print(Text(str(entry["exception"]), style="red"))

    def addresses(self, rows: Mapping[str, str]) -> None:
        """Where everything is, in two columns; nothing is cut short, as it is there to be copied."""
        width = max(map(len, rows))
        self.out.print()
        for name, value in rows.items():
            self.out.print(Text(f"  {name:<{width}}  ", style="dim").append(value, style="not dim default"))
        self.out.print()
