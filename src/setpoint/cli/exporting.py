"""`setpoint slo export`: objectives in the form of another tool, for those who have to evaluate them there."""

from __future__ import annotations

import enum
import sys
from typing import Annotated

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit

__all__ = ["EPILOG", "export"]

EPILOG = """[bold]Examples[/]
  setpoint slo export rules > setpoint.rules.yml
  setpoint slo export rules checkout-availability checkout-latency
  setpoint slo export rules --format operator | kubectl apply -f -
  setpoint slo export rules --as-sloth

Recording and alerting rules with the names and labels of Sloth's. What rules cannot
express is listed on standard error with the reason. For OpenSLO: setpoint get SLO -o yaml"""


class What(enum.StrEnum):
    """What can be exported."""

    RULES = "rules"


class Format(enum.StrEnum):
    """What `--format` takes."""

    PROMETHEUS = "prometheus"
    OPERATOR = "operator"


def export(
    *,
    what: Annotated[What, typer.Argument(help="rules: for a Prometheus.")],
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="Objectives or SLOs; all if none is named.")
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="A rule file, or PrometheusRule resources of its operator.")
    ] = Format.PROMETHEUS,
    as_sloth: Annotated[
        bool,
        typer.Option(
            "--as-sloth", help="Sloth's own expressions, with what is wrong in them (see the docs)."
        ),
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Write objectives as rules for a Prometheus."""
    from setpoint.cli.client import Client
    from setpoint.cli.output import console

    flag = "true" if as_sloth else None
    answer = Client(server, token).get(f"/export/{what.value}", name=names, format=form.value, as_sloth=flag)
    if output is Output.JSON:
        emit(answer, output, lambda out: None)
        return
    sys.stdout.write(answer["text"])
    sys.stdout.flush()
    told = console(stderr=True)
    for one in answer["left_out"]:
        told.print(f"left out: {one['name']}: {one['reason']}", soft_wrap=True)
    rules = sum(len(group["rules"]) for group in answer["groups"])
    told.print(f"{rules} rules in {len(answer['groups'])} groups; {len(answer['left_out'])} left out")
