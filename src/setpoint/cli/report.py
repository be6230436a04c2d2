"""`setpoint report`: what was promised and kept in a week, month or quarter; and which reports are kept."""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.objectives import target
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, figure, percent, table
from setpoint.clock import SystemClock

__all__ = ["app", "show_lines"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint report show
  setpoint report show 2026-W47 --team storefront
  setpoint report show last-month --format md > report.md
  setpoint report list

The same as on the page /reports, which prints well."""

_SHOW_EPILOG = """[bold]Examples[/]
  setpoint report show last-quarter --service checkout
  setpoint report show 2026-11 --format csv > november.csv
  setpoint report show week -o json

PERIOD is a week as 2026-W47, a month as 2026-11, a quarter as 2026-Q4, or one of week, month, quarter (those that run)
and last-week, last-month, last-quarter. A report that was made by itself is shown as it was said then."""


class Format(enum.StrEnum):
    """What `--format` takes."""

    MARKDOWN = "md"
    CSV = "csv"


@app.callback(epilog=_EPILOG)
def report() -> None:
    """Tell what was promised and kept in a period."""


@app.command(epilog=_SHOW_EPILOG)
def show(
    period: Annotated[str, typer.Argument(help="Which week, month or quarter.")] = "last-week",
    *,
    team: Annotated[str | None, typer.Option(help="Only this team's services.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service.")] = None,
    zone: Annotated[
        str | None, typer.Option(help="By whose clock: Europe/Berlin; UTC, or the team's own.")
    ] = None,
    format_: Annotated[
        Format | None, typer.Option("--format", help="Markdown or CSV in place of a table.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the report of a period: everything, a team or a service."""
    from setpoint.cli.client import Client, segment

    client, path = Client(server, token), f"/reports/{segment(period)}"
    asked = {"team": team, "service": service, "zone": zone}
    if format_ is not None:
        sys.stdout.write(client.text(path, **asked, format=format_.value))
        return
    answer = client.get(path, **asked)
    emit(answer, output, lambda console: _show(console, answer))


@app.command("list")
def list_(
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the reports that are kept, and those that are made by themselves."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/reports")
    emit(answer, output, lambda console: _show_list(console, answer))


def _show(console: Any, report: Mapping[str, Any]) -> None:
    scope, period = report["scope"], report["period"]
    of = "everything" if scope["kind"] == "organisation" else f"the {scope['kind']} {scope['name']}"
    console.print(f"{period['name']}: {of}{'' if report['is_final'] else ' (not over yet)'}", style="bold")
    console.print(report["lead"] + "\n")
    show_lines(console, report)


def show_lines(console: Any, report: Mapping[str, Any]) -> None:
    """The tables of a report: objectives, causes, alerts."""
    rows = [
        (
            line["verdict"],
            line["name"],
            target(line["target"]),
            percent(line["sli"], 3),
            percent(line["used"], 0),
            figure(line["bad"]) if line["total"] else "–",
            percent(line["left_before"], 0),
            percent(line["left_after"], 0),
        )
        for line in report["objectives"]
    ]
    if rows:
        heads = ("VERDICT", "OBJECTIVE*", ">TARGET", ">SLI", ">USED", ">BAD", ">LEFT BEFORE", ">AFTER")
        console.print(table(heads, rows))
    if report["causes"]:
        causes = [
            (one["cause"], one["objective"], figure(one["bad"]), percent(one["share"], 0))
            for one in report["causes"]
        ]
        console.print()
        console.print(table(("SPENT BY*", "OBJECTIVE*", ">BAD", ">SHARE"), causes))
    if report["alerts"]:
        alerts = [
            (one["severity"], one["objective"], one["policy"], str(one["fired"]), str(one["at_night"]))
            for one in report["alerts"]
        ]
        console.print()
        console.print(table(("ALERT", "OBJECTIVE*", "POLICY*", ">FIRED", ">AT NIGHT"), alerts))


def _show_list(console: Any, answer: Mapping[str, Any]) -> None:
    for one in answer["scheduled"]:
        console.print(
            f"{one['name']}: every {one['period']}, of {one['of'] or 'everything'}, {one['time_zone']}"
        )
    if not answer["items"]:
        console.print("No report is kept yet; one that runs: setpoint report show week")
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (one["period"], one["scope_name"] or "everything", ago(one["made_ms"], now_ms))
        for one in answer["items"]
    ]
    console.print(table(("PERIOD", "OF*", "MADE"), rows))
