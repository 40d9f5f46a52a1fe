"""`llmp`: the platform from a terminal. Each command is a module; this one only gathers them."""

from __future__ import annotations

import signal
import sys

import typer
from rich.console import Console

from infra.cli import chat, deploy, doctor, status
from infra.errors import InterruptedWorkError, LlmpError

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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ended from outside is interrupted, too
    try:
        app()
    except InterruptedWorkError as error:
        _complain(str(error), error.mend)
        sys.exit(130)
    except LlmpError as error:
        _complain(str(error), error.mend)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        _complain(f"{error.filename}: {error.strerror}", "free or mend what is named, then run it again")
        sys.exit(1)


def _complain(message: str, mend: str) -> None:
    console = Console(stderr=True, highlight=False)
    console.print("error:", style="red", end=" ")
    console.print(message, markup=False)
    if mend:
        console.print("mend:", style="yellow", end=" ")
        console.print(mend, markup=False)
