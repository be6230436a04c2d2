"""`setpoint alert route`: who would hear of an alert with given labels, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit, table
from setpoint.errors import InvalidInput

__all__ = ["EPILOG", "route"]

EPILOG = """[bold]Examples[/]
  setpoint alert route severity=page service=checkout
  setpoint alert route severity=ticket team=search --at 2026-11-23T22:00Z
  setpoint alert route

Without labels it shows the tree of routes. Nothing is sent. To test a
configuration before it is in force: setpoint test routing_test.yml"""


def route(
    *,
    labels: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Labels of an alert.")
    ] = None,
    at: Annotated[
        str, typer.Option(metavar="INSTANT", help="When, such as 2026-11-23T22:00:00+01:00; by default now.")
    ] = "",
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Show who would hear of an alert, and why."""
    from setpoint.cli.client import Client

    client = Client(server, token)
    if not labels:
        if at:
            raise InvalidInput("--at goes with labels; write some, such as severity=page")
        answer = client.get("/routing")
        emit(answer, output, lambda console: _show_tree(console, answer))
        return
    answer = client.post("/routing/try", {"labels": _pairs(labels), "at": at})
    emit(answer, output, lambda console: _show(console, answer))


def _pairs(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise InvalidInput(f"'{word}' is no label; write KEY=VALUE, such as severity=page")
        if name in found:
            raise InvalidInput(f"the label {name} is given twice; an alert has each once")
        found[name] = value.strip('"') if value[:1] == '"' else value
    return found


def _show(console: Any, answer: Mapping[str, Any]) -> None:
    from rich.text import Text

    outcome = answer["outcome"]
    mark = Text("● ", "green") if answer["receivers"] else Text("○ ", "bright_black")
    console.print(mark.append(outcome[:1].upper() + outcome[1:], "bold"), soft_wrap=True)
    for one in answer["silences"]:
        console.print(
            f"  silence {one['id']} {one['matchers']}: {one['comment']}", soft_wrap=True, markup=False
        )
    for one in answer["inhibitors"]:
        console.print(f"  inhibited by {_labels(one['labels'])}, which fires", soft_wrap=True, markup=False)
    for one in answer["routes"]:
        channels = ", ".join(one["channels"]) or "no channel"
        console.print(
            f"  {one['receiver']} ({channels}): group {one['group_key']}, first after {one['group_wait']}, changes "
            f"every {one['group_interval']}, again every {one['repeat_interval']}"
            + (f"; muted by {', '.join(one['muted_by'])}" if one["muted_by"] else ""),
            soft_wrap=True,
            markup=False,
        )
    console.print()
    rows = [
        ("  " * one["depth"] + _route_name(one["matchers"]), one["receiver"], one["answer"], one["why"])
        for one in answer["asked"]
    ]
    console.print(table(("ROUTE*", "RECEIVER", "ANSWER", "WHY*"), rows))


def _show_tree(console: Any, answer: Mapping[str, Any]) -> None:
    status = answer["status"]
    for problem in status["problems"]:
        console.print(f"not used: {problem}", soft_wrap=True, markup=False)
    for warning in status["warnings"]:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    rows: list[tuple[Any, ...]] = []
    waiting: list[tuple[Mapping[str, Any], int]] = [(answer["route"], 0)]
    while waiting:
        one, depth = waiting.pop(0)
        rows.append(
            (
                "  " * depth + _route_name("{" + ", ".join(one["matchers"]) + "}"),
                one["receiver"] + (" (continues)" if one["continue"] else ""),
                ", ".join(one["group_by"]) or "–",
                one["group_wait"],
                one["group_interval"],
                one["repeat_interval"],
            )
        )
        waiting = [(below, depth + 1) for below in one["routes"]] + waiting
    console.print(table(("ROUTE*", "RECEIVER", "GROUPED BY", ">FIRST", ">CHANGES", ">AGAIN"), rows))
    where = {"file": status["name"], "resource": f"AlertRouting {status['name']}"}.get(status["origin"])
    console.print()
    console.print(
        f"from {where}"
        if where
        else "Nothing is configured; start with: setpoint up --alertmanager-config FILE",
        soft_wrap=True,
        markup=False,
    )


def _route_name(matchers: str) -> str:
    return "everything" if matchers == "{}" else matchers


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items())) + "}"
