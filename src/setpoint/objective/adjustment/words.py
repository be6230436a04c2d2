"""Sentences about adjustments, with their numbers: for the state of an objective, for lists and for the timeline."""

from __future__ import annotations

from datetime import UTC, datetime

from setpoint.objective.adjustment.model import Action, Adjustment
from setpoint.objective.adjustment.plan import Plan
from setpoint.objective.duration import spoken_duration
from setpoint.objective.live import slot_of

__all__ = ["running", "spoken_minute", "what_it_does", "when_it_is"]

_SILENT_S = 60
_DONE: dict[Action, str] = {"exclude": "its time is left out", "good": "its events count as good"}


def spoken_minute(minute: int, now_minute: int | None = None) -> str:
    """An instant in UTC; without the day where that is today's."""
    at = datetime.fromtimestamp(minute * 60, UTC)
    if now_minute is not None and at.date() == datetime.fromtimestamp(now_minute * 60, UTC).date():
        return f"{at:%H:%M} UTC"
    return f"{at.day} {at:%b %Y %H:%M} UTC"


def running(plan: Plan, at: int, now_ms: int, silent_s: float | None) -> str:
    """That an objective is in adjusted time, why, and until when; empty when it is not."""
    number = int(plan.quiet[at]) if len(plan.quiet) else -1
    minute = slot_of(now_ms)
    spans = plan.profiles[number].spans(minute, minute + 1) if number >= 0 else []
    if not spans:
        return ""
    (_, end), one, action = max(spans, key=lambda span: (span[2] == "exclude", span[0][1]))
    told = f"in maintenance until {spoken_minute(end, minute)} ({one.name}: {one.reason}), {_DONE[action]}"
    if silent_s is not None and silent_s > _SILENT_S:
        told += f", no data for {spoken_duration(silent_s)}"
    return told


def what_it_does(one: Adjustment) -> str:
    """What an adjustment does to budgets, in a few words."""
    if one.correction is None:
        return "leaves time out" if one.action == "exclude" else "counts time good"
    changes = [
        f"{'adds' if number > 0 else 'takes away'} {abs(number):,.10g} {word} events"
        for number, word in ((one.correction.bad, "bad"), (one.correction.good, "good"))
        if number
    ]
    return " and ".join(changes)


def when_it_is(one: Adjustment) -> str:
    """When an adjustment takes place, in a sentence."""
    if one.recurrence is not None:
        rule = one.recurrence
        lasts = spoken_duration(60 * rule.duration_minutes)
        start = datetime.fromisoformat(rule.start)
        return f"{rule.rule}, {lasts} each, from {start.day} {start:%b %Y %H:%M} on, {rule.time_zone}"
    span = one.once
    if one.correction is not None:
        span = one.correction.first, one.correction.end
    assert span is not None
    if span[1] - span[0] == 1:
        return spoken_minute(span[0])
    return f"{spoken_minute(span[0])} to {spoken_minute(span[1])}"
