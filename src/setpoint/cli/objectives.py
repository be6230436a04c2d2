"""How objectives look in a terminal: the table of `status` and `slo list`, and one with all its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.output import budget, duration, facts, figure, percent, state, table

__all__ = ["show_objective", "show_objectives"]

Status = Mapping[str, Any]


def show_objectives(console: Console, statuses: Sequence[Status]) -> None:
    """The table, worst first as the server sorts it; fits 80 columns."""
    if not statuses:
        console.print("No objective is declared yet; declare one with: setpoint apply -f FILE")
        return
    rows = [
        (
            state(status["state"]),
            status["name"],
            _target(status["target"]),
            budget(status.get("budget_left"), status["state"]),
            figure(status.get("burn_now"), "×"),
            _gone_in(status),
        )
        for status in statuses
    ]
    console.print(table(("STATE", "OBJECTIVE*", ">TARGET", "BUDGET LEFT", ">BURN", ">GONE IN"), rows))


def _target(target: float) -> str:
    return f"{target * 100:.6g} %"


def _gone_in(status: Status) -> str:
    if status["state"] == "exhausted":
        return "gone"
    return duration(status.get("exhaustion_s")) if status["state"] == "burning" else "–"


def show_objective(console: Console, status: Status) -> None:
    """Everything about one objective: figures, burn rates per window, and how they were computed."""
    name = status["state"]
    heading = Text.assemble(
        state(name), "  ", (str(status["name"]), "bold"), f"  {status.get('reason') or ''}"
    )
    console.print(heading, soft_wrap=True)
    console.print()
    window = f"{duration(status['window_s'])}{' rolling' if status.get('is_rolling') else ''}"
    good, total, bad = (status.get(key) for key in ("good", "total", "bad"))
    console.print(
        facts(
            [
                ("Service", str(status.get("service") or "–")),
                ("Target", f"{_target(status['target'])} over {window}"),
                ("SLI", percent(status.get("sli"), 4)),
                ("Budget left", budget(status.get("budget_left"), name)),
                ("Events", f"{figure(good)} good of {figure(total)}"),
                ("Failures", f"{figure(bad)} of {figure(status.get('allowed_bad'))} allowed"),
                ("Gone in", _gone_in(status)),
                (
                    "Covered",
                    f"{duration(status.get('covered_s'))}, {status.get('gap_minutes') or 0} min without data",
                ),
            ]
        )
    )
    _show_burn_rates(console, status.get("burn") or [])
    if status.get("explanation"):
        console.print()
        console.print(str(status["explanation"]), soft_wrap=True)


def _show_burn_rates(console: Console, rates: Sequence[Mapping[str, Any]]) -> None:
    if not rates:
        return
    rows = [
        (
            str(rate.get("severity") or ""),
            f"{duration(rate['long_s'])} / {duration(rate['short_s'])}",
            figure(rate.get("long_burn"), "×"),
            figure(rate.get("short_burn"), "×"),
            figure(rate.get("threshold"), "×"),
            Text("▲ firing", style="yellow") if rate.get("firing") else Text("– quiet"),
        )
        for rate in rates
    ]
    console.print()
    console.print(table(("SEVERITY", "WINDOWS", ">LONG", ">SHORT", ">THRESHOLD", "NOW"), rows))
