"""`setpoint query`: one PromQL expression at one instant."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit, table
from setpoint.clock import SystemClock

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint query 'sum by (job) (http_server_request_duration_seconds_count)'
  setpoint query target_info --at 1h -o json

OTLP metrics carry their Prometheus names and the label service_name."""


@app.command(epilog=_EPILOG)
def query(
    expression: Annotated[str, typer.Argument(metavar="EXPR", help="The PromQL expression, in quotes.")],
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When: 30m (ago) or 2026-01-02T03:04:05Z; now when left out."),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Answer a PromQL expression at one instant."""
    from setpoint.cli.client import Client
    from setpoint.cli.instant import instant_ms

    time_s = instant_ms(at, SystemClock().now_ms()) / 1000 if at else None
    answer = Client(server, token).get("/api/v1/query", query=expression, time=time_s)
    emit(answer, output, lambda console: _show(console, answer["data"]))


def _show(console: Any, data: dict[str, Any]) -> None:
    result = data["result"]
    if data["resultType"] in ("scalar", "string"):
        console.print(str(result[1]), soft_wrap=True)
        return
    if not result:
        console.print("No series matches.")
        return
    rows = [(_series(item["metric"]), str((item.get("value") or item["values"][-1])[1])) for item in result]
    console.print(table(("SERIES*", ">VALUE"), rows))


def _series(labels: dict[str, str]) -> str:
    pairs = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels.get('__name__', '')}{{{pairs}}}"
