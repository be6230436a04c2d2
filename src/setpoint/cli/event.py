"""`setpoint event`: put a deploy, or anything else that happened, on the timeline."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.group import commands
from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = commands()

_EPILOG = """[bold]Examples[/]
  setpoint event add "checkout 1.4.2" --service checkout
  setpoint event add "checkout 1.4.2" --data version=1.4.2 --key ci-run-8812
  setpoint event add "traffic moved to zone b" --kind traffic --at 10m

Every chart of the service marks it, so a change and its effect stand side by side."""


@app.callback(epilog=_EPILOG)
def event() -> None:
    """Put an event on the timeline, such as a deploy."""


@app.command(epilog=_EPILOG)
def add(
    *,
    summary: Annotated[str, typer.Argument(help="One line that says what happened.")],
    service: Annotated[str, typer.Option(help="The service that it happened to.")] = "",
    kind: Annotated[str, typer.Option(help="What sort of event.")] = "deploy",
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A detail; may be repeated.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When: 10m (ago) or 2026-01-02T03:04:05Z; now when left out."),
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="The same key again adds nothing, so that a pipeline can retry.")
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Add an event; a deploy marker unless --kind says otherwise."""
    from setpoint.cli.client import Client
    from setpoint.cli.instant import instant_ms

    body: dict[str, Any] = {
        "kind": kind,
        "summary": summary,
        "service": service,
        "data": _details(data or []),
    }
    if at is not None:
        body["at"] = instant_ms(at, SystemClock().now_ms())
    if key is not None:
        body["key"] = key
    answer = Client(server, token).post("/api/timeline", body)
    emit(
        answer,
        output,
        lambda console: console.print(f"added {answer['kind']}: {answer['summary']}", soft_wrap=True),
    )


def _details(given: list[str]) -> dict[str, str]:
    details: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise InvalidInput(f"'{text}' is not a detail\nwrite --data NAME=VALUE")
        details[name] = value
    return details
