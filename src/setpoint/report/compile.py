"""Compiles a report: what was promised and kept in a period, what was told, and what happened.

Web pages, the command line and scheduled reports call `compile_report`; it reads the ledgers of objectives in parts,
so that a quarter of a thousand objectives takes seconds, not memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from setpoint.report.from_objective import Objective, Past, Slots
from setpoint.report.model import AlertCount, CauseLine, Happening, ObjectiveLine, Report, Scope, Verdict
from setpoint.report.period import Period
from setpoint.timeline import Event, Timeline

__all__ = ["NIGHT", "Causes", "compile_report"]

Causes = Callable[[Sequence[str], int, int], Sequence[CauseLine]]
"""Who spent the budgets of these objectives (all have bad events, who used most first) between two instants."""

NIGHT = (22, 6)
"""From which hour to before which a page is one at night."""

_FIRED = "alert.fired"
_TOLD = ("deploy", "demo.fault", "experiment", "incident", "policy", "adjustment", "sla")
_EVENTS_AT_ONCE, _EVENTS_MOST, _HAPPENED_MOST = 1000, 50_000, 200
_WORST_FIRST: dict[Verdict, int] = {"missed": 0, "don't know": 1, "no data": 2, "kept": 3}
_NOT_YET_MINUTES = 3
"""The newest minutes of a period that lasts may not be counted yet."""


def compile_report(
    scope: Scope,
    period: Period,
    objectives: Sequence[Objective],
    *,
    past: Past,
    timeline: Timeline,
    now_ms: int,
    causes: Causes | None = None,
) -> Report:
    """The report of these objectives; parts of composites are left out, as the composite stands for them.

    Raises Unavailable when the ledgers cannot be read.
    """
    until_ms = max(period.start_ms, min(period.end_ms, now_ms))
    chosen = {one.name: one for one in objectives}
    names = sorted(chosen.keys() - {part.objective for one in objectives for part in one.parts})
    lines = [
        _line(*one, period.start_ms, until_ms, past, is_over=until_ms >= period.end_ms)
        for one in past.many(names, period.start_ms, until_ms)
    ]
    lines.sort(key=lambda line: (_WORST_FIRST[line.verdict], -(line.used or 0.0), line.name))
    spent = [line.name for line in sorted(lines, key=lambda line: -(line.used or 0.0)) if line.bad > 0]
    services = sorted({one.service for one in objectives})
    events = list(_events(timeline, set(services), period.start_ms, until_ms))
    return Report(
        scope=scope,
        period=period,
        made_ms=now_ms,
        until_ms=until_ms,
        services=tuple(services),
        objectives=tuple(lines),
        alerts=_alerts(events, chosen, period.time_zone),
        causes=tuple(causes(spent, period.start_ms, until_ms)) if causes is not None and spent else (),
        happened=_happened(events),
        counts=Counter(event.kind for event in events),
    )


def _line(  # noqa: PLR0917 — an item of `Past.many`, and the period
    objective: Objective,
    minutes: Slots,
    begins: npt.NDArray[np.int64],
    start_ms: int,
    until_ms: int,
    past: Past,
    *,
    is_over: bool,
) -> ObjectiveLine:
    first, end = start_ms // 60_000 - minutes.first, -(-until_ms // 60_000) - minutes.first
    within = slice(first, end)
    good, total = float(minutes.good[within].sum()), float(minutes.total[within].sum())
    allowed = total * objective.allowed_ratio
    silent, size = _unseen(objective, minutes, within, past, 0 if is_over else _NOT_YET_MINUTES)
    return ObjectiveLine(
        name=objective.name,
        display_name=objective.display_name,
        service=objective.service,
        team=next(iter(objective.labels.get("team", ())), ""),
        target=objective.target,
        window_s=objective.window_s,
        verdict=_verdict(good, total, objective.target, silent, size),
        sli=good / total if total > 0 else None,
        bad=total - good,
        total=total,
        allowed=allowed,
        used=(total - good) / allowed if allowed > 0 else None,
        left_before=_left(objective, minutes, int(begins[0]), first),
        left_after=_left(objective, minutes, int(begins[1]), end),
        unseen_minutes=silent,
        minutes=size,
    )


def _unseen(objective: Objective, minutes: Slots, within: slice, past: Past, not_yet: int) -> tuple[int, int]:
    """How many minutes had no data, and of how many.

    What was before the first count of an objective, and what an adjustment left out, is neither. A slice is booked in
    its last minute, and stands for all of its own.
    """
    present = minutes.present
    begin, end = within.start, min(within.stop, len(present))
    if not present[:begin].any():  # perhaps it began within the period
        begin = _first(objective, minutes, begin, end, past)
    end = max(begin, end - not_yet)
    each, size = objective.slot_minutes, end - begin
    ends = minutes.first + np.arange(begin, end) + 1
    silent = ~present[begin:end] & (ends % each == 0)
    if each == 1 and silent.any():
        counted = past.events(
            objective.name, (minutes.first + begin) * 60_000, (minutes.first + end) * 60_000, raw=True
        )
        seen = counted.present[: len(silent)]
        left_out = silent[: len(seen)] & seen
        size -= int(np.count_nonzero(left_out))
        silent[: len(seen)] &= ~left_out
    return each * int(np.count_nonzero(silent)), size


def _first(objective: Objective, minutes: Slots, begin: int, end: int, past: Past) -> int:
    """The place of the first minute of a period that is to be judged: where the objective was first counted, if that
    was in it; all of it when nothing ever was.
    """
    first_ms = past.first_ms(objective.name)
    if first_ms is None:
        return begin
    place = first_ms // 60_000 - minutes.first
    return place if begin < place < end else begin


def _verdict(good: float, total: float, target: float, unseen_minutes: int, minutes: int) -> Verdict:
    """As of an SLA: minutes without data had as many events as the others, and are taken for bad, then for good; where
    that makes the difference, nobody knows.
    """
    if total <= 0:
        return "no data"
    unseen = total / max(1, minutes - unseen_minutes) * unseen_minutes
    if good >= (total + unseen) * target:
        return "kept"
    return "missed" if good + unseen < (total + unseen) * target else "don't know"


def _left(objective: Objective, minutes: Slots, begin: int, end: int) -> float | None:
    """What is left of the budget of the window from minute `begin` to before the minutes' place `end`."""
    window = slice(max(0, begin - minutes.first), end)
    total = float(minutes.total[window].sum())
    if total <= 0:
        return None
    return 1 - (total - float(minutes.good[window].sum())) / (total * objective.allowed_ratio)


