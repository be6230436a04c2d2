"""`setpoint sla`: what is promised to customers, whether it is kept, and the credit that is owed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit, percent, table

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint sla list
  setpoint sla show checkout-gold
  setpoint sla show checkout-gold --periods 12 -o json

The same as on the page /slas."""

_SHAPES = {
    "kept": ("●", "green"),
    "at risk": ("▲", "yellow"),
    "broken": ("■", "red"),
    "don't know": ("○", "bright_black"),
}


@app.callback(epilog=_EPILOG)
def sla() -> None:
    """List SLAs, or show one with the credit of its periods."""


@app.command("list")
def list_(
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the SLAs and how their running periods stand."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/slas")

    def render(console: Any) -> None:
        if not answer["items"]:
            console.print("No SLA is declared; see: setpoint apply -f FILE with kind: SLA")
            return
        rows = [
            (
                _state(one["state"]),
                one["name"],
                one["service"],
                one["customer"] or "–",
                one["periods"][0]["label"],
                _owed(one),
            )
            for one in answer["items"]
        ]
        console.print(table(("STATE", "SLA*", "SERVICE", "CUSTOMER*", "PERIOD", ">CREDIT"), rows))

    emit(answer, output, render)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The SLA's name, as in 'setpoint sla list'.")],
    *,
    periods: Annotated[
        int, typer.Option(min=1, max=24, help="How many months or quarters, newest first.")
    ] = 4,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show an SLA: each promise of the last periods, with its numbers."""
    from setpoint.cli.client import Client, segment

    answer = Client(server, token).get(f"/slas/{segment(name)}", periods=periods)

    def render(console: Any) -> None:
        to = f" to {answer['customer']}" if answer["customer"] else ""
        console.print(
            f"{answer['display_name']}: {answer['service']}{to}, by {answer['period']} ({answer['time_zone']})"
        )
        console.print()
        rows = [
            (
                period["label"],
                _state(promise["state"]),
                promise["objective"],
                percent(promise["sli"], 4),
                f"{100 * promise['target']:.10g} %",
                _owed(promise),
            )
            for period in answer["periods"]
            for promise in period["promises"]
        ]
        console.print(table(("PERIOD", "STATE", "OBJECTIVE*", ">SLI", ">PROMISED", ">CREDIT"), rows))
        for period in answer["periods"]:
            for promise in period["promises"]:
                told = f"{period['label']} {promise['objective']}: {promise['reason']}; {promise['formula']}"
                console.print(told, soft_wrap=True, style="bright_black")

    emit(answer, output, render)


def _owed(told: Mapping[str, Any]) -> str:
    low, high = told["credit"], told["credit_highest"]
    return percent(high, 0) if low == high else f"{percent(low, 0)} to {percent(high, 0)}"


def _state(name: str) -> Any:
    from rich.text import Text

    shape, style = _SHAPES[name]
    return Text(f"{shape} {name}", style=style)
