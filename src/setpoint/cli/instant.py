"""Instants as a person types them: `30m` (ago), `2026-01-02T03:04:05Z`, or Unix milliseconds."""

from __future__ import annotations

import re
from datetime import datetime

from setpoint.errors import InvalidInput

__all__ = ["instant_ms", "is_ago"]

_AGO = re.compile(r"(\d+)(s|m|h|d|w)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def is_ago(text: str) -> bool:
    """Whether `text` says how long ago, which a server may count from its own clock."""
    return _AGO.fullmatch(text) is not None


def instant_ms(text: str, now_ms: int) -> int:
    """Unix milliseconds of `text`; a time without a zone is local. Raises InvalidInput."""
    if (ago := _AGO.fullmatch(text)) is not None:
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1000
    if text.isdigit() and len(text) >= 12:
        return int(text)
    try:
        return round(datetime.fromisoformat(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(
            f"'{text}' is not a time\nwrite 30m, 6h, 2d (ago), or 2026-01-02T03:04:05Z"
        ) from error
