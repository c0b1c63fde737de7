"""The whole command: each subject's verbs. Exit codes: 0 fine, 1 something is wrong, 2 it could not be asked."""

import typer

from ops.cli import audit, dead, journal, load, outbox, replay, shop

app = typer.Typer(
    help="Run and question a local Orderflow shop. Exit codes of every command: 0 all is well, 1 something is wrong or "
    "was not done, 2 it could not be asked, or was called wrongly.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("up")(shop.up_command)
app.command()(shop.status)
app.command()(shop.order)
app.command()(audit.audit)
app.command()(load.load)
app.command()(replay.replay)
app.command()(replay.rebuild)
app.add_typer(dead.app, name="dead")
app.add_typer(outbox.app, name="outbox")
app.add_typer(journal.app, name="journal")


def main() -> None:
    app(prog_name="shop")  # completion is installed for this name, and serves ./shop as well


if __name__ == "__main__":
    main()
