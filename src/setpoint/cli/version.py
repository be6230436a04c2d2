"""`setpoint version`: which Setpoint, on which Python."""

from __future__ import annotations

import platform

import typer

from setpoint import __version__
from setpoint.cli.options import OutputOption
from setpoint.cli.output import Output, emit

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command()
def version(output: OutputOption = Output.TABLE) -> None:
    """Show the version."""
    found = {"setpoint": __version__, "python": platform.python_version()}
    emit(found, output, lambda console: console.print(f"setpoint {__version__} (Python {found['python']})"))
