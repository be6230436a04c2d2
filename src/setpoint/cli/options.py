"""The options that many commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli.output import Output

__all__ = ["DEFAULT_SERVER", "FilesOption", "OutputOption", "ServerOption", "TokenOption"]

DEFAULT_SERVER = "http://127.0.0.1:7070"

_CONNECTION = "Connection"

ServerOption = Annotated[
    str,
    typer.Option(
        "--server",
        envvar="SETPOINT_SERVER",
        metavar="URL",
        help="Address of the server.",
        rich_help_panel=_CONNECTION,
    ),
]
TokenOption = Annotated[
    str,
    typer.Option(
        "--token",
        envvar="SETPOINT_TOKEN",
        metavar="TOKEN",
        help="The server's token; the variable keeps it out of the process list.",
        rich_help_panel=_CONNECTION,
        show_default=False,
    ),
]
OutputOption = Annotated[
    Output,
    typer.Option("--output", "-o", help="A table for people; json or yaml for programs."),
]
FilesOption = Annotated[
    list[Path],
    typer.Option(
        "--file",
        "-f",
        metavar="FILE|DIR|-",
        help="File, folder (every .yaml and .yml in it) or - for standard input; may be repeated.",
    ),
]
