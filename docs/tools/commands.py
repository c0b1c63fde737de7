"""docs/reference/cli.md: the `shop` command with all its verbs, from the typer app itself."""

from collections.abc import Iterator
from typing import Any

import typer.main

from ops.cli.__main__ import app

HEAD = """# The shop command

<!-- Made by `python -m docs.tools` from ops/cli; change it there. -->

`./shop` asks the shop that runs from `RUN_DIR` (`.run`). Where `--json` is offered, standard output is one document
and nothing else. Exit status: 0 fine, 1 something is wrong, 2 it could not be asked.
"""


def commands_page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_sections(typer.main.get_command(app), "./shop")]).rstrip() + "\n"


def _sections(command: Any, name: str) -> Iterator[str]:
    if (verbs := getattr(command, "commands", None)) is not None:
        for verb, below in sorted(verbs.items()):
            yield from _sections(below, f"{name} {verb}")
        return
    parameters = list(command.params)
    arguments = [p for p in parameters if p.param_type_name == "argument"]
    yield f"## `{' '.join([name, *(str(p.name).upper() for p in arguments)])}`\n"
    yield "\n".join(line.strip() for line in (command.help or "").strip().splitlines()) + "\n"
    options = [p for p in parameters if p.param_type_name == "option"]
    if options:
        yield "| option | default | |\n|---|---|---|"
        for option in options:
            names = ", ".join(f"`{each}`" for each in (*option.opts, *option.secondary_opts))
            default = "none" if option.default in {None, ""} or callable(option.default) else f"`{option.default}`"
            yield f"| {names} | {default} | {_cell(option.help)} |"
        yield ""


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", r"\|")
