"""A group of commands that does not slow down what stands below it: `setpoint` itself and each group in it."""

from __future__ import annotations

import typer
from typer.core import TyperGroup

__all__ = ["Group", "commands"]


class Group(TyperGroup):
    """A Typer group whose own options are not read when a subcommand follows at once.

    Typer converts each option with pydantic, also one that is absent; importing that for the group alone
    would take a third of the time of `setpoint COMMAND --help`. The group's callback gets its defaults then.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        if not args or args[0].startswith("-"):
            return super().parse_args(ctx, args)
        ctx._protected_args, ctx.args = args[:1], args[1:]
        return ctx.args


def commands() -> typer.Typer:
    """A program of commands that does nothing by itself, such as `setpoint slo`: its help is shown then."""
    return typer.Typer(
        cls=Group,
        add_completion=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
