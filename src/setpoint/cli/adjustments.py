"""`setpoint slo adjustments`: what is left out of budgets, counted good or corrected, and what that does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, duration, emit, figure, percent, table

__all__ = ["EPILOG", "adjustments"]

EPILOG = """[bold]Examples[/]
  setpoint slo adjustments
  setpoint slo adjustments checkout-availability
  setpoint slo adjustments sunday-maintenance -o json

They are declared as BudgetAdjustment; 'setpoint delete BudgetAdjustment NAME' takes one back."""

_WORDS = {"exclude": "left out", "good": "counted good", "correct": "corrected"}
_STYLES = {"active": "yellow", "upcoming": "blue", "past": "bright_black"}


def adjustments(
    name: Annotated[
        str, typer.Argument(help="An adjustment, or an objective; without it all adjustments.")
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List adjustments of budgets and what each did to them."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/adjustments", name=name or None)
    emit(answer, output, lambda console: show_adjustments(console, answer["items"], name))


def show_adjustments(console: Console, items: list[Mapping[str, Any]], name: str) -> None:
    """Each with when and why, and the budgets without and with it."""
    if not items:
        about = f" of {name}" if name else ""
        console.print(
            f"No budget{about} is adjusted; declare a BudgetAdjustment with: setpoint apply -f FILE"
        )
        return
    for number, one in enumerate(items):
        if number:
            console.print()
        _show(console, one)


def _show(console: Console, one: Mapping[str, Any]) -> None:
    state = one["state"]
    console.print(
        Text.assemble(
            (f"{state}  ", _STYLES[state]), (one["name"], "bold"), f"  {_WORDS[one['action']]}, {_when(one)}"
        ),
        soft_wrap=True,
    )
    console.print(f"  {one['reason']}{'  ' + one['link'] if one['link'] else ''}", soft_wrap=True)
    console.print(f"  {one['what']}: {one['when']}", style="bright_black", soft_wrap=True)
    if not one["is_derived"]:
        console.print("  ledgers are being derived anew; figures follow", style="yellow")
    rows = [
        (
            effect["objective"],
            duration(60 * effect["minutes"]) if effect["minutes"] else "–",
            figure(effect["events"]),
            figure(effect["bad"]),
            f"{percent(effect['budget_without'])} → {percent(effect['budget_with'])}",
            _cost(effect["cost"]),
        )
        for effect in one["effects"]
    ]
    if rows:
        heads = (">IN WINDOW", ">EVENTS", ">BAD", ">BUDGET", ">OUTAGE COSTS")
        console.print(table(("OBJECTIVE*", *heads), rows))
    more = one["objective_count"] - len(rows)
    if more > 0 and len(rows) != 1:
        console.print(
            f"{more:,} more objectives: setpoint slo adjustments {one['name']}", style="bright_black"
        )


def _when(one: Mapping[str, Any]) -> str:
    if one["until_ms"]:
        return f"until {_at(one['until_ms'])}"
    if one["next_ms"]:
        return "next " + ", ".join(_at(at) for at in one["next_ms"])
    return f"{_at(one['last_ms'])}" if one["last_ms"] else one["kind"]


def _at(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _cost(cost: float | None) -> str:
    if cost is None:
        return "–"
    return "as before" if abs(cost - 1) < 0.005 else f"{cost:.2f} ×"
