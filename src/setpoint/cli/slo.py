"""`setpoint slo`: objectives as a list or in groups, one with its figures, or how these come about."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from setpoint.cli.adjustments import EPILOG as ADJUSTMENTS_EPILOG
from setpoint.cli.adjustments import adjustments
from setpoint.cli.exporting import EPILOG as EXPORT_EPILOG
from setpoint.cli.exporting import export
from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit
from setpoint.cli.slo_lint import EPILOG as LINT_EPILOG
from setpoint.cli.slo_lint import lint
from setpoint.cli.suggested import SUGGEST_EPILOG, suggest

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint slo list
  setpoint slo list --filter state:burning
  setpoint slo list --group-by team
  setpoint slo show checkout-availability
  setpoint slo explain checkout-availability
  setpoint slo spent checkout-availability --since 7d

The same numbers as on the page /objectives, and the formula behind them."""

_LIST_EPILOG = """[bold]Examples[/]
  setpoint slo list --filter 'team:payments -state:healthy'
  setpoint slo list --sort burn --limit 10
  setpoint slo list --group-by service
  setpoint slo list --limit 0 -o json

--filter takes service:NAME, state:burning, slo:NAME, alert:firing, a label as key:value, or text;
key:=value is exact, -key:value leaves out. --group-by takes team or another label, service, state, slo."""

_SPENT_EPILOG = """[bold]Examples[/]
  setpoint slo spent checkout-availability
  setpoint slo spent checkout-availability --since 7d
  setpoint slo spent checkout-availability --since 6h --explain

Causes and the unexplained rest add up to what was spent exactly. --explain says how each comes about."""

_AT_ONCE = 1000


class Sort(enum.StrEnum):
    """What `--sort` takes."""

    REMAINING = "remaining"
    BURN = "burn"
    NAME = "name"


NameArgument = Annotated[str, typer.Argument(help="The objective's name, as in 'setpoint slo list'.")]


@app.callback(epilog=_EPILOG)
def slo() -> None:
    """List objectives, or explain one with its numbers."""


@app.command("list", epilog=_LIST_EPILOG)
def list_(
    *,
    filter_: Annotated[
        str,
        typer.Option(
            "--filter", metavar="TERMS", help="As on the page: state:burning, service:checkout, or text."
        ),
    ] = "",
    sort: Annotated[
        Sort, typer.Option("--sort", help="Least budget, fastest burn, or name first.")
    ] = Sort.REMAINING,
    group_by: Annotated[
        str, typer.Option("--group-by", metavar="LABEL", help="One line for each team, service, state, slo …")
    ] = "",
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many lines at most; 0 is all.")] = 100,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the objectives, worst first."""
    from setpoint.cli.client import Client
    from setpoint.cli.objectives import show_groups, show_objectives, show_rest

    client = Client(server, token)
    key = "groups" if group_by else "items"
    answer = _read(client, key, limit, q=filter_ or None, sort=sort.value, group=group_by or None)

    def render(console: Any) -> None:
        if group_by:
            show_groups(console, answer["groups"], group_by)
        else:
            show_objectives(console, answer["items"], answer["total"], filter_)
        if not answer["is_complete"]:
            show_rest(console, answer, "--limit 0 shows all")

    emit(answer, output, render)


def _read(client: Any, key: str, limit: int, **parameters: Any) -> dict[str, Any]:
    """The first `limit` lines (0: all), read in pieces; `is_complete` says whether there are no more."""
    answer: dict[str, Any] = client.get("/objectives", **parameters, limit=min(limit or _AT_ONCE, _AT_ONCE))
    lines = answer[key]
    while answer["next"] and (not limit or len(lines) < limit):
        answer = client.get(answer["next"])
        lines += answer[key]
    shown = lines[: limit or None]
    told = {name: answer[name] for name in ("total", "matching", "counts")}
    return {key: shown} | told | {"is_complete": not answer["next"] and len(shown) == len(lines)}


@app.command()
def show(
    name: NameArgument,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show where one objective stands: figures, alerts, burn rates."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.objectives import show_objective
    from setpoint.clock import SystemClock

    answer = Client(server, token).get(f"/objectives/{segment(name)}")
    emit(answer, output, lambda console: show_objective(console, answer, SystemClock().now_ms()))


@app.command()
def explain(
    name: NameArgument,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show how an objective's numbers come about: each formula with its values."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.explained import show_explanation

    answer = Client(server, token).get(f"/objectives/{segment(name)}/explain")
    emit(answer, output, lambda console: show_explanation(console, answer))


app.command(epilog=LINT_EPILOG)(lint)


app.command(epilog=SUGGEST_EPILOG)(suggest)


app.command(epilog=ADJUSTMENTS_EPILOG)(adjustments)


@app.command(epilog=_SPENT_EPILOG)
def spent(
    *,
    name: NameArgument,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="From when: 7d (ago) or 2026-01-02T03:04:05Z; its window when left out."
        ),
    ] = "",
    until: Annotated[str, typer.Option(metavar="TIME", help="Until when; now when left out.")] = "",
    explain: Annotated[
        bool, typer.Option("--explain", help="With the formula of each stretch, and the rule.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show who spent an objective's budget: deploys, faults, dependencies, incidents."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.instant import instant_ms
    from setpoint.cli.spent import show_spent
    from setpoint.clock import SystemClock

    now_ms = SystemClock().now_ms()
    bounds = {
        key: instant_ms(text, now_ms) if text else None for key, text in (("since", since), ("until", until))
    }
    answer = Client(server, token).get(f"/objectives/{segment(name)}/spent", **bounds)
    emit(answer, output, lambda console: show_spent(console, answer, now_ms, explain=explain))


app.command(epilog=EXPORT_EPILOG)(export)
