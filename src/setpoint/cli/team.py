"""`setpoint team`: who answers for which services, and how a team's week went."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit, percent, table

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint team list
  setpoint team show storefront
  setpoint team show storefront --period last-week
  setpoint slo list --filter team:=storefront

The same as on the page /teams."""


@app.callback(epilog=_EPILOG)
def team() -> None:
    """List teams, or show one with its week."""


@app.command("list")
def list_(
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the teams, and how their objectives stand."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/teams")

    def render(console: Any) -> None:
        rows = [
            (
                one["name"],
                one["part_of"] or "–",
                str(one["objectives"]),
                ", ".join(f"{number} {state}" for state, number in one["counts"].items() if number) or "–",
                percent(one["budget_left"]),
                ", ".join(one["services"]),
            )
            for one in answer["items"]
        ]
        if not rows:
            console.print("No team is declared; see: setpoint apply -f FILE with kind: Team")
            return
        heads = ("TEAM", "PART OF", ">OBJECTIVES", "NOW", ">LEAST BUDGET", "SERVICES*")
        console.print(table(heads, rows))

    emit(answer, output, render)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="The team's name, as in 'setpoint team list'.")],
    *,
    period: Annotated[str, typer.Option(help="As in 'setpoint report show'.")] = "week",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show a team: who is in it, and how its week goes."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.report import show_lines

    answer = Client(server, token).get(f"/teams/{segment(name)}", period=period)

    def render(console: Any) -> None:
        console.print(
            f"{answer['display_name'] or answer['name']}: {answer['report']['period']['name']}", style="bold"
        )
        people = ", ".join(one["name"] for one in answer["members"])
        told = " · ".join(part for part in (answer["contact"], people, ", ".join(answer["services"])) if part)
        if told:
            console.print(told, style="bright_black")
        console.print(answer["report"]["lead"] + "\n")
        show_lines(console, answer["report"])

    emit(answer, output, render)
