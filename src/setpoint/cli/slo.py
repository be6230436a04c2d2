"""`setpoint slo`: objectives as a list, or one explained."""

from __future__ import annotations

from typing import Annotated

import typer

from setpoint.cli.group import Group
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_EPILOG = """[bold]Examples[/]
  setpoint slo list
  setpoint slo list --filter state:burning
  setpoint slo show checkout-availability

The same numbers as on the page /objectives, and the formula behind them."""


@app.callback(epilog=_EPILOG)
def slo() -> None:
    """List objectives, or explain one with its numbers."""


@app.command("list")
def list_(
    filter_: Annotated[
        str,
        typer.Option(
            "--filter", metavar="TERMS", help="As on the page: state:burning, service:checkout, or text."
        ),
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the objectives, worst first."""
    from setpoint.cli.client import Client
    from setpoint.cli.objectives import show_objectives

    answer = Client(server, token).get("/objectives", q=filter_ or None)
    emit(answer, output, lambda console: show_objectives(console, answer["items"]))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The objective's metadata.name.")],
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one objective and how its numbers were computed."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.objectives import show_objective

    answer = Client(server, token).get(f"/objectives/{segment(name)}")
    emit(answer, output, lambda console: show_objective(console, answer))
