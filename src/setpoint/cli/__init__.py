"""The command line: one file per command, talking HTTP to the server and holding no engine.

`main` is what the `setpoint` program calls. It imports its machinery only then, because the first code of the
server process (`cli.child`) lives in this package too and must start at once.
"""

from __future__ import annotations

__all__ = ["command_names", "main"]


def main() -> int:
    """Run the command of `sys.argv` and return the exit code of the process."""
    from setpoint.cli.entry import run

    return run()


def command_names() -> list[tuple[str, ...]]:
    """The words of every command and subcommand in the order of `--help`, such as `("demo", "break")`."""
    from setpoint.cli.entry import command_names as names

    return names()
