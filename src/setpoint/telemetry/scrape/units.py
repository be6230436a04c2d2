"""Durations and sizes as prometheus.yml writes them: `1m30s`, `10MB`. Used by `spec`, and by `target` for the
labels `__scrape_interval__` and `__scrape_timeout__`.
"""

from __future__ import annotations

import re

__all__ = ["read_duration_ms", "read_size_bytes", "show_duration"]

_DURATION = re.compile(
    r"(?:(\d+)y)?(?:(\d+)w)?(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?(?:(\d+)ms)?", re.ASCII
)
_UNITS_MS = (365 * 86_400_000, 7 * 86_400_000, 86_400_000, 3_600_000, 60_000, 1000, 1)
_LETTERS = ("y", "w", "d", "h", "m", "s", "ms")
_WHOLE_ONLY = 3
"""Years, weeks and days are written only where nothing remains, as Prometheus does."""

_DURATION_MAX_MS = 290 * 365 * 86_400_000
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*(B|[KMGTPE](?:i?B)?)", re.ASCII)
_POWERS = {letter: 1 << (10 * power) for power, letter in enumerate("KMGTPE", 1)}


def read_duration_ms(text: str) -> int:
    """A duration such as `15s`, `1m30s` or `0` in milliseconds. Raises ValueError."""
    found = _DURATION.fullmatch(text)
    if text == "0":
        return 0
    if not text or found is None:
        raise ValueError(f"'{text}' is not a duration; write one such as 15s, 1m30s or 500ms")
    total = sum(int(amount) * size for amount, size in zip(found.groups("0"), _UNITS_MS, strict=True))
    if total > _DURATION_MAX_MS:
        raise ValueError(f"'{text}' is too long for a duration")
    return total


def show_duration(duration_ms: int) -> str:
    """`duration_ms` as Prometheus writes it: `15s`, `1m30s`, `0s`."""
    text, left = "", duration_ms
    for place, (size, letter) in enumerate(zip(_UNITS_MS, _LETTERS, strict=True)):
        if place < _WHOLE_ONLY and left % size:
            continue
        if left >= size:
            text += f"{left // size}{letter}"
            left %= size
    return text or "0s"


def read_size_bytes(text: str) -> int:
    """A size such as `10MB` (1,024-based, as Prometheus reads it) or `0` in bytes. Raises ValueError."""
    found = _SIZE.fullmatch(text)
    if text == "0":
        return 0
    if found is None:
        raise ValueError(f"'{text}' is not a size; write one such as 512KB, 10MB or 1GB")
    return int(float(found[1]) * _POWERS.get(found[2][0], 1))
