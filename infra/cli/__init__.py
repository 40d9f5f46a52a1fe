"""`llmp`: the platform from a terminal. Each command is a module; this one only gathers them."""

from __future__ import annotations

import sys

import typer
from rich.console import Console

from infra.cli import chat, deploy, doctor, status
from infra.errors import LlmpError

app = typer.Typer(
    name="llmp",
    help="An LLM serving platform as one Pulumi program.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for module in (deploy, chat, status, doctor):
    module.register(app)


def main() -> None:
    """Entry point: errors that a user can mend are printed without a traceback."""
    try:
        app()
    except LlmpError as error:
        console = Console(stderr=True)
        console.print(f"[red]error:[/red] {error}", highlight=False)
        if error.mend:
            console.print(f"[yellow]mend:[/yellow] {error.mend}", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted: what is done stays done, run the command again to continue")
        sys.exit(130)
