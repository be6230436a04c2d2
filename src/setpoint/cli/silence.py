"""`setpoint silence`: what is muted, for how long and why; add, end, and see beforehand what would be muted."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, clean, emit
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint silence list
  setpoint silence preview service=checkout
  setpoint silence add alertname=Slow service=checkout --duration 2h --comment 'being mended'
  setpoint silence expire 0f7c1f4e-0a9f-4b62-9d6f-0c3a1d1c5a77"""

_ADD_EPILOG = """[bold]Examples[/]
  setpoint silence add Slow service=checkout --comment 'being mended'
  setpoint silence add 'instance=~"db-.*"' -d 90m -c 'moves to zone b'
  setpoint silence add job=backup -d 1h -c 'backup' --every FREQ=DAILY

Matchers are as amtool writes them: NAME=VALUE, !=, =~, !~; a word alone is
alertname=WORD. All must hold. --every takes an RRULE; each time lasts for
--duration, until --until (a year when left out). 'setpoint silence preview'
shows first what would be muted."""

_LIST_EPILOG = """[bold]Examples[/]
  setpoint silence list
  setpoint silence list --state expired
  setpoint silence list -o json"""


class State(enum.StrEnum):
    """What `--state` takes."""

    ACTIVE = "active"
    PENDING = "pending"
    EXPIRED = "expired"


MatchersArgument = Annotated[
    list[str], typer.Argument(metavar="MATCHER", help="Such as alertname=Slow service=~'checkout|cart'.")
]
_ALL = 1000


@app.callback(epilog=_EPILOG)
def silence() -> None:
    """Mute alerts for a time, and see what is muted."""


@app.command("list", epilog=_LIST_EPILOG)
def list_(
    *,
    state: Annotated[
        State | None, typer.Option(help="Only these; without it those that have not ended.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List silences: what ends first stands first."""
    from setpoint.cli.client import Client
    from setpoint.cli.silences import show_silences
    from setpoint.clock import SystemClock

    answer = Client(server, token).get("/silences", state=state.value if state else None, limit=_ALL)
    emit(answer, output, lambda console: show_silences(console, clean(answer), SystemClock().now_ms()))


@app.command(epilog=_ADD_EPILOG)
def add(
    *,
    matchers: MatchersArgument,
    comment: Annotated[
        str, typer.Option("--comment", "-c", help="Why; whoever wonders what is quiet reads it.")
    ],
    duration: Annotated[str, typer.Option("--duration", "-d", metavar="TIME", help="For how long.")] = "2h",
    start: Annotated[
        str, typer.Option(metavar="TIME", help="From when, by the clock of --zone; now when left out.")
    ] = "",
    every: Annotated[
        str, typer.Option(metavar="RRULE", help="Again and again, such as FREQ=WEEKLY;BYDAY=SU.")
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="With --every: no more after this.")] = "",
    zone: Annotated[str, typer.Option(metavar="ZONE", help="Time zone, such as Europe/Vienna.")] = "UTC",
    author: Annotated[
        str,
        typer.Option(
            "--author", "-a", metavar="NAME", help="Who mutes it; as the server knows you when left out."
        ),
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Mute what the matchers hold for, once or again and again."""
    from setpoint.cli.client import Client
    from setpoint.cli.silences import show_added, written

    body: dict[str, Any] = {
        "matchers": written(matchers),
        "comment": comment,
        "duration": duration,
        "starts": start,
        "every": every,
        "until": until,
        "zone": zone,
        "created_by": author,
    }
    if until and not every:
        raise InvalidInput(
            "--until stands without --every\nfor a silence of once, say how long with --duration"
        )
    answer = Client(server, token).post("/silences", {name: value for name, value in body.items() if value})
    emit(answer, output, lambda console: show_added(console, clean(answer)))


@app.command()
def preview(
    *,
    matchers: MatchersArgument,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show what a silence with these matchers would mute now; change nothing."""
    from setpoint.cli.client import Client
    from setpoint.cli.silences import show_preview, written
    from setpoint.clock import SystemClock

    answer = Client(server, token).post("/silences/preview", {"matchers": written(matchers)})
    emit(answer, output, lambda console: show_preview(console, clean(answer), SystemClock().now_ms()))


@app.command()
def expire(
    *,
    ids: Annotated[list[str], typer.Argument(metavar="ID", help="As in 'setpoint silence list'.")],
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """End silences now."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.silences import full_id

    client = Client(server, token)
    items = [client.post(f"/silences/{segment(full_id(client, one))}/expire", {}) for one in ids]

    def render(console: Any) -> None:
        for one in items:
            console.print(f"ended {one['id']}: {', '.join(clean(one['matchers']))}", soft_wrap=True)

    emit({"items": items}, output, render)
