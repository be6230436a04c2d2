"""Calendar windows: when the budget of an objective begins anew, by the clock of a time zone.

`fleet` asks for the window that holds an instant, `history` for all begins in a stretch of time. A window is left-open,
(begin, end], as the slots of a ledger are: what happens at the stroke of the begin still belongs to the window before.

Days, weeks, months, quarters and years are counted on the wall clock from the calendar's start, so that a window begins
at the same time of day before and after a change of daylight saving; minutes and hours are counted in elapsed time,
because a wall clock shows some hours twice. A window that begins on a 29th, 30th or 31st begins on the last day of a
month that is shorter. A wall time that is skipped (in spring) stands for the instant as far after the skip as it was to
be after its begin; of one that comes twice (in autumn) the first is meant. The grid goes on before the start, too.
"""

from __future__ import annotations

import calendar as months
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import Calendar

__all__ = ["begins", "window_at"]

_MINUTE_MS = 60_000
_EXACT_S = {"m": 60, "h": 3600}
_DAYS = {"d": 1, "w": 7}
_MONTHS = {"M": 1, "Q": 3, "Y": 12}
_MONTH_S = 30.436875 * 86_400
_UNIT_S = _EXACT_S | {u: 86_400 * n for u, n in _DAYS.items()} | {u: _MONTH_S * n for u, n in _MONTHS.items()}


def window_at(calendar: Calendar, at_ms: int) -> tuple[int, int]:
    """Begin (exclusive) and end (inclusive) of the window that holds an instant, in Unix ms on whole minutes."""
    index = _guess(calendar, at_ms)
    while begin_ms(calendar, index) >= at_ms:
        index -= 1
    while begin_ms(calendar, index + 1) < at_ms:
        index += 1
    return begin_ms(calendar, index), begin_ms(calendar, index + 1)


def begins(calendar: Calendar, low_ms: int, high_ms: int) -> npt.NDArray[np.int64]:
    """The begins of all windows that hold an instant of [low_ms, high_ms], ascending, int64[n] of at least one."""
    found = [window_at(calendar, low_ms)[0]]
    index = _guess(calendar, low_ms) - 2
    while (begin := begin_ms(calendar, index)) < high_ms:
        if begin > found[-1]:
            found.append(begin)
        index += 1
    return np.array(found, np.int64)


@lru_cache(maxsize=4096)
def begin_ms(calendar: Calendar, index: int) -> int:
    """When the window with a number begins, 0 being the one that begins at the calendar's start."""
    start, zone = datetime.fromisoformat(calendar.start), ZoneInfo(calendar.time_zone)
    steps = index * calendar.count
    if calendar.unit in _EXACT_S:
        seconds = start.replace(tzinfo=zone).timestamp() + steps * _EXACT_S[calendar.unit]
    else:
        local = start + timedelta(days=steps * _DAYS[calendar.unit]) if calendar.unit in _DAYS else None
        local = local or _months_later(start, steps * _MONTHS[calendar.unit])
        seconds = local.replace(tzinfo=zone).timestamp()
    return int(seconds * 1000) // _MINUTE_MS * _MINUTE_MS


def _months_later(start: datetime, count: int) -> datetime:
    month = start.year * 12 + start.month - 1 + count
    year, month = month // 12, month % 12 + 1
    return start.replace(year=year, month=month, day=min(start.day, months.monthrange(year, month)[1]))


def _guess(calendar: Calendar, at_ms: int) -> int:
    """About the number of the window that holds an instant."""
    unit_s = _UNIT_S[calendar.unit]
    start_s = datetime.fromisoformat(calendar.start).replace(tzinfo=UTC).timestamp()
    return int((at_ms / 1000 - start_s) // (unit_s * calendar.count))
