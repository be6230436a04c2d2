"""`setpoint get`: the declared resources, as a list or one as the YAML that was applied."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, ago, emit, facts, table
from setpoint.clock import SystemClock
from setpoint.errors import InvalidInput

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint get
  setpoint get SLO
  setpoint get SLO checkout-availability
  setpoint get SLO checkout-availability -o json
  setpoint get SLO -o yaml > objectives.yaml
  setpoint get SLO checkout-availability --revisions

One resource is shown as the YAML that was applied; its revisions with who changed what when.
-o yaml writes the documents themselves, which 'setpoint apply -f' takes again."""


@app.command(epilog=_EPILOG)
def get(
    *,
    kind: Annotated[str | None, typer.Argument(help="Such as SLO or Service.")] = None,
    name: Annotated[str | None, typer.Argument(help="Of that kind, to show one.")] = None,
    revisions: Annotated[
        bool, typer.Option("--revisions", help="Who changed it when, newest first; deleted ones too.")
    ] = False,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """List what is declared, or show one of it."""
    from setpoint.cli.client import Client, segment

    client = Client(server, token)
    if revisions:
        if kind is None or name is None:
            raise InvalidInput("--revisions is of one resource; write: setpoint get KIND NAME --revisions")
        answer = client.get(f"/api/resources/{segment(kind)}/{segment(name)}/revisions")
        emit(answer, output, lambda console: _show_revisions(console, answer["items"]))
        return
    if kind is not None and name is not None:
        answer = client.get(f"/api/resources/{segment(kind)}/{segment(name)}")
        if output is Output.YAML:
            _write([answer])
            return
        emit(answer, output, lambda console: _show_one(console, answer))
        return
    answer = client.get("/api/resources", kind=kind)
    if output is Output.YAML:
        _write(answer["items"])
        return
    emit(answer, output, lambda console: _show_list(console, answer["items"], kind))


def _write(items: list[dict[str, Any]]) -> None:
    """The documents themselves, as `apply` takes them."""
    from setpoint.resource import canonical_yaml

    sys.stdout.write("---\n".join(canonical_yaml(item["body"]) for item in items))


def _show_list(console: Any, items: list[dict[str, Any]], kind: str | None) -> None:
    if not items:
        what = "Nothing" if kind is None else f"No {kind}"
        console.print(f"{what} is declared yet; declare one with: setpoint apply -f FILE")
        return
    now_ms = SystemClock().now_ms()
    rows = [
        (
            item["kind"],
            item["name"],
            str(item["revision"]),
            ago(item.get("updated_ms"), now_ms),
            item.get("author", ""),
        )
        for item in items
    ]
    console.print(table(("KIND", "NAME*", ">REVISION", "CHANGED", "BY"), rows))


def _show_one(console: Any, item: dict[str, Any]) -> None:
    from setpoint.resource import canonical_yaml

    changed = ago(item.get("updated_ms"), SystemClock().now_ms())
    console.print(facts([("Revision", f"{item['revision']}, {changed} by {item.get('author', 'unknown')}")]))
    console.print()
    console.print(canonical_yaml(item["body"]), soft_wrap=True, end="")


def _show_revisions(console: Any, items: list[dict[str, Any]]) -> None:
    now_ms = SystemClock().now_ms()
    for item in items:
        what = "deleted" if item["body"] is None else "applied"
        when = ago(item["at_ms"], now_ms)
        console.print(f"revision {item['revision']} {what} {when} by {item['author']}", highlight=False)
        console.print(item["diff"], markup=False, highlight=False, soft_wrap=True)
