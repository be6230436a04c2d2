"""The graph of any series that the server draws, for a page without JavaScript: several lines over one time.

`explore` uses it. Colours come from the style sheet by class (`s0` to `s7`); what is beyond them repeats the colours
with dashes. The same graph is drawn by uPlot in `static/explore.js` where scripts run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.axis import figure, levels
from setpoint.web.chart import segments, ticks

__all__ = ["COLOURS", "Picture", "draw"]

COLOURS = 8
_WIDTH, _HEIGHT, _LEFT, _TOP, _BELOW = 900, 280, 64, 12, 34
_POINTS = 200


@dataclass(frozen=True, slots=True)
class Picture:
    """Coordinates in a `width` × `height` view box; a line is its place, the runs of its points, and its dots."""

    width: int
    height: int
    left: int
    right: int
    bottom: float
    lines: list[tuple[int, list[str], list[str]]]
    grid: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    marks: list[tuple[float, str, str]]


def draw(
    times_ms: Sequence[int],
    rows: Sequence[Sequence[float | None]],
    span_ms: tuple[int, int],
    events: Sequence[tuple[int, str, str]],
) -> Picture:
    """The lines of `rows`, each with a value or None per instant of `times_ms`, over all of `span_ms`.

    `events` are (instant, kind, summary) marked on the time axis.
    """
    start, end = span_ms
    thin = max(1, -(-len(times_ms) // _POINTS))
    known = [value for row in rows for value in row[::thin] if value is not None and math.isfinite(value)]
    steps = levels(min(known, default=0.0), max(known, default=1.0))
    low, high = steps[0], steps[-1]
    width, height = _WIDTH - _LEFT - 16, _HEIGHT - _TOP - _BELOW

    def x(at_ms: float) -> float:
        return round(_LEFT + (at_ms - start) / max(1, end - start) * width, 1)

    def y(value: float) -> float:
        return round(_TOP + (high - value) / (high - low) * height, 1)

    lines = []
    for place, row in enumerate(rows):
        points = [
            (x(at), y(value) if value is not None and math.isfinite(value) else None)
            for at, value in zip(times_ms[::thin], row[::thin], strict=True)
        ]
        runs = segments(points)
        lines.append((place, [run for run in runs if " " in run], [run for run in runs if " " not in run]))
    return Picture(
        width=_WIDTH,
        height=_HEIGHT,
        left=_LEFT,
        right=_LEFT + width,
        bottom=_TOP + height,
        lines=lines,
        grid=[(y(value), figure(value)) for value in steps],
        ticks=[(x(at), text) for at, text in ticks(start, end)],
        marks=[(x(at), kind.replace(".", "-"), text) for at, kind, text in events if start <= at <= end],
    )
