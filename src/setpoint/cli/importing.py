"""`setpoint import`: documents of Sloth and Pyrra as OpenSLO, and a list of what could not be carried over."""

from __future__ import annotations

import dataclasses
import enum
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from setpoint.cli.options import OutputOption
from setpoint.cli.output import Output, emit
from setpoint.errors import ChecksFailed

if TYPE_CHECKING:
    from setpoint.objective.convert import Imported, Note

__all__ = ["app"]

app = typer.Typer(add_completion=False)

_EPILOG = """[bold]Examples[/]
  setpoint import checkout.yml
  setpoint import sloth/ --period 28d > objectives.yaml
  setpoint import sloth/ | setpoint apply -f - --dry-run
  setpoint import slo.yaml windows.yaml --period 7d --strict

OpenSLO goes to standard output; what was changed and what could not be carried
over is listed on standard error, with file and line. With --strict nothing is
printed and the exit code is 8 when something could not. No server is needed."""

_LINES_MAX = 8
_TITLES = (("lost", "Not carried over"), ("changed", "Changed"), ("idle", "Without meaning here"))


class From(enum.StrEnum):
    """What `--from` takes."""

    SLOTH = "sloth"
    PYRRA = "pyrra"


@app.command("import", epilog=_EPILOG)
def import_(
    *,
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR|-", help="Files, folders, or - for standard input.")
    ],
    origin: Annotated[
        From | None,
        typer.Option("--from", help="Whose documents these are, where they do not say it themselves."),
    ] = None,
    period: Annotated[
        str, typer.Option("--period", metavar="DURATION", help="Sloth: the time that its objectives are for.")
    ] = "30d",
    service: Annotated[
        str, typer.Option("--service", metavar="NAME", help="Pyrra: the service that the SLOs are about.")
    ] = "",
    datasource: Annotated[
        str,
        typer.Option("--datasource", metavar="NAME", help="The DataSource to read from; else own telemetry."),
    ] = "",
    no_services: Annotated[
        bool, typer.Option("--no-services", help="Leave out the Services: they are declared already.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Print nothing when something cannot be carried over; exit 8.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Read Sloth and Pyrra documents as OpenSLO."""
    from setpoint.app import default_registry
    from setpoint.cli.files import read_files
    from setpoint.objective.convert import Options, import_documents

    found = import_documents(
        read_files(files),
        default_registry(),
        options=Options(period, service, datasource, not no_services),
        origin=None if origin is None else origin.value,
    )
    is_refused = strict and bool(found.of_kind("lost"))
    if output is Output.JSON:
        emit(_as_data(found, is_refused=is_refused), output, lambda console: None)
    else:
        if not is_refused:
            sys.stdout.write(found.text)
            sys.stdout.flush()
        _tell(found, is_refused=is_refused)
    if is_refused:
        raise typer.Exit(ChecksFailed.exit_code)


def _as_data(found: Imported, *, is_refused: bool) -> dict[str, Any]:
    told = {kind: [_note(note) for note in found.of_kind(kind)] for kind, _ in _TITLES}
    return {"documents": [] if is_refused else [one.body for one in found.documents], **told}


def _note(note: Note) -> dict[str, Any]:
    return {key: value for key, value in dataclasses.asdict(note).items() if key != "kind"}


def _tell(found: Imported, *, is_refused: bool) -> None:
    """What became of the parts, on standard error; equal sentences about one file once, with their lines."""
    from setpoint.cli.output import console

    out = console(stderr=True)
    for kind, title in _TITLES:
        notes = found.of_kind(kind)
        if notes:
            out.print(f"{title}:", style="bold")
        for line in _lines(notes):
            out.print(f"  {line}", soft_wrap=True)
    slos = sum(1 for one in found.documents if one.key[0] == "SLO")
    counts = ", ".join(f"{len(found.of_kind(kind))} {title.lower()}" for kind, title in _TITLES)
    verdict = "; nothing was printed (--strict)" if is_refused else ""
    out.print(f"{slos} SLO{'' if slos == 1 else 's'}: {counts}{verdict}", soft_wrap=True)


def _lines(notes: list[Note]) -> list[str]:
    places: dict[tuple[str, str], list[Note]] = {}
    for note in notes:
        file = "" if note.kind == "idle" else note.file
        places.setdefault((file, note.message), []).append(note)
    return [f"{same[0]}{_more(same)}" for same in places.values()]


def _more(same: list[Note]) -> str:
    """Where else it is so: lines of the same file, or how many there are in others."""
    rest = same[1:]
    if not rest:
        return ""
    if any(note.file != same[0].file for note in rest):
        return f" (and {len(rest):,} more)"
    lines = ", ".join(str(note.line) for note in rest[:_LINES_MAX])
    return f" (also in line{'s' if rest[1:] else ''} {lines}{' …' if rest[_LINES_MAX:] else ''})"
