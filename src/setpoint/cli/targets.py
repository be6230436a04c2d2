"""`setpoint targets`: what is scraped, and how it went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, table
from setpoint.clock import SystemClock

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint targets
  setpoint targets --filter state:down
  setpoint targets --filter "job:node env:prod" -o json

States: ● up, ■ down (the last scrape failed), ○ waiting for the first scrape.
The same as on the page /targets; what is scraped stands in the file of up's --scrape-config."""
_LOOKS = {"up": ("● up", "green"), "down": ("■ down", "red"), "unknown": ("○ waiting", "bright_black")}
_RANK = {"down": 0, "unknown": 1, "up": 2}


@app.command(epilog=_EPILOG)
def targets(
    *,
    filter: Annotated[
        str,
        typer.Option("--filter", "-q", metavar="TERMS", help="job:, state:, a label as key:value, or text."),
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what is scraped, and how it went."""
    from setpoint.cli.client import Client

    answer = Client(server, token).get("/targets", q=filter or None)
    now_ms = SystemClock().now_ms()
    emit(answer, output, lambda console: _show(console, answer, now_ms, bool(filter)))


def _show(console: Any, answer: Mapping[str, Any], now_ms: int, is_filtered: bool) -> None:
    if answer["fault"]:
        console.print("The changed configuration is not used:")
        console.print(answer["fault"], soft_wrap=True)
        console.print()
    items = answer["items"]
    if not items:
        console.print("No target matches." if is_filtered else "Nothing is scraped.")
    else:
        console.print(table(("STATE", "JOB", "TARGET*", ">LAST", ">SAMPLES"), _rows(items, now_ms)))
        _show_errors(console, items)
    for job in answer["jobs"]:
        for fault in job["faults"]:
            console.print(f"{job['name']}: {fault}", soft_wrap=True)
    if answer["file"] is None and not is_filtered:
        console.print()
        console.print(
            "To scrape what a prometheus.yml names: setpoint up --scrape-config FILE", soft_wrap=True
        )


def _rows(items: Sequence[Mapping[str, Any]], now_ms: int) -> list[tuple[Any, ...]]:
    from rich.text import Text

    ordered = sorted(items, key=lambda item: (_RANK[item["health"]], item["job"], item["url"]))
    return [
        (
            Text(_LOOKS[item["health"]][0], style=_LOOKS[item["health"]][1]),
            item["job"],
            item["labels"].get("instance", item["url"]),
            ago(item["last_scrape_ms"], now_ms),
            f"{item['stored']:,}" if item["health"] == "up" else "–",
        )
        for item in ordered
    ]


def _show_errors(console: Any, items: Sequence[Mapping[str, Any]]) -> None:
    """What is wrong, below the table: an error is longer than a cell."""
    told = [(item, item["error"] or item["note"]) for item in items if item["error"] or item["note"]]
    if told:
        console.print()
    for item, error in told:
        console.print(f"{item['job']} {item['labels'].get('instance', item['url'])}: {error}", soft_wrap=True)
