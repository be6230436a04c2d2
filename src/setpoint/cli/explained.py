"""`setpoint slo explain` in a terminal: what is counted, and each figure as a formula with its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.objectives import alert_state, target
from setpoint.cli.output import duration, facts, figure, percent, state, table

__all__ = ["show_explanation"]

Explained = Mapping[str, Any]


def show_explanation(console: Console, told: Explained) -> None:
    """All of the answer of `/objectives/{name}/explain`."""
    name = told["state"]
    reason = str(told.get("reason") or "").removeprefix(name).lstrip(": ")
    console.print(
        Text.assemble(state(name), "  ", (str(told["name"]), "bold"), f"  {reason}"), soft_wrap=True
    )
    _heading(console, "What is counted")
    for sentence in told["counted"]:
        console.print(sentence, soft_wrap=True)
    for query in told["queries"]:
        _query(console, f"{query['role']}, {query['language']}", query["text"].strip())
    console.print(Text.assemble(("Window  ", "bold"), told["window"]["words"]), soft_wrap=True)
    _heading(console, "Figures")
    console.print(
        facts(
            [
                (step["name"], f"{step['formula']} = {step['values']} = {step['result']}")
                for step in told["steps"]
            ]
        )
    )
    _parts(console, told["parts"])
    _burn(console, told["burn"])
    if told["alerts"]:
        _heading(console, "Alerts")
        for alert in told["alerts"]:
            console.print(
                f"{alert['policy']}, {alert['severity']}, {alert_state(alert['state'])}: {alert['summary']}",
                soft_wrap=True,
            )
            for warning in alert.get("warnings") or []:
                console.print(f"  {warning}", style="yellow", soft_wrap=True)
    if told.get("adjusted"):
        _heading(console, "Adjusted")
        for sentence in told["adjusted"]:
            console.print(sentence, soft_wrap=True)
    _heading(console, "Data")
    for sentence in [*told["data"], *told["warnings"]]:
        console.print(sentence, soft_wrap=True)


def _query(console: Console, name: str, text: str) -> None:
    lines = text.splitlines()
    if len(lines) == 1:
        console.print(Text.assemble((f"{name}  ", "bold"), text), soft_wrap=True)
        return
    console.print(Text(name, style="bold"))
    for line in lines:
        console.print(f"  {line}", soft_wrap=True)


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(text, style="bold underline")


def _parts(console: Console, parts: Sequence[Mapping[str, Any]]) -> None:
    if not parts:
        return
    _heading(console, "Parts")
    rows = [
        (
            part["name"],
            state(part["state"]) if part.get("state") else Text("does not exist", style="red"),
            f"{part['weight']:.4g} ({percent(part['share'], 0)})",
            percent(part.get("sli"), 3),
            target(part["target"]) if part.get("target") is not None else "–",
            percent(part.get("budget_left")),
        )
        for part in parts
    ]
    console.print(table(("PART*", "STATE", ">WEIGHT", ">SLI", ">TARGET", ">BUDGET LEFT"), rows))


def _burn(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    _heading(
        console,
        "Burn = (bad / total) / (1 − target), over two windows that must both be beyond the threshold",
    )
    console.print(table(("WINDOW", "VALUES*", ">BURN", "", ">THRESHOLD", "ALERT", "NOW"), _burn_rows(rows)))


def _burn_rows(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str | Text, ...]]:
    made: list[tuple[str | Text, ...]] = []
    for row in rows:
        for step, window_s in ((row["short"], row["short_s"]), (row["long"], row["long_s"])):
            is_over = step["value"] is not None and step["value"] > row["threshold"]
            compared = "" if step["value"] is None else "over" if is_over else "not over"
            is_last = step is row["long"]
            firing = Text("▲ firing", style="yellow") if row["is_firing"] else Text("– quiet")
            unreachable = Text("out of reach", style="yellow")
            made.append(
                (
                    duration(window_s),
                    step["values"],
                    step["result"],
                    compared,
                    figure(row["threshold"], "×"),
                    ("state only" if row["severity"] == "watch" else row["severity"]) if is_last else "",
                    (firing if row["is_reachable"] else unreachable) if is_last else "",
                )
            )
    return made
