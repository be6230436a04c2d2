"""`setpoint diff`: what `apply` would change, as lines."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli.options import DEFAULT_SERVER, FilesOption, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Example[/]
  setpoint diff -f objectives/

Ends with 0 whether or not something would change; 'setpoint diff -o json' tells a script."""


@app.command(epilog=_EPILOG)
def diff(
    file: FilesOption,
    prune: Annotated[
        bool, typer.Option("--prune", help="Show also what 'apply --prune' would delete.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what 'apply' would change; change nothing."""
    from setpoint.cli.changes import send, show_changes
    from setpoint.cli.client import Client
    from setpoint.cli.files import read_files

    answer = send(Client(server, token), read_files(file), dry_run=True, prune=prune)
    emit(
        answer, output, lambda console: show_changes(console, answer["changes"], with_diff=True, planned=True)
    )
