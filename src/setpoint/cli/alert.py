"""`setpoint alert`: what fires, why, who was told of it, what did before, and how noisy it is."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from setpoint.cli.alert_route import EPILOG as ROUTE_EPILOG
from setpoint.cli.alert_route import route
from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, clean, emit

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint alert list
  setpoint alert why 1f7e0c5ad3d9a1b2
  setpoint alert history --service checkout --since 6h
  setpoint alert noise --days 28"""

_LIST_EPILOG = """[bold]Examples[/]
  setpoint alert list
  setpoint alert list 'severity="page"' 'service=~"checkout|cart"'
  setpoint alert list team:payments --state silenced
  setpoint alert list --limit 0 -o json

Arguments are matchers as amtool has them, or words and terms such as
team:payments; all must hold. What pages stands first, what is muted last."""

_WHY_EPILOG = """[bold]Examples[/]
  setpoint alert why 1f7e0c5ad3d9a1b2
  setpoint alert why CheckoutSlow
  setpoint alert why CheckoutSlow -o json

The values against the thresholds, and the way to each receiver: route, group,
what mutes it, every attempt. For a rule that does not fire, name the rule: its
conditions are shown with the values of now."""

_HISTORY_EPILOG = """[bold]Examples[/]
  setpoint alert history
  setpoint alert history --service checkout --since 2d
  setpoint alert history --kind notification --limit 200"""

_NOISE_EPILOG = """[bold]Examples[/]
  setpoint alert noise
  setpoint alert noise --days 28 --team payments
  setpoint alert noise --explain

Noise is the pages for nothing, those at night counted twice; two pages in a
12-hour shift are as many as one can bear. What would mend a rule is said."""

_AT_ONCE = 1000

FingerprintArgument = Annotated[
    str,
    typer.Argument(
        metavar="ALERT", help="Its fingerprint, or the name of its rule, as in 'setpoint alert list'."
    ),
]


class State(enum.StrEnum):
    """What `--state` takes."""

    FIRING = "firing"
    SILENCED = "silenced"
    INHIBITED = "inhibited"
    MUTED = "muted"


class Order(enum.StrEnum):
    """What `--order` takes."""

    NOISE = "noise"
    PAGES = "pages"
    FIRINGS = "firings"


@app.callback(epilog=_EPILOG)
def alert() -> None:
    """Show what fires, why, who was told, and how noisy it is."""


@app.command("list", epilog=_LIST_EPILOG)
def list_(
    *,
    matchers: Annotated[
        list[str] | None,
        typer.Argument(metavar="MATCHER", help="What to list; all of it when left out."),
    ] = None,
    state: Annotated[State | None, typer.Option(help="Only these.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=0, help="How many lines at most; 0 is all.")] = 100,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the alerts that fire, what pages first."""
    from setpoint.cli.alerts import joined, show_alerts
    from setpoint.cli.client import Client
    from setpoint.clock import SystemClock

    client, q = Client(server, token), joined(matchers or [])
    wanted = min(limit or _AT_ONCE, _AT_ONCE)
    answer = client.get("/alerts", q=q or None, state=state.value if state else None, limit=wanted)
    items = answer["items"]
    while answer["next"] and (not limit or len(items) < limit):
        answer = client.get(f"{answer['next']}&limit={_AT_ONCE}")
        items += answer["items"]
    told = {name: answer[name] for name in ("total", "matching", "paging", "counts")}
    found: dict[str, Any] = {"items": items[: limit or None]} | told
    emit(found, output, lambda console: show_alerts(console, clean(found), q, SystemClock().now_ms()))


@app.command()
def show(
    name: FingerprintArgument,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show one alert: labels, annotations, who was told."""
    from setpoint.cli.alerts import find_alert, show_alert
    from setpoint.cli.client import Client
    from setpoint.clock import SystemClock

    answer = find_alert(Client(server, token), name)
    emit(answer, output, lambda console: show_alert(console, clean(answer), SystemClock().now_ms()))


@app.command(epilog=_WHY_EPILOG)
def why(
    name: FingerprintArgument,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show why an alert or a rule fires or does not, and why it was told or not."""
    from setpoint.cli.alerts import find_why, show_why
    from setpoint.cli.client import Client
    from setpoint.clock import SystemClock

    answer = find_why(Client(server, token), name)
    emit(answer, output, lambda console: show_why(console, clean(answer), SystemClock().now_ms()))


@app.command(epilog=_HISTORY_EPILOG)
def history(
    *,
    service: Annotated[str | None, typer.Option(help="Only this service's.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="Only these: alert, notification, silence, or one such as alert.fired.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Not older than this: 30m, 6h, 2d, or 2026-01-02T03:04:05Z."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many lines at most.")] = 50,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what alerts, notifications and silences did, newest first."""
    from setpoint.cli.alerts import read_history, show_history
    from setpoint.cli.client import Client
    from setpoint.cli.instant import instant_ms
    from setpoint.clock import SystemClock

    now_ms = SystemClock().now_ms()
    since_ms = instant_ms(since, now_ms) if since else None
    items = read_history(Client(server, token), service, kind, since_ms, limit)
    emit({"items": items}, output, lambda console: show_history(console, clean(items), now_ms))


@app.command(epilog=_NOISE_EPILOG)
def noise(
    *,
    days: Annotated[int, typer.Option(min=1, max=28, help="Of how many days.")] = 7,
    team: Annotated[str | None, typer.Option(help="Only this team's alerts.")] = None,
    service: Annotated[str | None, typer.Option(help="Only this service's alerts.")] = None,
    night: Annotated[
        str | None,
        typer.Option(metavar="HOURS", help="What night is, by the team's clock; 22-8 when left out."),
    ] = None,
    flap: Annotated[
        str | None, typer.Option(metavar="TIME", help="Again within this is flapping; 15m when left out.")
    ] = None,
    order: Annotated[Order, typer.Option(help="What stands first.")] = Order.NOISE,
    explain: Annotated[bool, typer.Option("--explain", help="With the formula of each figure.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="How many rules at most.")] = 20,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Rank the rules to mend or delete: pages for nothing, at night, flapping."""
    from setpoint.cli.alerts import show_noise
    from setpoint.cli.client import Client

    answer = Client(server, token).get(
        "/noise",
        days=days,
        team=team,
        service=service,
        night=night,
        flap=flap,
        order=order.value,
        limit=limit,
    )
    emit(answer, output, lambda console: show_noise(console, clean(answer), explain=explain))


app.command(epilog=ROUTE_EPILOG)(route)
