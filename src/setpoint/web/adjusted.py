"""What the page of an objective tells of its adjustments: the stretches on the chart, and sentences with numbers."""

from __future__ import annotations

from setpoint.app import App
from setpoint.errors import SetpointError
from setpoint.objective.adjustment.effect import Effect
from setpoint.objective.adjustment.view import AdjustedTime, AdjustmentStatus
from setpoint.web import format

__all__ = ["adjusted_sentences", "adjusted_time", "bands_of"]

_DONE = {"exclude": "left out", "good": "counted good", "correct": "corrected"}


def adjusted_time(parts: App, name: str, start_ms: int, end_ms: int) -> list[AdjustedTime]:
    """When an objective's budget is adjusted, in (start, end]."""
    return parts.objectives.adjustments.time(name, start_ms, end_ms)


def bands_of(times: list[AdjustedTime]) -> list[tuple[int, int, str]]:
    """Start, end and text of each, for a chart."""
    return [(one.start_ms, one.end_ms, f"{one.name}: {one.reason}") for one in times]


def adjusted_sentences(parts: App, name: str) -> tuple[str, ...]:
    """What the adjustments in the objective's window do to its budget. What cannot be read is not told."""
    try:
        found = parts.objectives.adjustments.statuses(name) if parts.objectives.adjustments.all else []
        return tuple(_sentence(one, effect) for one in found for effect in one.effects if effect.minutes)
    except SetpointError as error:
        return (f"What adjustments did cannot be told at present: {error.message}.",)


def _sentence(one: AdjustmentStatus, effect: Effect) -> str:
    events = f"{format.count(effect.events)} events, {format.count(effect.bad)} of them bad"
    length = format.duration(60 * effect.minutes)
    how = _DONE[effect.action or "correct"]
    told = f"{one.name}: {length} of the window {how} ({events}), because {one.reason}"
    if one.kind == "correction":
        told = f"{one.name} {one.what} where {events} were counted, because {one.reason}"
    return f"{told}; {effect.words}."