def _events(timeline: Timeline, services: set[str], start_ms: int, until_ms: int) -> Iterator[Event]:
    """The events of these services in the period, newest first."""
    before_id: int | None = None
    for _ in range(0, _EVENTS_MOST, _EVENTS_AT_ONCE):
        part = timeline.query(
            since_ms=start_ms, until_ms=until_ms, before_id=before_id, limit=_EVENTS_AT_ONCE
        )
        yield from (event for event in part if event.service in services)
        if len(part) < _EVENTS_AT_ONCE:
            return
        before_id = part[-1].id


def _alerts(events: Sequence[Event], chosen: dict[str, Objective], time_zone: str) -> tuple[AlertCount, ...]:
    zone = ZoneInfo(time_zone)
    fired: Counter[tuple[str, str, str]] = Counter()
    at_night: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        if event.kind == _FIRED and event.data.get("objective") in chosen:
            key = tuple(str(event.data.get(name, "")) for name in ("objective", "policy", "severity"))
            fired[key] += 1  # type: ignore[index]  # three names make three values
            at_night[key] += _is_night(event.at_ms, zone)  # type: ignore[index]
    return tuple(AlertCount(*key, count, at_night[key]) for key, count in fired.most_common())


def _is_night(at_ms: int, zone: ZoneInfo) -> bool:
    hour = datetime.fromtimestamp(at_ms / 1000, tz=zone).hour
    return hour >= NIGHT[0] or hour < NIGHT[1]


def _happened(events: Sequence[Event]) -> tuple[Happening, ...]:
    told = [event for event in events if event.kind.startswith(_TOLD)]
    return tuple(
        Happening(event.id, event.at_ms, event.kind, event.service, event.summary)
        for event in sorted(told[:_HAPPENED_MOST], key=lambda event: (event.at_ms, event.id))
    )
