"""A graph of series in the terminal, as wide as that is: braille dots in colours, or letters where those are missing.

`setpoint promql` draws with it. One line needs no colour, so it is always dots; several lines without colour (a pipe,
NO_COLOR, TERM=dumb) are letters, which the legend names. Without Unicode everything is ASCII. Times are local.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from typing import Any

from rich.console import Console
from rich.text import Text

from setpoint.axis import figure, levels
from setpoint.cli.output import series_name, table

__all__ = ["points_across", "show_plot"]

_STYLES = ("blue", "yellow", "green", "magenta", "cyan", "bright_blue", "bright_magenta", "bright_black")
_LETTERS = "abcdefgh"
_WIDTH_MAX, _WIDTH_MIN = 140, 20
_HEIGHT_MAX, _HEIGHT_MIN = 18, 6
_BELOW = 8
_MARGIN = 12
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BRAILLE = 0x2800
_DAY_S = 86_400
_GAP = 1.6


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its name, and its finite points as (Unix seconds, value), ascending."""

    name: str
    points: Sequence[tuple[float, float]]
    last: float


@dataclass(frozen=True, slots=True)
class Looks:
    """What this terminal can show."""

    is_unicode: bool
    has_colours: bool

    @classmethod
    def of(cls, console: Console) -> Looks:
        """Asks the console."""
        try:
            "⣿│└─━".encode(console.encoding)
            is_unicode = not console.is_dumb_terminal
        except (UnicodeEncodeError, LookupError):
            is_unicode = False
        return cls(
            is_unicode, console.is_terminal and console.color_system is not None and not console.no_color
        )


class Canvas:
    """Cells of a graph, from the upper left; each shows the line that was drawn there last."""

    def __init__(self, width: int, height: int, *, is_braille: bool) -> None:
        self.width, self.height = width, height
        self._across, self._down = (2, 4) if is_braille else (1, 1)
        self._is_braille = is_braille
        self._bits = [[0] * width for _ in range(height)]
        self._owners: list[list[int | None]] = [[None] * width for _ in range(height)]

    @property
    def dots(self) -> tuple[int, int]:
        """Dots across and down."""
        return self.width * self._across, self.height * self._down

    def draw(self, place: int, start: tuple[int, int], end: tuple[int, int]) -> None:
        """A straight line of series `place` between two dots, both included."""
        (x, y), (to_x, to_y) = start, end
        steps = max(abs(to_x - x), abs(to_y - y), 1)
        for step in range(steps + 1):
            self._set(place, round(x + (to_x - x) * step / steps), round(y + (to_y - y) * step / steps))

    def _set(self, place: int, x: int, y: int) -> None:
        column, row = x // self._across, y // self._down
        self._bits[row][column] |= _DOTS[y % 4][x % 2] if self._is_braille else 1
        self._owners[row][column] = place

    def row(self, row: int, marks: Sequence[tuple[str, str]]) -> Text:
        """One row of cells; `marks` are character and style per series."""
        text = Text()
        cells = zip(self._bits[row], self._owners[row], strict=True)
        for owner, run in groupby(cells, key=lambda cell: cell[1]):
            mark, style = (" ", "") if owner is None else marks[owner]
            is_dotted = self._is_braille and owner is not None
            text.append("".join(chr(_BRAILLE + bits) if is_dotted else mark for bits, _ in run), style=style)
        return text


def points_across(console: Console) -> int:
    """How many points a graph in this terminal can tell apart."""
    return 2 * _width(console)


def _width(console: Console) -> int:
    return max(_WIDTH_MIN, min(_WIDTH_MAX, console.width) - _MARGIN)


def show_plot(console: Console, result: Sequence[Mapping[str, Any]], start_s: float, end_s: float) -> None:
    """Print `result`, the series of Prometheus's range query, as a graph with a legend."""
    looks = Looks.of(console)
    everything = [_line(item) for item in result if item.get("values")]
    shown = _highest([line for line in everything if line.points])
    left_out = [line for line in everything if line not in shown]
    is_braille = looks.is_unicode and (looks.has_colours or len(shown) == 1)
    marks = [
        ("•" if is_braille else letter if len(shown) > 1 else "*", style if looks.has_colours else "")
        for letter, style in zip(_LETTERS, _STYLES, strict=True)
    ]
    if shown:
        for text in _drawn(console, shown, (start_s, end_s), marks, looks, is_braille=is_braille):
            console.print(text, no_wrap=True, overflow="crop", crop=True)
        console.print(_legend(shown, marks, looks, is_braille=is_braille))
    if left_out:
        console.print(
            f"{len(shown)} of {len(everything)} series; write topk(…) or sum by (…) around the query for fewer."
        )
    histograms = sum("histograms" in item for item in result)
    if histograms:
        console.print(
            f"{histograms} series of native histograms are no lines; write histogram_quantile(0.95, …) around them."
        )


