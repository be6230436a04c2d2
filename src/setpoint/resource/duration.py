"""Durations as Prometheus's files write them: `5m`, `1h30m`, `0`."""

from __future__ import annotations

import re

from setpoint.errors import InvalidInput

__all__ = ["duration_ms", "shown_duration"]

_DIGITS_MOST = 40
_DURATION = re.compile(
    "".join(rf"(?:(\d{{1,{_DIGITS_MOST}}}){unit})?" for unit in ("y", "w", "d", "h", "m", "s", "ms"))
)
_UNITS_MS = (31_536_000_000, 604_800_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_LARGEST_MS = 2**63 // 1_000_000


def duration_ms(text: str) -> int:
    """`text` in milliseconds: whole numbers with units from years to milliseconds, or 0. Raises InvalidInput."""
    if text == "0":
        return 0
    found = _DURATION.fullmatch(text)
    total = 0
    if text and found:
        total = sum(int(amount or 0) * unit for amount, unit in zip(found.groups(), _UNITS_MS, strict=True))
    if not text or found is None:
        raise InvalidInput(f"'{text}' is not a duration; write one such as 30s, 5m or 1h30m")
    if total > _LARGEST_MS:
        raise InvalidInput(f"'{text}' is too long; durations end at 292 years")
    return total


def shown_duration(duration: int) -> str:
    """Milliseconds as Prometheus writes them, such as `1h30m`."""
    if duration == 0:
        return "0s"
    parts = []
    for amount, unit in ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")):
        count, duration = divmod(duration, amount)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)
