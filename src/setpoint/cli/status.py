"""`setpoint status`: every objective and the server, on one screen."""

from __future__ import annotations

from typing import Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, duration, emit
from setpoint.clock import SystemClock

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint status
  setpoint status -o json
  watch setpoint status

States: ● healthy, ▲ burning (budget goes too fast), ■ exhausted, ○ no data.
BURN is the speed at which the budget goes: at 1× it lasts exactly its window."""


@app.command(epilog=_EPILOG)
def status(
    server: ServerOption = DEFAULT_SERVER, token: TokenOption = "", output: OutputOption = Output.TABLE
) -> None:
    """Show every objective's state and the server's own."""
    from setpoint.cli.client import Client
    from setpoint.cli.objectives import show_objectives, show_rest

    client = Client(server, token)
    facts, answer = client.get("/api/status"), client.get("/objectives")
    objectives = answer["items"]

    def render(console: Any) -> None:
        show_objectives(console, objectives)
        if answer["next"]:
            show_rest(console, answer, "'setpoint slo list --limit 0' shows all")
        console.print()
        console.print(_server_line(client.address, facts), style="bright_black", soft_wrap=True)

    emit({"server": facts, "objectives": objectives}, output, render)


def _server_line(address: str, facts: dict[str, Any]) -> str:
    parts = [address]
    if "version" in facts:
        parts.append(f"v{facts['version']}")
    if facts.get("started_ms"):
        parts.append(f"up {duration((SystemClock().now_ms() - facts['started_ms']) / 1000)}")
    if facts.get("memory_bytes"):
        parts.append(f"{facts['memory_bytes'] / 2**20:,.0f} MB")
    if facts.get("services") is not None:
        count = len(facts["services"])
        parts.append(
            f"{count} service{'' if count == 1 else 's'} send{'s' if count == 1 else ''}"
            if count
            else "nothing sent yet"
        )
    return " · ".join(parts)
