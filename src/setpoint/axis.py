"""Round values of an axis, and figures of any size in about four digits: for graphs on pages and in terminals."""

from __future__ import annotations

import math

__all__ = ["figure", "levels"]

_LEVELS = 6
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"))


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
