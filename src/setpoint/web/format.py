"""How figures read on a page: percents, burn rates, counts, durations, instants.

Used as Jinja filters by `page`. Everything is rounded towards caution: what is not whole never shows as 100
%, and a budget never shows more than is left. A no-break space stands before units, a real minus before
negative figures.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from markupsafe import Markup

from setpoint.clock import rfc3339

__all__ = [
    "absolute",
    "breakable",
    "brief",
    "budget",
    "burn",
    "compact",
    "count",
    "day",
    "duration",
    "percent",
    "relative",
    "said",
    "share",
    "size",
    "sli",
    "span",
    "threshold",
    "time_tag",
]

_GAP = "\u00a0"
_MINUS = "\u2212"
_NONE = "–"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def _number(value: float, decimals: int = 0) -> str:
    return f"{value:,.{decimals}f}".replace("-", _MINUS)


def _floor(value: float, decimals: int) -> float:
    """`value` rounded down; the tiny addition keeps 99.9 from becoming 99.8 through binary fractions."""
    scale = 10.0**decimals
    return math.floor(value * scale + 1e-7) / scale


def percent(fraction: float | None) -> str:
    """A target: `0.999` as `99.9 %`, with the digits that were written and no more."""
    if fraction is None or not math.isfinite(fraction):
        return _NONE
    return f"{fraction * 100:.10g}".replace("-", _MINUS) + _GAP + "%"


def sli(fraction: float | None, target: float) -> str:
    """An SLI with one or two digits more than its target, rounded down: only what is whole reads 100 %."""
    if fraction is None or not math.isfinite(fraction):
        return _NONE
    if fraction >= 1:
        return f"100{_GAP}%"
    written = f"{target * 100:.10g}"
    digits = len(written.split(".")[1]) if "." in written else 0
    decimals = min(6, max(digits + 1, min(digits + 2, 3)))
    return _number(_floor(fraction * 100, decimals), decimals) + _GAP + "%"


def budget(left: float | None) -> str:
    """Budget left: whole percents, one decimal below ten, rounded down; may be negative."""
    if left is None or not math.isfinite(left):
        return _NONE
    value = left * 100
    decimals = 0 if abs(value) >= 10 or value == 0 else 1
    return _number(_floor(value, decimals), decimals) + _GAP + "%"


def burn(rate: float | None) -> str:
    """A burn rate: `6.4×`; whole from a hundred on."""
    if rate is None or not math.isfinite(rate):
        return _NONE
    return _number(rate, 0 if abs(rate) >= 100 else 1) + "×"


def threshold(rate: float) -> str:
    """A burn rate that somebody wrote: `14.4×`, `6×`."""
    return f"{rate:.4g}×"


def count(value: float | None) -> str:
    """A number of events, in full, with separators; one decimal where that says something (below ten)."""
    if value is None or not math.isfinite(value):
        return _NONE
    return _number(value, 1 if abs(value) < 10 and abs(value - round(value)) >= 0.05 else 0)


def compact(value: float | None) -> str:
    """A number in at most four digits and a unit: `970`, `12.4 k`, `1.20 M`; below ten one decimal."""
    return _scaled(value, 1000, ("", "k", "M", "G", "T"), 1)


def size(value: float | None) -> str:
    """Bytes, in powers of 1,024 and the names that people use: `512 B`, `4.1 kB`, `1.20 GB`."""
    return _scaled(value, 1024, ("B", "kB", "MB", "GB", "TB"), 0)


def _scaled(value: float | None, base: int, units: tuple[str, ...], decimals: int) -> str:
    if value is None or not math.isfinite(value):
        return _NONE
    place = 0
    while abs(value) >= 999.5 and place < len(units) - 1:
        value, place = value / base, place + 1
    if place:
        decimals = 0 if abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    elif abs(value) >= 10 or value == round(value):
        decimals = 0
    return _number(value, decimals) + (_GAP + units[place] if units[place] else "")


def share(part: float | None, whole: float | None) -> str:
    """A part of a whole: `40 %`, `3.2 %`, `< 0.1 %`; 100 % only when it is all of it, a dash of nothing."""
    if part is None or not whole or not math.isfinite(part):
        return _NONE
    value = 100 * part / whole
    if 0 < value < 0.1:
        return f"<{_GAP}0.1{_GAP}%"
    decimals = 0 if value == 0 or value >= 10 else 1
    rounded = round(value, decimals)
    return _number(_floor(value, decimals) if rounded >= 100 > value else rounded, decimals) + _GAP + "%"


def breakable(name: str) -> Markup:
    """A long name that may break after each underscore, dot and slash, and stays itself when copied."""
    return Markup("").join(
        Markup("{}<wbr>").format(part) if part in "_./" else Markup.escape(part)
        for part in re.split(r"([_./])", name)
        if part
    )


def span(seconds: float | None) -> str:
    """A window, in its largest whole unit: `30 d`, `6 h`, `5 min`; a month with a change of the clock: `31 d 1 h`."""
    if seconds is None or not math.isfinite(seconds):
        return _NONE
    if seconds > 7 * 86400 and seconds % 86400:
        return duration(seconds)
    for unit, size in _UNITS:
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:,.0f}{_GAP}{unit}"
    return duration(seconds)


def duration(seconds: float | None) -> str:
    """A duration in its two largest units: `3 h 40 m`, `2 d 4 h`, `26 min`, `45 s`."""
    if seconds is None or not math.isfinite(seconds):
        return _NONE
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}{_GAP}s"
    if whole < 3600:
        return f"{whole // 60}{_GAP}min"
    if whole < 86400:
        return f"{whole // 3600}{_GAP}h" + (f" {whole % 3600 // 60}{_GAP}m" if whole % 3600 >= 60 else "")
    return f"{whole // 86400:,}{_GAP}d" + (
        f" {whole % 86400 // 3600}{_GAP}h" if whole % 86400 >= 3600 else ""
    )


def brief(seconds: float | None) -> str:
    """How long something quick took: `8 ms`, `1.24 s`; `< 1 ms` below that."""
    if seconds is None or not math.isfinite(seconds):
        return _NONE
    if seconds < 0.001:
        return f"<{_GAP}1{_GAP}ms"
    return f"{seconds * 1000:.0f}{_GAP}ms" if seconds < 0.9995 else f"{_number(seconds, 2)}{_GAP}s"


def absolute(instant_ms: int) -> str:
    """`2026-11-23 06:02:56 UTC`."""
    return datetime.fromtimestamp(instant_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def day(instant_ms: int) -> str:
    """The heading of a day: `Monday, 23 November 2026`."""
    moment = datetime.fromtimestamp(instant_ms / 1000, UTC)
    return moment.strftime("%A, ") + f"{moment.day} " + moment.strftime("%B %Y")


def said(message: str) -> Markup:
    """A message as a page says it: a capital first, and what stands in backticks as code."""
    parts = (message[:1].upper() + message[1:]).split("`")
    return Markup("").join(
        Markup("<code>{}</code>" if index % 2 else "{}").format(part) for index, part in enumerate(parts)
    )


def relative(instant_ms: int, now_ms: int) -> str:
    """How long ago (or ahead): `12 s ago`, `5 min ago`, `in 3 h`; from two days on only days."""
    seconds = (now_ms - instant_ms) / 1000
    size = abs(seconds)
    if size < 1.5:
        return "just now"
    amount, unit = next(((int(size // big), name) for name, big in _UNITS if size >= big), (1, "s"))
    return f"{amount:,}{_GAP}{unit} ago" if seconds > 0 else f"in {amount:,}{_GAP}{unit}"


def time_tag(instant_ms: int | None, now_ms: int) -> Markup:
    """A `<time>` that reads relative and tells the absolute instant, in UTC, on hover."""
    if instant_ms is None:
        return Markup(_NONE)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        rfc3339(instant_ms), absolute(instant_ms), relative(instant_ms, now_ms)
    )
