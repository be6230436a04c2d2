"""`setpoint slo spent` in a terminal: each cause with a bar, the unexplained rest, and the formulas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.cli.output import ago, duration, figure, percent, table

__all__ = ["show_spent"]

_CELLS = 12
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_NEW_S = 90


def show_spent(console: Console, answer: Mapping[str, Any], now_ms: int, *, explain: bool = False) -> None:
    """Who spent the budget, most first; `explain`: with the formula of each stretch."""
    name, end_ms = answer["name"], answer["end_ms"]
    length = duration(60 * -(-(end_ms - answer["start_ms"]) // 60_000))
    until = "" if now_ms - end_ms < _NEW_S * 1000 else f" until {ago(end_ms, now_ms)}"
    if not answer["bad"]:
        counted = (
            f"all {answer['total']:,.0f} events were good" if answer["total"] else "there were no events"
        )
        console.print(f"Nothing of {name} was spent in {length}{until}: {counted}.", soft_wrap=True)
        return
    head = f"  {percent(answer['of_budget'])} of the budget, {figure(answer['bad'])} bad of "
    head += f"{figure(answer['allowed'])} allowed, in {length}{until}"
    console.print(Text.assemble((name, "bold"), head), soft_wrap=True)
    console.print()
    rest = answer["unexplained"]
    rows: list[tuple[str | Text, ...]] = [
        (
            _bar(cause["of_spent"]),
            percent(cause["of_spent"]),
            figure(cause["bad"]),
            percent(cause["of_budget"]),
            cause["kind"],
            cause["title"],
            ago(cause["first_ms"], now_ms),
        )
        for cause in answer["causes"]
    ]
    rows.append(
        (
            _bar(rest["of_spent"], "bright_black"),
            percent(rest["of_spent"]),
            figure(rest["bad"]),
            percent(rest["of_budget"]),
            "",
            Text("unexplained", style="bright_black"),
            "",
        )
    )
    console.print(table(("", ">SPENT", ">BAD", ">OF BUDGET", "KIND", "CAUSE*", ">SINCE"), rows))
    console.print(f"\n{answer['formula']}", soft_wrap=True)
    console.print(answer["sum"], soft_wrap=True)
    if explain:
        _explain(console, answer)
    elif not answer["causes"]:
        told = (
            f"{answer['harmless']} known causes overlap nothing of it"
            if answer["harmless"]
            else (
                f'tell of deploys with: setpoint event add "{answer["service"]} 1.4.2" --service {answer["service"]}'
            )
        )
        console.print(told, style="bright_black", soft_wrap=True)


def _title(cause: Mapping[str, Any]) -> str:
    way = f" ({' → '.join(cause['via'])})" if len(cause["via"]) > 1 else ""
    return f"{cause['title']}{way}"


def _bar(part: float, style: str = "default") -> Text:
    eighths = max(1, round(part * _CELLS * 8)) if part > 0 else 0
    full, left = divmod(eighths, 8)
    text = "█" * full + (_EIGHTHS[left] if left else "")
    return Text(text.ljust(_CELLS), style=style)


def _explain(console: Console, answer: Mapping[str, Any]) -> None:
    for cause in answer["causes"]:
        console.print()
        console.print(_title(cause), style="bold", soft_wrap=True)
        for stretch in cause["stretches"]:
            console.print(f"  {stretch['formula']}", soft_wrap=True)
        more = cause["stretches_total"] - len(cause["stretches"])
        if more > 0:
            console.print(f"  and {more} more stretches")
        for event in (*cause["events"], *cause["related"]):
            console.print(f"  {event['kind']}: {event['summary']}", style="bright_black", soft_wrap=True)
    console.print()
    for sentence in answer["rule"]:
        console.print(sentence, soft_wrap=True)
