"""When something recurring takes place: an RRULE of RFC 5545 on the wall clock of a time zone, as spans of minutes.

Budget adjustments and silences recur by it. Time is in whole minutes since 1970.

A recurrence begins at the same time of day before and after a change of daylight saving, and lasts for as long as it
says, in elapsed time. Where the time of day comes twice (in autumn) the first is meant, as RFC 5545 has it; where it is
skipped (in spring) the instant as far after the skip is taken, by the offset before it: RFC 5545 would leave that night
out, and nobody's maintenance does. Spans are asked for in every tick, so what was computed is kept.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

__all__ = ["Recurrence", "Span", "check_rule", "next_spans", "spans_of"]

Span = tuple[int, int]
"""The minutes from the first to before the second."""

_TRIED_YEARS, _KNOWN_YEARS = 9, 100
_MARGIN = 26 * 60
_MOST_PER_DAY, _TRIED_DAYS = 24, 31
_PART = re.compile(r"[A-Z]+=[A-Z0-9,+:-]+", re.ASCII)
_INTERVAL = re.compile(r"0{0,9}[1-9]\d{0,2}", re.ASCII)
_UNTIL = re.compile(r"(\d{8})(T(\d{6})(Z?))?", re.ASCII)
_FREQUENCIES = ("YEARLY", "MONTHLY", "WEEKLY", "DAILY", "HOURLY")
_LENGTH_MAX = 500
_OF_DAYS = frozenset({"BYMONTH", "BYMONTHDAY", "BYYEARDAY", "BYWEEKNO", "BYEASTER"})


@dataclass(frozen=True, slots=True)
class Recurrence:
    """`start` is ISO 8601 without an offset, by the clock of `time_zone`; `rule` an RRULE of RFC 5545."""

    start: str
    time_zone: str
    rule: str
    duration_minutes: int


def spans_of(recurrence: Recurrence, low: int, high: int) -> list[Span]:
    """The spans that hold a minute from `low` to before `high`, ascending; those that touch are not joined."""
    length = recurrence.duration_minutes
    starts = _starts_of(recurrence).between(low - length + 1, high)
    return [(start, start + length) for start in starts]


def next_spans(recurrence: Recurrence, after: int, most: int, horizon: int) -> list[Span]:
    """At most `most` spans that begin after a minute, within `horizon` minutes."""
    starts = _starts_of(recurrence).between(after + 1, after + horizon)[:most]
    return [(start, start + recurrence.duration_minutes) for start in starts]


def check_rule(recurrence: Recurrence) -> str | None:
    """What is wrong with a rule, as a sentence; None for one that can be kept."""
    told = _written_wrong(recurrence.rule)
    if told:
        return told
    try:
        start = datetime.fromisoformat(recurrence.start)
        rule = _rule(recurrence, _TRIED_YEARS)
        first = list(islice(rule, _MOST_PER_DAY * _TRIED_DAYS + 1))
    except (ValueError, TypeError, OverflowError) as error:
        return (
            f"'{recurrence.rule}' is no RRULE of RFC 5545 ({error}); write one such as FREQ=WEEKLY;BYDAY=SU"
        )
    return _too_seldom_or_often(recurrence, start, first)


def _too_seldom_or_often(recurrence: Recurrence, start: datetime, first: list[datetime]) -> str | None:
    if not first:
        return f"it never takes place: no occurrence within {_TRIED_YEARS} years of its start; correct rrule or start"
    if any(one.second for one in first):
        return "occurrences begin on whole minutes; leave BYSECOND out"
    if len([one for one in first if one < start + timedelta(days=_TRIED_DAYS)]) > _MOST_PER_DAY * _TRIED_DAYS:
        return f"it takes place more than {_MOST_PER_DAY} times a day; write one that is longer instead"
    gaps = [(later - earlier) / timedelta(minutes=1) for earlier, later in pairwise(first)]
    if gaps and min(gaps) < recurrence.duration_minutes:
        return (
            f"one begins {min(gaps):g} min after another, and each lasts {recurrence.duration_minutes} min; write a "
            "shorter duration, or a rule that leaves time between"
        )
    return None


def _written_wrong(rule: str) -> str | None:
    example = "write one such as FREQ=WEEKLY;BYDAY=SU"
    parts = rule.split(";")
    if len(rule) > _LENGTH_MAX or not all(_PART.fullmatch(part) for part in parts):
        return f"'{rule[:80]}' is no RRULE of RFC 5545; {example}"
    known = dict(part.split("=", 1) for part in parts)
    if len(known) != len(parts):
        return f"a part of the RRULE is written twice; {example}"
    if known.get("FREQ") not in _FREQUENCIES:
        return f"FREQ is {known.get('FREQ', 'missing')}; write one of {', '.join(_FREQUENCIES)}"
    if "UNTIL" in known and not _UNTIL.fullmatch(known["UNTIL"]):
        return f"'{known['UNTIL']}' is no end; write UNTIL=20271231T230000Z"
    return "write UNTIL or COUNT, not both" if {"UNTIL", "COUNT"} <= known.keys() else _endless(known)


def _endless(known: Mapping[str, str]) -> str | None:
    """Why the next occurrence would be looked for too long: dateutil never ends where the interval is 0, and goes hour
    by hour where FREQ says so.
    """
    if not _INTERVAL.fullmatch(known.get("INTERVAL", "1")):
        return f"INTERVAL={known['INTERVAL'][:20]} is no interval; write a whole number from 1 to 999"
    if known["FREQ"] == "HOURLY" and _OF_DAYS & known.keys():
        return (
            "FREQ=HOURLY does not go with days of a month or a year; write FREQ=YEARLY or MONTHLY with BYHOUR"
        )
    return None


def _rule(recurrence: Recurrence, years: int) -> Any:
    """The rule on the wall clock, which ends some day."""
    start = datetime.fromisoformat(recurrence.start)
    parts = dict(part.split("=", 1) for part in recurrence.rule.split(";"))
    until = _until(parts.pop("UNTIL", ""), recurrence.time_zone)
    last = start + timedelta(days=366 * years)
    until = last if until is None else min(until, last)
    count = int(parts.pop("COUNT", "0"))
    text = ";".join(f"{key}={value}" for key, value in parts.items())
    rule = rrulestr(text, dtstart=start)
    assert isinstance(rule, rrule)
    ended = rule.replace(until=until)
    return islice(ended, count) if count else iter(ended)


def _until(text: str, time_zone: str) -> datetime | None:
    """The last instant on the wall clock; a date alone is the whole day."""
    match = _UNTIL.fullmatch(text)
    if match is None:
        return None
    day = datetime.strptime(match[1], "%Y%m%d")  # noqa: DTZ007 — by the wall clock
    if match[2] is None:
        return day + timedelta(days=1, seconds=-1)
    at = datetime.strptime(match[1] + match[3], "%Y%m%d%H%M%S")  # noqa: DTZ007 — by the wall clock
    return at.replace(tzinfo=UTC).astimezone(ZoneInfo(time_zone)).replace(tzinfo=None) if match[4] else at


class _Starts:
    """The minutes with which a recurrence begins, computed as far as somebody asked."""

    def __init__(self, recurrence: Recurrence) -> None:
        self._zone = ZoneInfo(recurrence.time_zone)
        self._rule: Iterator[datetime] = _rule(recurrence, _KNOWN_YEARS)
        self._lock = threading.Lock()
        self._known: list[int] = []
        self._to: float = 0

    def between(self, low: int, high: int) -> list[int]:
        """Those from `low` to before `high`."""
        with self._lock:
            while self._to < high + _MARGIN:
                wall = next(self._rule, None)
                if wall is None:
                    self._to = float("inf")
                    break
                # A wall time that is skipped stands for a later instant: the order may change.
                insort(self._known, int(wall.replace(tzinfo=self._zone).timestamp()) // 60)
                self._to = self._known[-1]
            return self._known[bisect_left(self._known, low) : bisect_left(self._known, high)]


@lru_cache(maxsize=1024)
def _starts_of(recurrence: Recurrence) -> _Starts:
    return _Starts(recurrence)
