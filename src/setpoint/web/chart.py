"""Charts that the server draws: the sparkline of a row, and the budget chart for a page without JavaScript.

Coordinates are written as attributes, never as inline styles, which the content security policy refuses.
The same budget chart is drawn by uPlot in `static/chart.js` where scripts run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from markupsafe import Markup

__all__ = ["BudgetPicture", "draw_budget", "segments", "sparkline", "ticks"]

_WIDTH, _HEIGHT = 112, 24
_POINTS = 56
_STEPS_MIN = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880, 7200, 10080)
_TICKS_MAX = 8
_PLOT_W, _PLOT_H, _LEFT, _TOP = 900, 240, 56, 12


def segments(points: Sequence[tuple[float, float | None]]) -> list[str]:
    """Runs of neighbouring known points as SVG point lists; a gap ends a run."""
    runs: list[list[str]] = [[]]
    for x, y in points:
        if y is None:
            if runs[-1]:
                runs.append([])
        else:
            runs[-1].append(f"{x:.1f},{y:.1f}")
    return [" ".join(run) for run in runs if run]


def _thin(values: Sequence[float], points: int) -> list[float]:
    """At most `points` values; each keeps the highest of what it stands for, so that no peak is lost."""
    if len(values) <= points:
        return list(values)
    edges = [round(index * len(values) / points) for index in range(points + 1)]
    groups = [[v for v in values[a:b] if math.isfinite(v)] for a, b in pairwise(edges)]
    return [max(group) if group else math.nan for group in groups]


def _stroke(run: str) -> Markup:
    """A run as a line; a run of a single point as a dot, which a line would not show."""
    if " " in run:
        return Markup('<polyline points="{}"/>').format(run)
    return Markup('<circle cx="{}" cy="{}" r="1.8"/>').format(*run.split(","))


def sparkline(values: Sequence[float | None], limit: float = 6.0, now: float | None = None) -> Markup:
    """Burn rates over time as a small SVG with a dotted line at `limit`; gaps (None, NaN) stay gaps.

    `now` is the figure beside the line: the line ends in it, so that the two tell the same.
    """
    thinned = _thin([math.nan if value is None else float(value) for value in values], _POINTS)
    thinned.append(math.nan if now is None else now)
    known = [value for value in thinned if math.isfinite(value)]
    top = max([limit * 1.25, *known])
    step = _WIDTH / max(1, len(thinned) - 1)

    def height(value: float) -> float:
        return _HEIGHT - 2 - max(0.0, value) / top * (_HEIGHT - 4)

    points = [(index * step, height(v) if math.isfinite(v) else None) for index, v in enumerate(thinned)]
    lines = Markup("").join(_stroke(run) for run in segments(points))
    if points[-1][1] is not None:
        lines += _stroke(f"{points[-1][0]:.1f},{points[-1][1]:.1f}")
    return Markup(
        '<svg class="spark" viewBox="0 0 {w} {h}" width="{w}" height="{h}" aria-hidden="true">'
        '<line x1="0" x2="{w}" y1="{y}" y2="{y}"/>{lines}</svg>'
    ).format(w=_WIDTH, h=_HEIGHT, y=f"{height(limit):.1f}", lines=lines)


@dataclass(frozen=True, slots=True)
class BudgetPicture:
    """Coordinates of the budget chart in a `width` × `height` view box."""

    width: int
    height: int
    left: int
    right: int
    bottom: float
    lines: list[str]
    grid: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    marks: list[tuple[float, str, str]]
    bands: list[tuple[float, float, str]]
    """Stretches behind the line: left edge, width, and what they are."""


def _levels(low: float, high: float) -> list[float]:
    """Four to eight round values from `high` down to `low`."""
    step = 0.25
    while (high - low) / step > 8:
        step *= 2
    return [high - step * index for index in range(int((high - low) / step + 1e-9) + 1)]


def ticks(start_ms: int, end_ms: int) -> list[tuple[int, str]]:
    """At most nine round instants of a time axis, each with its text in UTC."""
    length_ms = end_ms - start_ms
    pattern = "%H:%M" if length_ms <= 2 * 86_400_000 else "%d %b"
    step = next((m * 60_000 for m in _STEPS_MIN if m * 60_000 * _TICKS_MAX >= length_ms), 30 * 86_400_000)
    instants = range(-(-start_ms // step) * step, end_ms + 1, step)
    return [(at, datetime.fromtimestamp(at / 1000, UTC).strftime(pattern)) for at in instants]


def draw_budget(
    times_ms: Sequence[int],
    left: Sequence[float],
    events: Sequence[tuple[int, str, str]],
    bands: Sequence[tuple[int, int, str]] = (),
) -> BudgetPicture:
    """The chart of budget left over `times_ms`; `events` are (instant, kind, summary) marked on the time axis, `bands`
    (start, end, text) are shaded.
    """
    known = [value for value in left if value is not None and math.isfinite(value)]
    low, high = min([0.0, *known]), 1.0
    start, end = (times_ms[0], times_ms[-1]) if len(times_ms) > 1 else (0, 1)
    width, height = _PLOT_W - _LEFT - 16, _PLOT_H - _TOP - 34

    def x(at_ms: float) -> float:
        return _LEFT + (at_ms - start) / (end - start) * width

    def y(value: float) -> float:
        return _TOP + (high - value) / (high - low) * height

    points = [
        (x(at), y(value) if value is not None and math.isfinite(value) else None)
        for at, value in zip(times_ms, left, strict=True)
    ]
    return BudgetPicture(
        width=_PLOT_W,
        height=_PLOT_H,
        left=_LEFT,
        right=_LEFT + width,
        bottom=_TOP + height,
        lines=segments(points),
        grid=[(y(v), f"{v * 100:,.0f} %".replace("-", "−")) for v in _levels(low, high)],
        ticks=[(x(at), text) for at, text in ticks(int(start), int(end))],
        marks=[(x(at), kind.replace(".", "-"), text) for at, kind, text in events if start <= at <= end],
        bands=[
            (x(max(low, start)), max(1.5, x(min(high, end)) - x(max(low, start))), text)
            for low, high, text in bands
            if low < end and high > start
        ],
    )
