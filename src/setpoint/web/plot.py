"""The graph of any series that the server draws, for a page without JavaScript: several lines over one time.

`explore` uses it. Colours come from the style sheet by class (`s0` to `s7`); what is beyond them repeats the colours
with dashes. The same graph is drawn by uPlot in `static/explore.js` where scripts run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.web.chart import segments, ticks

__all__ = ["COLOURS", "Picture", "draw", "figure", "levels"]

COLOURS = 8
_WIDTH, _HEIGHT, _LEFT, _TOP, _BELOW = 900, 280, 64, 12, 34
_POINTS = 200
_LEVELS = 6
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


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


def figure(value: float | None) -> str:
    """A value of any size in about four digits: `0.0123`, `1,234`, `12.35 M`, `3.2e-07`; a dash for none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "−Inf"}.get(value, "NaN")
    size = abs(value)
    for scale, prefix in _PREFIXES:
        if size >= scale:
            return f"{value / scale:,.4g}\u00a0{prefix}".replace("-", "−")
    if size >= 1000 or value == round(value):
        return f"{value:,.0f}".replace("-", "−")
    text = f"{value:,.4g}" if size >= 1e-4 else f"{value:.3g}"
    return text.replace("-", "−")


def levels(low: float, high: float) -> list[float]:
    """Up to seven round values that enclose `low` to `high`, ascending; zero is one of them where it is near."""
    if low >= 0 and low < 0.6 * high:
        low = 0.0
    elif high <= 0 and high > 0.6 * low:
        high = 0.0
    if high - low <= abs(high) * 1e-9:
        low, high = (0.0, 2 * high) if high > 0 else (2 * low, 0.0) if low < 0 else (0.0, 1.0)
    rough = (high - low) / (_LEVELS - 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in (1, 2, 2.5, 5, 10) if nice * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [index * step for index in range(first, last + 1)]


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
