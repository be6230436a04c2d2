"""`setpoint delete`: take back what was declared, by name or by the files that declared it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from setpoint.cli.options import DEFAULT_SERVER, OutputOption, ServerOption, TokenOption
from setpoint.cli.output import Output, emit
from setpoint.errors import InvalidInput, NotFound

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint delete SLO checkout-availability
  setpoint delete -f slo.yaml

The revisions stay, so the document can be read again and applied."""


@app.command(epilog=_EPILOG)
def delete(
    *,
    kind: Annotated[str | None, typer.Argument(help="Such as SLO or Service.")] = None,
    name: Annotated[str | None, typer.Argument(help="Which one.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            "--file", "-f", metavar="FILE|DIR|-", help="Delete what these files declare; may be repeated."
        ),
    ] = None,
    server: ServerOption = DEFAULT_SERVER,
    token: TokenOption = "",
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete what was declared."""
    from setpoint.cli.client import Client, segment
    from setpoint.cli.files import read_files, resource_names

    if bool(file) == bool(kind) or (kind is not None and name is None):
        raise InvalidInput("say what to delete: KIND and NAME, or files with -f\nsee: setpoint delete --help")
    names = resource_names(read_files(file)) if file else [(str(kind), str(name))]
    client = Client(server, token)
    deleted: list[dict[str, str]] = []
    missing: list[str] = []
    for one_kind, one_name in reversed(names):  # what was declared last may refer to what came before
        try:
            client.delete(f"/api/resources/{segment(one_kind)}/{segment(one_name)}")
            deleted.append({"kind": one_kind, "name": one_name})
        except NotFound as error:
            missing.append(error.message)

    def render(console: Any) -> None:
        for item in deleted:
            console.print(f"deleted {item['kind']} {item['name']}", soft_wrap=True)

    emit({"deleted": deleted}, output, render)
    if missing:
        raise NotFound("\n".join(missing))
