"""`setpoint validate`: check resource files offline, with the same rules as the server."""

from __future__ import annotations

import dataclasses
from typing import Any

import typer

from setpoint.cli.options import FilesOption, OutputOption
from setpoint.cli.output import Output, emit
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint validate -f slo.yaml
  setpoint validate -f objectives/ -o json

Every problem is listed as file:line: path: what is wrong, what to write instead; then the exit code is 2."""


@app.command(epilog=_EPILOG)
def validate(file: FilesOption, output: OutputOption = Output.TABLE) -> None:
    """Check files without a server."""
    from setpoint.app import default_registry
    from setpoint.cli.files import read_files
    from setpoint.resource import load_text

    try:
        documents = load_text(read_files(file), default_registry())
    except InvalidInput as error:
        if output is Output.TABLE:
            raise
        problems = [dataclasses.asdict(problem) for problem in error.problems]
        emit({"valid": False, "problems": problems}, output, lambda console: None)
        raise typer.Exit(error.exit_code) from error
    found = [{"kind": document.kind, "name": document.name, "file": document.file} for document in documents]

    def render(console: Any) -> None:
        count = len(found)
        console.print(
            f"{count} resource{'' if count == 1 else 's'} valid" if count else "the files declare nothing"
        )

    emit({"valid": True, "items": found}, output, render)
