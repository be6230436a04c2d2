"""`setpoint slo lint`: what looks wrong with the objectives that are kept. `slo` adds it to its commands."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["EPILOG", "lint"]

EPILOG = """[bold]Examples[/]
  setpoint slo lint
  setpoint slo lint --team storefront
  setpoint slo lint --strict -o json

Looks at what was counted, not only at what is written: targets that no traffic can hold, objectives that nobody hears
of, indicators that never see an event or an error, targets above what dependencies promise, windows without history.
--strict ends with 8 when there is an error or a warning."""

_MARKS = {"error": ("■", "red"), "warning": ("▲", "yellow"), "note": ("○", "bright_black")}


def lint(
    *,
    team: Annotated[str | None, typer.Option(help="Only this team's services.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="End with 8 on an error or a warning.")] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what looks wrong with the objectives that are kept."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/lint", team=team, service=service)
    emit(answer, output, lambda console: _show(console, answer))
    if strict and answer["counts"]["error"] + answer["counts"]["warning"]:
        raise typer.Exit(8)


def _show(console: Any, answer: dict[str, Any]) -> None:
    from rich.text import Text

    if not answer["items"]:
        console.print(f"Nothing looks wrong with {answer['objectives']:,} objectives.")
        return
    for one in answer["items"]:
        mark, colour = _MARKS[one["gravity"]]
        line = Text(f"{mark} {one['gravity']}", style=colour)
        line.append(f" {one['objective'] or one['service'] or 'several'}", style="bold").append(
            f" ({one['rule']})", style="bright_black"
        )
        console.print(line)
        console.print(f"  {one['message']}")
        console.print(f"  → {one['remedy']}", style="bright_black")
    counts = ", ".join(
        f"{number} {name}{'s' if number > 1 else ''}" for name, number in answer["counts"].items() if number
    )
    console.print(f"\n{counts}")
