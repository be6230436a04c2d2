"""The `setpoint` program: finds the command, runs it, turns every error into two lines and an exit code.

Called by `setpoint.cli.main`. Commands raise `SetpointError`; this is the only place that prints errors.
Commands are listed from `catalog` and imported when they run.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
import typer.main
from typer.core import TyperCommand
from typer.exceptions import TyperException

from setpoint.cli.catalog import CATALOG, EXIT_CODES, CommandEntry
from setpoint.cli.group import Group
from setpoint.errors import InvalidInput, SetpointError

__all__ = ["command_names", "run"]

_EPILOG = """[bold]Start here[/]
  setpoint demo                     a shop to watch and to break
  setpoint demo break checkout --error-ratio 0.3
  setpoint status                   states, budgets left, burn rates

[bold]Your own services[/]
  setpoint up --data ./data         pages on :7070, OTLP on :4317 and :4318
  setpoint validate -f slo.yaml
  setpoint apply -f slo.yaml

[bold]Exit codes[/]
  {exit_codes}

SETPOINT_SERVER and SETPOINT_TOKEN stand for --server and --token."""


class _LazyGroup(Group):
    """A group that lists its commands from the catalog and imports one when it is called."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for entry in CATALOG:
            self.add_command(TyperCommand(entry.name, short_help=entry.summary, rich_help_panel=entry.panel))

    def resolve_command(self, ctx: typer.Context, args: list[str]) -> tuple[str | None, Any, list[str]]:  # type: ignore[override]
        name, command, rest = super().resolve_command(ctx, args)
        for entry in CATALOG:
            if entry.name == name:
                command = _load(entry)
        return name, command, rest


def _load(entry: CommandEntry) -> Any:
    """The real command, from its module."""
    command = typer.main.get_command(importlib.import_module(f"setpoint.cli.{entry.module}").app)
    command.name = entry.name
    return command


def command_names() -> list[tuple[str, ...]]:
    """The words of every command and subcommand in the order of `--help`, such as `("demo", "break")`."""
    names: list[tuple[str, ...]] = []
    for entry in CATALOG:
        names.append((entry.name,))
        names += [(entry.name, below) for below in getattr(_load(entry), "commands", {})]
    return names


def _exit_codes() -> str:
    phrases = [f"{code} {meaning}" for code, meaning in EXIT_CODES]
    return "\n  ".join(" · ".join(phrases[at : at + 4]) for at in range(0, len(phrases), 4))


_app = typer.Typer(
    cls=_LazyGroup,
    rich_markup_mode="rich",
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=_EPILOG.format(exit_codes=_exit_codes()),
)


def _show_version(value: bool) -> None:
    if value:
        from setpoint import __version__

        typer.echo(f"setpoint {__version__}")
        raise typer.Exit


@_app.callback(invoke_without_command=True)
def _root(
    ctx: typer.Context,
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and end."),
    ] = False,
) -> None:
    """Setpoint keeps services at their objectives: telemetry in, error budgets, and decisions that act."""
    if ctx.invoked_subcommand is None:
        ctx.get_help()
        raise typer.Exit(InvalidInput.exit_code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv[1:]` by default) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal without UTF-8 shows a question mark instead of ending the command.
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        result = typer.main.get_command(_app).main(
            args=None if arguments is None else list(arguments), prog_name="setpoint", standalone_mode=False
        )
        sys.stdout.flush()
    except SetpointError as error:
        return _report_error(error)
    except TyperException as error:
        return _report_usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:
        # The reader (`head`, `less`) has enough. Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _report(message: str, exit_code: int) -> int:
    sys.stderr.write(f"setpoint: {message}\n")
    return exit_code


def _report_error(error: SetpointError) -> int:
    """Each problem on a line of its own that begins with the place, for editors; then their number."""
    if not isinstance(error, InvalidInput) or not error.problems:
        return _report(error.message, error.exit_code)
    count = len(error.problems)
    sys.stderr.write(f"{error.message}\n")
    return _report(f"{count} problem{'' if count == 1 else 's'}; nothing was changed", error.exit_code)


def _report_usage(error: TyperException) -> int:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        return error.exit_code
    hint = f"\nsee: {context.command_path} --help" if context is not None else ""
    return _report(f"{message}{hint}", error.exit_code)
