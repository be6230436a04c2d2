"""A report as Markdown and CSV: for a message, a wiki, a spreadsheet. `report` serves them.

Markdown says what the page says, with the same figures; CSV has one line for each objective, ratios between 0 and 1 and
empty cells where nothing was seen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from setpoint.report import Period, Report
from setpoint.report.model import ObjectiveLine
from setpoint.web.format import budget, count, percent, share, sli

__all__ = ["HEADS", "as_csv", "as_markdown", "cells", "lead", "when"]

_COLUMNS = (
    "objective", "service", "team", "verdict", "target", "sli", "bad", "total", "allowed", "used",
    "budget_before", "budget_after", "unseen_minutes", "minutes",
)  # fmt: skip

HEADS = ("Verdict", "Objective", "Target", "SLI", "Budget used", "Bad", "Left before", "Left after")


def when(period: Period) -> str:
    """From when to when, by the clock of its zone: `16 to 22 November 2026, Europe/Berlin`."""
    zone = ZoneInfo(period.time_zone)
    first = datetime.fromtimestamp(period.start_ms / 1000, tz=zone)
    last = datetime.fromtimestamp(period.end_ms / 1000 - 1, tz=zone)
    begin = f"{first.day}"
    if (first.year, first.month) != (last.year, last.month):
        begin += f" {first:%B}"
    if first.year != last.year:
        begin += f" {first.year}"
    return f"{begin} to {last.day} {last:%B} {last.year}, {period.time_zone}"


def lead(report: Report) -> str:
    """The report in a sentence or three."""
    verdicts = report.verdicts
    if not report.objectives:
        return f"No objective belongs to {report.scope.words}."
    kept, missed, unseen = verdicts["kept"], verdicts["missed"], verdicts["no data"]
    told = [f"{kept} of {len(report.objectives)} objectives {'were' if report.is_final else 'are'} kept"]
    if missed:
        worst = report.objectives[0]
        told.append(f"{missed} missed, {worst.name} with {_times(worst.used)} of what was allowed")
    if doubtful := verdicts["don't know"]:
        told.append(f"of {doubtful} nobody knows, as too much was not seen")
    if unseen:
        told.append(f"{unseen} without data, which says nothing of them")
    pages = f"Somebody was paged {_often(report.pages)}" if report.pages else "Nobody was paged"
    if report.night_pages:
        pages += f", {_often(report.night_pages)} at night"
    deploys = report.counts.get("deploy", 0)
    changes = "no deploy is known" if not deploys else f"{deploys:,} deploy{'s' if deploys > 1 else ''}"
    return f"{'; '.join(told)}. {pages}; {changes}."


def as_markdown(report: Report) -> str:
    """The whole report."""
    period = report.period
    parts = [
        f"# {period.name}: {_plain(report.scope.words)}",
        f"{when(period)}{'' if report.is_final else ' (not over yet)'}",
    ]
    # Only the name of the scope may hold anything, and the lead says it only where there is nothing else to say.
    parts += [lead(report) if report.objectives else _plain(lead(report)), "## Objectives"]
    parts.append(_table(HEADS, (cells(line) for line in report.objectives)) if report.objectives else "None.")
    if report.causes:
        parts.append("## Who spent the budgets")
        rows = (
            (one.cause, one.service, one.objective, count(one.bad), share(one.share, 1))
            for one in report.causes
        )
        parts.append(_table(("Cause", "Service", "Objective", "Bad events", "Share"), rows))
    if report.alerts:
        parts.append("## Alerts")
        rows = (
            (one.severity, one.objective, one.policy, f"{one.fired:,}", f"{one.at_night:,}")
            for one in report.alerts
        )
        parts.append(_table(("Severity", "Objective", "Policy", "Fired", "At night"), rows))
    if report.happened:
        parts.append("## What happened")
        zone = ZoneInfo(period.time_zone)
        parts.append(
            "\n".join(
                f"- {datetime.fromtimestamp(one.at_ms / 1000, tz=zone):%Y-%m-%d %H:%M} "
                f"**{_plain(one.service or '–')}** {_plain(one.summary)}"
                for one in report.happened
            )
        )
    return "\n\n".join(parts) + "\n"


def as_csv(report: Report) -> str:
    """The objectives, one a line."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for line in report.objectives:
        writer.writerow(
            _cell(value)
            for value in (
                line.name, line.service, line.team, line.verdict, line.target, line.sli, line.bad, line.total,
                line.allowed, line.used, line.left_before, line.left_after, line.unseen_minutes, line.minutes,
            )
        )  # fmt: skip
    return text.getvalue()


def _cell(value: object) -> object:
    """A value of a cell; text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, float):
        return f"{value:.10g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value


def cells(line: ObjectiveLine) -> tuple[str, ...]:
    """An objective of a report under `HEADS`, as people read it."""
    return (
        line.verdict,
        line.name,
        percent(line.target),
        sli(line.sli, line.target),
        _times(line.used),
        count(line.bad) if line.total else "–",
        budget(line.left_before),
        budget(line.left_after),
    )


def _times(used: float | None) -> str:
    return share(used, 1.0)


def _often(times: int) -> str:
    return {1: "once", 2: "twice"}.get(times, f"{times:,} times")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that no Markdown reader takes for markup or the end of a cell."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}") if mark in text else text
    return " ".join(text.split())
