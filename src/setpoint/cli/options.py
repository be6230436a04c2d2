"""The options that many commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from setpoint.cli.output import Output

__all__ = [
    "DEFAULT_SERVER",
    "AsOption",
    "FilesOption",
    "ListenOption",
    "OtlpGrpcOption",
    "OtlpHttpOption",
    "OutputOption",
    "ServerOption",
    "TokenOption",
]

DEFAULT_SERVER = "http://127.0.0.1:7070"

_CONNECTION, _ADDRESSES = "Connection", "Addresses"

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
        help="A token; the variable keeps it out of the process list.",
        rich_help_panel=_CONNECTION,
        show_default=False,
    ),
]
AsOption = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="USER",
        help="Sign in as this user, whose password is asked for, in place of a token.",
        rich_help_panel=_CONNECTION,
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
ListenOption = Annotated[
    str | None,
    typer.Option(
        "--listen",
        metavar="HOST:PORT",
        help="Pages, API and OTLP/HTTP.",
        show_default="127.0.0.1:7070",
        rich_help_panel=_ADDRESSES,
    ),
]
OtlpGrpcOption = Annotated[
    str | None,
    typer.Option(
        "--otlp-grpc",
        metavar="HOST:PORT",
        help="OTLP/gRPC; '' turns it off.",
        show_default="127.0.0.1:4317",
        rich_help_panel=_ADDRESSES,
    ),
]
OtlpHttpOption = Annotated[
    str | None,
    typer.Option(
        "--otlp-http",
        metavar="HOST:PORT",
        help="Second address of OTLP/HTTP; '' turns it off.",
        show_default="127.0.0.1:4318",
        rich_help_panel=_ADDRESSES,
    ),
]
