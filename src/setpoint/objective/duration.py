"""Durations as OpenSLO writes them, and as a sentence says them.

`spec` and `burn` parse them, the reasons in `state` print them. A month is 30 days, a quarter 90 and a year
365, as in OpenSLO's go-sdk: a rolling window must have one length.
"""

from __future__ import annotations

import re

__all__ = ["parse_duration", "spoken_duration"]

_SECONDS = {
    "s": 1,
    "m": 60,
    "h": 3600,
    "d": 86_400,
    "w": 604_800,
    "M": 2_592_000,
    "Q": 7_776_000,
    "Y": 31_536_000,
}
_DURATION = re.compile(r"(?P<number>[1-9][0-9]*)(?P<unit>[smhdwMQY])")


def parse_duration(text: str) -> int:
    """The seconds of a duration such as `30d`; ValueError says what can be written instead."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(
            f"'{text}' is no duration; write a whole number and one unit of m, h, d, w, M, Q, Y, such as 30d"
        )
    return int(match["number"]) * _SECONDS[match["unit"]]


def spoken_duration(seconds: float) -> str:
    """`seconds` in at most two units, rounded down: `45 s`, `26 min`, `3 h 40 m`, `2 d 5 h`, `30 d`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return _two(whole // 3600, "h", whole % 3600 // 60, "m")
    return _two(whole // 86_400, "d", whole % 86_400 // 3600, "h")


def _two(large: int, large_unit: str, small: int, small_unit: str) -> str:
    return f"{large} {large_unit} {small} {small_unit}" if small else f"{large} {large_unit}"
