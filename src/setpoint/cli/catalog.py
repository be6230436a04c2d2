"""What `setpoint --help` lists, without importing a single command.

`entry` shows these lines and imports a command's module only when that command runs, so that help and
completion answer in a fraction of a second. A test holds each line equal to the first line of the command's
own help.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOG", "EXIT_CODES", "CommandEntry"]

_RUN, _DECLARE, _LOOK = "Run", "Declare what you want", "Look at what happens"


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command: name, module of `setpoint.cli` with its Typer `app`, one-line help, group."""

    name: str
    module: str
    summary: str
    panel: str


CATALOG = (
    CommandEntry("demo", "demo", "Start Setpoint and a small shop that you can break.", _RUN),
    CommandEntry("up", "up", "Start the Setpoint server in the foreground.", _RUN),
    CommandEntry("warm", "warm", "Compile the kernels once, so that the first start is quick.", _RUN),
    CommandEntry("user", "user", "Manage who may sign in, and as what.", _RUN),
    CommandEntry("token", "tokens", "Manage the tokens of programs.", _RUN),
    CommandEntry("version", "version", "Show the version.", _RUN),
    CommandEntry("apply", "apply", "Create or change what the files declare.", _DECLARE),
    CommandEntry("import", "importing", "Read Sloth and Pyrra documents as OpenSLO.", _DECLARE),
    CommandEntry("diff", "diff", "Show what 'apply' would change; change nothing.", _DECLARE),
    CommandEntry("validate", "validate", "Check files without a server.", _DECLARE),
    CommandEntry("test", "test", "Test rules, queries and objectives, without a server.", _DECLARE),
    CommandEntry("get", "get", "List what is declared, or show one of it.", _DECLARE),
    CommandEntry("delete", "delete", "Delete what was declared.", _DECLARE),
    CommandEntry("status", "status", "Show every objective's state and the server's own.", _LOOK),
    CommandEntry("slo", "slo", "List objectives, or explain one with its numbers.", _LOOK),
    CommandEntry("backtest", "backtest", "Replay alert policies over an objective's history.", _LOOK),
    CommandEntry("report", "report", "Tell what was promised and kept in a period.", _LOOK),
    CommandEntry("sla", "sla", "List SLAs, or show one with the credit of its periods.", _LOOK),
    CommandEntry("team", "team", "List teams, or show one with its week.", _LOOK),
    CommandEntry("gate", "gate", "Ask whether a change may be released, by the error budget.", _LOOK),
    CommandEntry("alert", "alert", "Show what fires, why, who was told, and how noisy it is.", _LOOK),
    CommandEntry("silence", "silence", "Mute alerts for a time, and see what is muted.", _LOOK),
    CommandEntry(
        "notification", "notification", "List what was told to whom; send again what was given up.", _LOOK
    ),
    CommandEntry("timeline", "timeline", "List what happened, newest first.", _LOOK),
    CommandEntry("event", "event", "Put an event on the timeline, such as a deploy.", _LOOK),
    CommandEntry("promql", "promql", "Answer a PromQL query: a table, or a graph over a range.", _LOOK),
    CommandEntry("telemetry", "telemetry", "Show who sends what, and what it costs.", _LOOK),
    CommandEntry("targets", "targets", "List what is scraped, and how it went.", _LOOK),
    CommandEntry(
        "datasources",
        "datasources",
        "List the servers that objectives are read from.",
        _LOOK,
    ),
)

EXIT_CODES = (
    (0, "done"),
    (1, "internal error"),
    (2, "invalid input or usage"),
    (3, "not found"),
    (4, "conflict"),
    (5, "not allowed (token)"),
    (6, "server unavailable"),
    (7, "start refused"),
    (8, "tests failed"),
    (9, "gate holds"),
    (10, "gate does not know"),
    (130, "interrupted"),
)
"""Exit code and its meaning; codes 1 to 10 are those of `setpoint.errors`."""
