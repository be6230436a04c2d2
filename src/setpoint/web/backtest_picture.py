"""The chart of a backtest, drawn by the server: the burn over time, and below it, in lanes, the episodes and what each
side would have told of them. Coordinates are attributes, which the content security policy allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from setpoint.objective.backtest.model import Alert, Backtest
from setpoint.web.chart import segments, ticks
from setpoint.web.format import absolute, burn, duration, share

__all__ = ["BacktestPicture", "Bar", "Lane", "draw_backtest"]

_WIDTH, _LEFT, _RIGHT, _TOP, _PLOT = 900, 92, 16, 10, 130
_LANE, _BAR, _AXIS = 24, 12, 26
_FLOOR = 0.1
_NARROWEST = 2.0
_APART = 1.0

_Bar = Callable[[int, int, str, str], "Bar"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A stretch in a lane, and what it says on hover."""

    x: float
    width: float
    kind: str
    title: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of bars around the height `y`."""

    name: str
    y: float
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class BacktestPicture:
    """Coordinates in a `width` × `height` view box; `bar` is how high bars are."""

    width: int
    height: float
    left: int
    right: int
    bottom: float
    bar: int
    lines: list[str]
    grid: list[tuple[float, str]]
    ticks: list[tuple[float, str]]
    lanes: list[Lane]


def draw_backtest(found: Backtest) -> BacktestPicture | None:
    """None where there is nothing to draw."""
    start, end = found.start_ms, found.end_ms
    if end <= start:
        return None
    width = _WIDTH - _LEFT - _RIGHT

    def x(at_ms: float) -> float:
        return _LEFT + (min(max(at_ms, start), end) - start) / (end - start) * width

    def bar(begin_ms: int, end_ms: int, kind: str, title: str) -> Bar:
        long = max(_NARROWEST, x(end_ms) - x(begin_ms))
        return Bar(min(x(begin_ms), _LEFT + width - long), long, kind, title)

    rates = found.line.burn.tolist()
    top = math.ceil(math.log10(max([10.0, *(rate for rate in rates if math.isfinite(rate))])))
    low = math.log10(_FLOOR)

    def y(rate: float) -> float:
        return _TOP + (top - math.log10(max(rate, _FLOOR))) / (top - low) * _PLOT

    points = [
        (x(at), y(rate) if math.isfinite(rate) else None)
        for at, rate in zip(found.line.times_ms.tolist(), rates, strict=True)
    ]
    lanes = _lanes(found, bar)
    bottom = _TOP + _PLOT + 10 + _LANE * len(lanes)
    return BacktestPicture(
        width=_WIDTH,
        height=bottom + _AXIS,
        left=_LEFT,
        right=_LEFT + width,
        bottom=bottom,
        bar=_BAR,
        lines=segments(points),
        grid=[(y(10.0**power), f"{10.0**power:g}×") for power in range(-1, top + 1)],
        ticks=[(x(at), text) for at, text in ticks(start, end)],
        lanes=lanes,
    )


def _lanes(found: Backtest, bar: _Bar) -> list[Lane]:
    rows: list[tuple[str, list[Bar]]] = [
        (
            "Episodes",
            [
                bar(
                    one.begin_ms,
                    one.end_ms,
                    "episode",
                    f"{absolute(one.begin_ms)}: {share(one.spent, 1)} of the budget in "
                    f"{duration((one.end_ms - one.begin_ms) / 1000)}, burning {burn(one.burn)}",
                )
                for one in found.episodes
            ],
        )
    ]
    for letter, side in zip("AB", found.sides, strict=False):
        prefix = f"{letter}: " if len(found.sides) > 1 else ""
        for word, is_page in (("pages", True), ("tickets", False)):
            some = [one for one in side.alerts if one.is_told and one.is_page is is_page]
            rows.append((f"{prefix}{word}", _bars(some, found.end_ms, bar)))
    return [
        Lane(name, _TOP + _PLOT + 10 + _LANE * (number + 0.5), tuple(bars))
        for number, (name, bars) in enumerate(rows)
    ]


def _bars(alerts: Sequence[Alert], end_ms: int, bar: _Bar) -> list[Bar]:
    """Those that would touch each other are one bar."""
    found: list[Bar] = []
    together = 1
    for one in alerts:
        until_ms = end_ms if one.until_ms is None else one.until_ms
        kind = "ticket" if not one.is_page else "noise" if one.is_noise else "page"
        told = f"{absolute(one.from_ms)}: {one.policy} for {duration((until_ms - one.from_ms) / 1000)}"
        made = bar(one.from_ms, until_ms, kind, told + (", for no episode" if one.is_noise else ""))
        last = found[-1] if found else None
        if last is not None and last.kind == kind and made.x - last.x - last.width < _APART:
            together += 1
            width = max(last.width, made.x + made.width - last.x)
            found[-1] = Bar(last.x, width, kind, f"{together} alerts, the last at {told}")
        else:
            together = 1
            found.append(made)
    return found