def _line(item: Mapping[str, Any]) -> Line:
    values = [(float(at_s), float(text)) for at_s, text in item["values"]]
    points = [(at_s, value) for at_s, value in values if math.isfinite(value)]
    return Line(series_name(item["metric"]), points, values[-1][1])


def _highest(lines: Sequence[Line]) -> list[Line]:
    """Of too many lines those with the highest values, in the order in which they came."""
    by_peak = sorted(lines, key=lambda line: -max(value for _, value in line.points))[: len(_LETTERS)]
    return [line for line in lines if line in by_peak]


def _drawn(
    console: Console,
    lines: Sequence[Line],
    span_s: tuple[float, float],
    marks: Sequence[tuple[str, str]],
    looks: Looks,
    *,
    is_braille: bool,
) -> Iterator[Text]:
    """The rows of the graph with its axes."""
    height = max(_HEIGHT_MIN, min(_HEIGHT_MAX, shutil.get_terminal_size((80, 24)).lines - _BELOW))
    canvas = Canvas(_width(console), height, is_braille=is_braille)
    values = [value for line in lines for _, value in line.points]
    steps = levels(min(values), max(values))
    _draw_lines(canvas, lines, span_s, (steps[0], steps[-1]))
    at_row = {
        round((steps[-1] - value) / (steps[-1] - steps[0]) * (height - 1)): figure(value) for value in steps
    }
    upright, corner, flat = ("│", "└", "─") if looks.is_unicode else ("|", "+", "-")
    for row in range(height):
        label = at_row.get(row, "")
        if not looks.is_unicode:
            label = label.replace("−", "-").replace("\u00a0", " ")
        yield Text.assemble((f"{label:>{_MARGIN - 3}} {upright}", ""), canvas.row(row, marks))
    yield Text(" " * (_MARGIN - 2) + corner + flat * canvas.width)
    yield Text(" " * (_MARGIN - 1) + _times(span_s, canvas.width))


def _draw_lines(
    canvas: Canvas, lines: Sequence[Line], span_s: tuple[float, float], bounds: tuple[float, float]
) -> None:
    across, down = canvas.dots
    (start_s, end_s), (low, high) = span_s, bounds
    intervals = sorted(b[0] - a[0] for line in lines for a, b in pairwise(line.points))
    longest_s = _GAP * intervals[0] if intervals else math.inf

    def dot(point: tuple[float, float]) -> tuple[int, int]:
        x = (point[0] - start_s) / (end_s - start_s) * (across - 1)
        y = (high - point[1]) / (high - low) * (down - 1)
        return min(across - 1, max(0, round(x))), round(y)

    # Backwards, so that the first of the legend lies on top.
    for place in range(len(lines) - 1, -1, -1):
        points = lines[place].points
        canvas.draw(place, dot(points[0]), dot(points[0]))
        for before, after in pairwise(points):
            is_joined = after[0] - before[0] <= longest_s
            canvas.draw(place, dot(before if is_joined else after), dot(after))


def _times(span_s: tuple[float, float], width: int) -> str:
    """Start, middle and end below the axis; the end with its zone."""
    start_s, end_s = span_s
    pattern = "%H:%M:%S" if end_s - start_s < 600 else "%H:%M" if end_s - start_s <= _DAY_S else "%d %b %H:%M"

    def told(at_s: float, more: str = "") -> str:
        return datetime.fromtimestamp(at_s, UTC).astimezone().strftime(pattern + more)

    first, middle, last = told(start_s), told((start_s + end_s) / 2), told(end_s, " %Z")
    room = width - len(first) - len(last)
    if room < len(middle) + 4:
        return first + last.rjust(width - len(first))
    left = (width - len(middle)) // 2 - len(first)
    return first + " " * left + middle + last.rjust(width - len(first) - left - len(middle))


def _legend(
    lines: Sequence[Line], marks: Sequence[tuple[str, str]], looks: Looks, *, is_braille: bool
) -> Any:
    rows: list[Sequence[str | Text]] = []
    for line, (mark, style) in zip(lines, marks, strict=False):
        known = [value for _, value in line.points]
        figures = (line.last, min(known), sum(known) / len(known), max(known))
        told = [
            figure(value) if looks.is_unicode else figure(value).replace("−", "-").replace("\u00a0", " ")
            for value in figures
        ]
        rows.append((Text("━━" if is_braille else mark, style=style), line.name, *told))
    return table(("", "SERIES*", ">LAST", ">LOWEST", ">MEAN", ">HIGHEST"), rows)
