"""`setpoint notification`: what was told to whom, what waits, and what was given up and can be sent again."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, clean, emit, table
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint notification list
  setpoint notification list --state dead -o json
  setpoint notification resend 812
  setpoint notification resend --dead"""

_STYLES = {
    "dead": ("■", "red"),
    "retrying": ("▲", "yellow"),
    "waiting": ("○", "bright_black"),
    "sent": ("●", "green"),
}
_AT_ONCE = 1000


class State(enum.StrEnum):
    """What `--state` takes."""

    DEAD = "dead"
    RETRYING = "retrying"
    WAITING = "waiting"
    SENT = "sent"


@app.callback(epilog=_EPILOG)
def notification() -> None:
    """List what was told to whom; send again what was given up."""


@app.command("list", epilog=_EPILOG)
def list_(
    *,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    receiver: Annotated[str | None, typer.Option(help="Only this receiver's.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=_AT_ONCE, help="How many lines at most.")] = 50,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List notifications: what was given up first, then what waits, then what was heard."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get(
        "/notifications", state=state.value if state else None, receiver=receiver, limit=limit
    )
    emit(answer, output, lambda console: _show(console, clean(answer), SystemClock().now_ms()))


@app.command()
def resend(
    *,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="NUMBER", help="As in 'setpoint notification list'.")
    ] = None,
    dead: Annotated[bool, typer.Option("--dead", help="All that were given up.")] = False,
    receiver: Annotated[str | None, typer.Option(help="With --dead: only this receiver's.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Send notifications again that were given up, or sent."""
    from setpoint.cli.client import Client

    if bool(numbers) == dead:
        raise InvalidInput(
            "say which: numbers as in 'setpoint notification list', or --dead for all given up"
        )
    client = Client(server, token)
    chosen = list(numbers or [])
    if dead:
        found = client.get("/notifications", state="dead", receiver=receiver, limit=_AT_ONCE)["items"]
        chosen = [one["id"] for one in reversed(found)]
    items = [client.post(f"/notifications/{one}/resend", {}) for one in chosen]

    def render(console: Any) -> None:
        if not items:
            console.print("Nothing was given up.")
        for one in items:
            console.print(f"{one['resent']} goes out again as {one['id']}")

    emit({"items": items}, output, render)


def _show(console: Any, answer: Mapping[str, Any], now_ms: int) -> None:
    from rich.text import Text

    if not answer["items"]:
        console.print("Nobody was told anything that matches.")
    rows = []
    for one in answer["items"]:
        shape, style = _STYLES[one["state"]]
        waits = one["state"] in ("retrying", "waiting")
        rows.append(
            (
                Text(f"{shape} {one['state']}", style=style),
                str(one["id"]),
                f"{one['receiver']} {one['integration']}",
                "a message"
                if one["reason"] == "message"
                else f"{one['firing']} firing, {one['resolved']} ended",
                ago(one["due_ms"] if waits else one["settled_ms"], now_ms),
                one["error"] or ", ".join(one["names"]),
            )
        )
    if rows:
        console.print(table(("STATE", ">NUMBER", "RECEIVER*", "ALERTS", ">WHEN", "WHAT*"), rows))
    for lane in answer["channels"]:
        if lane["failures"]:
            console.print(
                f"{lane['receiver']} {lane['integration']}: {lane['failures']} failures in a row: {lane['error']}",
                style="yellow",
                soft_wrap=True,
            )
