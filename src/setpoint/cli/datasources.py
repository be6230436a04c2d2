"""`setpoint datasources`: the servers that objectives are read from, and how they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, table
from setpoint.clock import SystemClock
from setpoint.errors import NotFound

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint datasources
  setpoint datasources prometheus-eu
  setpoint datasources -o json

States: ● up, ■ down (the last request failed), ○ waiting (nothing was asked for yet).
The same as on the page /datasources; what each is stands in its resource: setpoint get DataSource NAME."""
_LOOKS = {"up": ("● up", "green"), "down": ("■ down", "red"), "waiting": ("○ waiting", "bright_black")}


@app.command(epilog=_EPILOG)
def datasources(
    *,
    name: Annotated[str | None, typer.Argument(help="Show this one only.")] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List the servers that objectives are read from."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/datasources")
    items = [item for item in answer["items"] if name in (None, item["name"])]
    if name is not None and not items:
        raise NotFound(f"there is no data source '{name}'; setpoint datasources lists those that exist")
    now_ms = SystemClock().now_ms()
    emit(
        answer | {"items": items}, output, lambda console: _show(console, items, answer["objectives"], now_ms)
    )


def _show(
    console: Any, items: Sequence[Mapping[str, Any]], objectives: Mapping[str, int], now_ms: int
) -> None:
    if not items:
        console.print("No data source is declared; objectives read Setpoint's own telemetry.")
        return
    columns = ("STATE", "NAME*", "URL", ">OBJECTIVES", ">SERIES", ">LAST ANSWER")
    console.print(table(columns, [_row(item, objectives[item["name"]], now_ms) for item in items]))
    told = [
        (item["name"], sentence)
        for item in items
        for sentence in (item["fault"], *item["refused"])
        if sentence
    ]
    if told:
        console.print()
    for source, sentence in told:
        console.print(f"{source}: {sentence}", soft_wrap=True)


def _row(item: Mapping[str, Any], objectives: int, now_ms: int) -> tuple[Any, ...]:
    from rich.text import Text

    word, style = _LOOKS[item["state"]]
    return (
        Text(word, style=style),
        item["name"],
        item["url"],
        str(objectives),
        f"{item['series']:,}",
        ago(item["answered_ms"], now_ms),
    )
