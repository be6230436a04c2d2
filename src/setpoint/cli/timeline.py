"""`setpoint timeline`: what happened, newest first."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, table
from setpoint.clock import SystemClock

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint timeline
  setpoint timeline --service checkout --since 6h
  setpoint timeline --kind deploy --kind objective.state --limit 20 -o json

Kinds: objective.state, alert.fired, alert.resolved, notification.sent, notification.failed,
notification.dead, heartbeat.missed, heartbeat.returned, silence.created, silence.expired, deploy,
resource.applied, resource.deleted, gate.decided, policy.freeze, policy.fixes_only, policy.review,
policy.lifted, policy.notified, policy.exception_used, policy.postmortem_demanded, server.started,
server.restarted, demo.fault, demo.heal."""
_PAGE = 1000


@app.command(epilog=_EPILOG)
def timeline(
    *,
    service: Annotated[str | None, typer.Option(help="Only this service's events.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; may be repeated.")] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Not older than this: 30m, 6h, 2d, or 2026-01-02T03:04:05Z."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what happened, newest first."""
    from setpoint.cli.client import Client
    from setpoint.cli.instant import instant_ms

    now_ms = SystemClock().now_ms()
    since_ms = instant_ms(since, now_ms) if since else None
    items = _collect(Client(server, token), service, kind, since_ms, limit)
    emit({"items": items}, output, lambda console: _show(console, items, now_ms))


def _collect(
    client: Any, service: str | None, kinds: list[str] | None, since_ms: int | None, limit: int
) -> list[dict[str, Any]]:
    """Read pages until there are `limit` events or the pages are older than `since_ms`."""
    found: list[dict[str, Any]] = []
    before_id: int | None = None
    while len(found) < limit:
        wanted = min(_PAGE, limit - len(found))
        answer = client.get("/timeline", service=service, kind=kinds, before_id=before_id, limit=wanted)
        page = answer["items"]
        recent = [event for event in page if since_ms is None or event["at_ms"] >= since_ms]
        found += recent
        if not answer.get("next") or not recent:
            break
        before_id = page[-1]["id"]
    return found


def _show(console: Any, items: list[dict[str, Any]], now_ms: int) -> None:
    if not items:
        console.print("Nothing happened that matches.")
        return
    rows = [
        (ago(item["at_ms"], now_ms), item["kind"], item["service"] or "–", item["summary"]) for item in items
    ]
    console.print(table(("WHEN", "KIND", "SERVICE", "WHAT*"), rows))
