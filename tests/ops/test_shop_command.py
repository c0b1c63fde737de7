"""The `shop` command as its reader meets it: examples that are right, exit codes, completion, errors."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from typer.testing import CliRunner

from ops.cli.__main__ import app
from ops.shop_api import explained

ROOT = Path(__file__).resolve().parents[2]
COMMAND: Any = typer.main.get_command(app)


def leaves(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, by its words."""
    for name, each in getattr(command, "commands", {}).items():
        if hasattr(each, "commands"):
            yield from leaves(each, (*path, name))
        else:
            yield (*path, name), each


def examples() -> Iterator[str]:
    for _, command in leaves():
        lines = [line.strip().removeprefix("Example: ") for line in command.help.splitlines()]
        yield from (line.split("  ")[0].split(" | ")[0] for line in lines if line.startswith("shop "))


def run(*arguments: str, **environment: str) -> Any:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "120", **environment}, prog_name="shop")


@pytest.mark.parametrize(
    ("path", "command"), [*leaves()], ids=lambda each: " ".join(each) if type(each) is tuple else ""
)
def test_every_command_has_an_example(path: tuple[str, ...], command: Any) -> None:
    assert any(
        line.strip().removeprefix("Example: ").startswith(f"shop {' '.join(path)}")
        for line in command.help.splitlines()
    )
    assert run(*path, "--help").exit_code == 0


@pytest.mark.parametrize("example", [*examples()])
def test_every_example_is_understood(example: str) -> None:
    program, *rest = shlex.split(example)
    assert program == "shop"
    command, context = COMMAND, COMMAND.make_context("shop", [*rest])
    while hasattr(command, "commands"):
        name, command, rest = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(name, rest, parent=context)
    assert not context.args


def test_what_cannot_be_understood_is_seen() -> None:
    result = run("load", "--pace", "3")
    assert result.exit_code == 2
    assert "--pace" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("order", "01a20964-9c20-7daa-9610-c370e0f00313"),
        ("audit",),
        ("load",),
        ("dead", "list"),
        ("outbox", "parked"),
        ("journal", "tail"),
    ],
)
def test_without_a_shop_every_question_ends_with_2_and_says_how_to_start_one(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    result = run(*arguments, RUN_DIR=str(tmp_path))
    assert result.exit_code == 2
    assert "make run" in result.stderr
    assert result.stdout == ""


def test_a_word_that_is_no_order_id(tmp_path: Path) -> None:
    result = run("order", "nonsense", RUN_DIR=str(tmp_path))
    assert (result.exit_code, "'nonsense'" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (httpx.ConnectError("refused"), "`make run`"),
        (httpx.ReadTimeout("late"), "./shop status"),
    ],
)
def test_trouble_on_the_way_names_the_address_and_what_to_do(error: httpx.RequestError, says: str) -> None:
    error.request = httpx.Request("GET", "http://127.0.0.1:8003/orders/x?secret=1")
    text = explained(error)
    assert "http://127.0.0.1:8003" in text
    assert says in text
    assert "secret" not in text


def test_a_refused_login_says_where_it_came_from() -> None:
    request = httpx.Request("POST", "http://127.0.0.1:8001/auth/login")
    error = httpx.HTTPStatusError("401", request=request, response=httpx.Response(401, request=request))
    assert "login in shop.json" in explained(error)


def test_exit_codes_are_told_in_the_help_and_the_handbook() -> None:
    told = " ".join(run("--help").stdout.replace("│", " ").split())
    assert "Exit codes of every command: 0 all is well" in told
    handbook = (ROOT / "docs" / "operations.md").read_text()
    assert all(f"\n| {code} |" in handbook for code in (0, 1, 2))


def test_completion_in_bash_knows_the_commands_of_this_program() -> None:
    script = (
        'source <("$0" -m ops.cli --show-completion bash); complete -p shop; '
        'env COMP_WORDS="shop sta" COMP_CWORD=1 _SHOP_COMPLETE=complete_bash "$0" -m ops.cli'
    )
    done = subprocess.run(  # noqa: S603 - fixed command
        ["/bin/bash", "-c", script, sys.executable], capture_output=True, text=True, check=False, cwd=ROOT, timeout=60
    )
    assert "shop_completion shop" in done.stdout, done.stderr
    assert "status" in done.stdout.split()
