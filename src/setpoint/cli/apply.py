"""`setpoint apply`: send resource files to the server, all or nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli.options import DEFAULT_SERVER, FilesOption, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint apply -f slo.yaml
  setpoint apply -f objectives/ -f services.yaml --prune
  generate | setpoint apply -f - --dry-run

All files are applied together or, when anything in them is wrong (exit 2), not at all."""


@app.command(epilog=_EPILOG)
def apply(
    *,
    file: FilesOption,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check and plan on the server; change nothing.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete what is declared on the server and not in the files.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Create or change what the files declare."""
    from setpoint.cli.changes import send, show_changes
    from setpoint.cli.client import Client
    from setpoint.cli.files import read_files

    answer = send(Client(server, token), read_files(file), dry_run=dry_run, prune=prune)
    emit(
        answer,
        output,
        lambda console: show_changes(console, answer["changes"], with_diff=False, planned=dry_run),
    )
