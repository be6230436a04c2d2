"""`setpoint slo suggest`: objectives for a service from what it emits, as YAML that can be applied."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from setpoint.cli.options import DEFAULT_SERVER, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["SUGGEST_EPILOG", "suggest"]

SUGGEST_EPILOG = """[bold]Examples[/]
  setpoint slo suggest checkout
  setpoint slo suggest checkout > slo.yaml; setpoint apply -f slo.yaml
  setpoint slo suggest checkout --days 7 -o json

The reasons for each target stand in the text as comments. What is declared already is left out."""


def suggest(
    service: Annotated[str, typer.Argument(help="The service, as service.name or job says it.")],
    *,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far back to look.")] = 28,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: Annotated[
        Output, typer.Option("--output", "-o", help="Documents to apply; json or yaml for programs.")
    ] = Output.TABLE,
) -> None:
    """Suggest objectives for a service from what it emits."""
    from setpoint.cli.client import Client, segment

    answer = Client(server, token, timeout_s=300).get(f"/services/{segment(service)}/suggest", days=days)
    if output is Output.TABLE:
        sys.stdout.write(answer["yaml"])
    else:
        emit(answer, output, lambda _: None)
