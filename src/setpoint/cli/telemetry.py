"""`setpoint telemetry`: who sends what, and what it costs."""

from __future__ import annotations

import enum
import threading
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, console, emit, figure, percent, table
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint telemetry top
  setpoint telemetry top --by label --sort values
  setpoint telemetry top --by sender --sort samples --watch

The same figures as on the page /telemetry. Memory is an estimate; DISK/DAY is what the samples
of one day take at today's pace."""
_WATCH_S = 2.0


class By(enum.StrEnum):
    """What a row is."""

    METRIC = "metric"
    LABEL = "label"
    PAIR = "pair"
    SENDER = "sender"
    SERVICE = "service"


class Sort(enum.StrEnum):
    """What the rows are sorted by."""

    SERIES = "series"
    SAMPLES = "samples"
    MEMORY = "memory"
    NEW = "new"
    VALUES = "values"


@app.callback(epilog=_EPILOG)
def telemetry() -> None:
    """Show who sends what, and what it costs."""


@app.command()
def top(
    *,
    by: Annotated[By, typer.Option("--by", help="What a row is.")] = By.METRIC,
    sort: Annotated[
        Sort | None,
        typer.Option(
            "--sort",
            help="Largest first: new is of metrics and senders, values of labels.",
            show_default="series, or values by label",
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="Rows to show.")] = 20,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every two seconds, until Ctrl-C.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Rank metrics, labels, label pairs, senders or services by what they cost."""
    from setpoint.cli.client import Client

    client = Client(server, token)

    def ask() -> Any:
        return client.get("/api/telemetry/top", by=by.value, sort=sort.value if sort else None, limit=limit)

    if not watch:
        emit(answer := ask(), output, lambda to: to.print(_shown(answer)))
        return
    if output is not Output.TABLE:
        raise InvalidInput("--watch shows a table; leave out --output, or ask again in a loop of your own")
    from rich.live import Live

    never, clock = threading.Event(), SystemClock()
    with Live(_shown(ask()), console=console(), auto_refresh=False) as live:
        while not clock.wait(never, _WATCH_S):
            live.update(_shown(ask()), refresh=True)


def _shown(answer: Mapping[str, Any]) -> Any:
    from rich.console import Group as Lines
    from rich.text import Text

    by, rows = answer["by"], answer["rows"]
    if not rows:
        return Text("No series yet. Send metrics by OTLP or remote write; 'setpoint demo' sends some.")
    columns = [by.upper() + "*", ">SHARE", ">SERIES", ">SAMPLES/S", ">MEMORY", ">DISK/DAY"]
    columns += [">VALUES"] if by == "label" else [">NEW, 1 H"] if by in ("metric", "sender") else []
    cells = []
    for row in rows:
        cell = [
            row["name"] or "(unnamed)",
            percent(row["share"]),
            figure(row["series"]) if row["series"] >= 100 else str(row["series"]),
            figure(row["samples_per_s"]),
            size(row["memory_bytes"]),
            size(row["disk_bytes_per_day"]),
        ]
        last = row["values"] if by == "label" else row["new"]
        cells.append([*cell, f"{last:,}"] if len(columns) > len(cell) else cell)
    rest = answer["total"] - len(rows)
    told = f"{answer['series']:,} series · {figure(answer['samples_per_s'])} samples/s"
    if rest > 0:
        told += f" · {rest:,} more rows: --limit {min(1000, 4 * len(rows))}"
    return Lines(table(columns, cells), Text(), Text(told, style="bright_black"))


def size(value: float | None) -> str:
    """Bytes as people say them, such as `4.1 MB` (powers of 1,024); a dash when they are not known."""
    if value is None:
        return "–"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1024:
            return figure(value, f" {unit}")
        value /= 1024
    return figure(value, " TB")
