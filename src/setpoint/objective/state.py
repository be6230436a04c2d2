"""From columns to sentences: the state of an objective, one sentence that says why, and its whole status.

`book` calls `status_of` for the objectives that somebody reads, or whose state changed. The order of the states is
fixed (decision 0010): no data stands above exhausted, above burning, above healthy; silence is never good news.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.objective import budget
from setpoint.objective.adjustment.plan import EXCLUDED
from setpoint.objective.adjustment.words import running
from setpoint.objective.duration import spoken_duration
from setpoint.objective.fleet import Fleet
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.live import slot_of
from setpoint.objective.model import BurnRate, Counts, Objective, ObjectiveStatus, State
from setpoint.objective.overview import STATES, Overview
from setpoint.objective.standing import Standing
from setpoint.objective.verdict import Verdicts

__all__ = ["Evidence", "decide", "overview_of", "status_of"]

_HOLD_S = 30
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made from. `error` is set when the queries cannot be computed, `fault` when the data source
    does not answer, which tells why nothing comes. `ends_s`: in how many seconds a calendar window ends, None for one
    that rolls; `elapsed_s`: how much of it has passed. `excused_s`: the silence without adjusted time, where there is
    any.
    """

    window: Counts
    burn: Sequence[BurnRate]
    hour_burn: float | None
    silent_s: float | None
    no_data_after_s: float
    error: str | None
    covered_s: float
    exhausted_s: float | None
    fault: str | None = None
    ends_s: float | None = None
    elapsed_s: float = 0.0
    excused_s: float | None = None


def decide(objective: Objective, evidence: Evidence) -> tuple[State, str, float | None]:
    """State, reason and seconds until the budget is gone at the current burn (None: it is not being
    spent).
    """
    left = budget.budget_left(evidence.window, objective.allowed_ratio)
    silence = _silence(objective, evidence)
    if silence is not None or left is None:
        return "no data", silence or "", None
    allowed = budget.allowed_bad(evidence.window, objective.allowed_ratio)
    events = "event" if evidence.window.bad == 1 else "events"
    spent = (
        f"{budget.spoken_events(evidence.window.bad)} bad {events} of {budget.spoken_events(allowed)} allowed"
    )
    if left <= 0:
        age_s = evidence.exhausted_s or 0
        since = f" for {spoken_duration(age_s)}" if age_s >= 60 else ""
        return "exhausted", f"exhausted{since}: {spent}{_coverage(objective, evidence)}", 0.0
    firing = next((rate for rate in evidence.burn if rate.firing), None)
    if firing is None:
        seconds = _seconds(objective, evidence, left, evidence.hour_burn)
        told = f"{_percent(left)} of the budget left: {spent}{_coverage(objective, evidence)}"
        return "healthy", told, seconds
    rate, _ = _told(firing)
    if rate is None or rate <= firing.threshold:
        seconds = _seconds(objective, evidence, left, evidence.hour_burn)
        recently = spoken_duration(firing.long_s + _HOLD_S)
        calm = f"burned over {firing.threshold:g}× within the last {recently}, slower now"
        return "burning", f"{calm}; {_percent(left)} of the budget left", seconds
    seconds = _seconds(objective, evidence, left, rate)
    if seconds is None:
        return (
            "burning",
            f"burning {_times(rate)}: at this rate the budget lasts until this window ends",
            None,
        )
    gone = f"at this rate the budget is gone in {spoken_duration(seconds)}"
    return "burning", f"burning {_times(rate)}: {gone}", seconds


def _seconds(objective: Objective, evidence: Evidence, left: float, burn: float | None) -> float | None:
    """Until nothing is left at this burn; None when that is not before the window ends."""
    if evidence.ends_s is None:
        return budget.time_to_exhaustion(left, burn, objective.window_s)
    seconds = budget.time_to_exhaustion(left, None if burn is None else burn - 1, evidence.elapsed_s)
    return None if seconds is None or seconds > evidence.ends_s else seconds


def _silence(objective: Objective, evidence: Evidence) -> str | None:
    """Why nothing can be said, or None when something can."""
    if evidence.error is not None:
        return evidence.error
    if evidence.silent_s is None:
        return evidence.fault or f"no events yet: {_asked(objective, 'has not returned anything', 'had')}"
    counted_s = evidence.silent_s if evidence.excused_s is None else evidence.excused_s
    if counted_s > evidence.no_data_after_s:
        told = _asked(objective, "returns nothing", "has")
        return evidence.fault or f"no events for {spoken_duration(evidence.silent_s)}: {told}"
    if evidence.window.total <= 0:
        return f"no events in {spoken_duration(objective.window_s)}: samples arrive, but they count nothing"
    return None


def _asked(objective: Objective, does: str, has: str) -> str:
    """What gives nothing: a composite has no query."""
    if objective.kind == "composite":
        return f"no minute in which every part {has} data; look at the parts"
    query = {"threshold": "value", "raw": "ratio"}.get(objective.kind, "total")
    return f"the {query} query {does}"


def status_of(verdicts: Verdicts, at: int, ledgers: Ledgers, standing: Standing) -> ObjectiveStatus:
    """Everything that is known of objective `at`, as it was judged."""
    fleet, now_ms = verdicts.fleet, verdicts.at_ms
    objective, table = fleet.objectives[at], fleet.table
    start, end = int(verdicts.windows.start[at]), int(verdicts.windows.end[at])
    first = _first_minute(verdicts, at, ledgers)
    window = Counts(float(verdicts.good[at]), float(verdicts.total[at]))
    burn = table.burn(at)
    since_ms = int(verdicts.since_ms[at]) if verdicts.since_ms[at] > 0 else None
    window_s = float(verdicts.windows.elapsed_s[at])
    covered_s = 0.0 if first is None else min(window_s, (now_ms - first * _MINUTE_MS) / 1000)
    alerts = table.alerts(at, covered_s)
    evidence = _evidence(verdicts, at, window, burn, covered_s, since_ms)
    _, reason, exhaustion_s = decide(objective, evidence)
    state = STATES[verdicts.state[at]]
    adjusted = running(fleet.adjustments, at, now_ms, evidence.silent_s)
    waiting = verdicts.waiting.get(at)
    return ObjectiveStatus(
        name=objective.name,
        display_name=objective.display_name or objective.name,
        service=objective.service,
        description=objective.description,
        labels=objective.labels,
        target=objective.target,
        window_s=objective.window_s,
        is_rolling=objective.is_rolling,
        method=objective.method,
        state=state,
        reason=f"{adjusted}; {reason}" if adjusted else reason,
        sli=budget.sli(window),
        budget_left=_known(verdicts.left[at]),
        good=window.good,
        total=window.total,
        bad=window.bad,
        allowed_bad=budget.allowed_bad(window, objective.allowed_ratio),
        burn=burn,
        burn_now=None if state == "no data" else _known(verdicts.burn_now[at]),
        burn_now_s=int(verdicts.burn_now_s[at]),
        exhaustion_s=exhaustion_s,
        exhausted_since_ms=since_ms,
        covered_s=covered_s,
        gap_minutes=_gaps(verdicts, at, ledgers, first),
        last_event_ms=int(verdicts.event_ms[at]) if verdicts.event_ms[at] >= 0 else None,
        evaluated_at_ms=now_ms,
        good_query=objective.good_query,
        bad_query=objective.bad_query,
        total_query=objective.total_query,
        spark=tuple(None if math.isnan(rate) else rate for rate in verdicts.spark[at].tolist()),
        explanation=_explain(objective, window),
        backfilling=waiting is not None,
        warnings=(
            *_warnings(fleet.objectives[at], standing.cut_minutes(int(fleet.raw[at]), start)),
            *_unseen(fleet, at, window),
            *(told for alert in alerts for told in alert.warnings),
        ),
        source=objective.source,
        kind=objective.kind,
        slo=objective.slo,
        group=objective.group,
        alerts=alerts,
        window_start_ms=min(start, end) * _MINUTE_MS,
        history_done=1.0 if waiting is None else waiting,
    )


def _evidence(  # noqa: PLR0917 — what is known of one objective
    verdicts: Verdicts,
    at: int,
    window: Counts,
    burn: Sequence[BurnRate],
    covered_s: float,
    since_ms: int | None,
) -> Evidence:
    fleet, ends_s = verdicts.fleet, float(verdicts.windows.ends_s[at])
    return Evidence(
        window=window,
        burn=burn,
        hour_burn=_known(verdicts.hour_burn[at]),
        silent_s=_known(verdicts.silent_s[at]),
        no_data_after_s=float(fleet.silent_after_s[at]),
        error=verdicts.errors.get(at),
        covered_s=covered_s,
        exhausted_s=None if since_ms is None else (verdicts.at_ms - since_ms) / 1000,
        fault=fleet.feeds[fleet.objectives[at].source].fault(),
        ends_s=None if math.isinf(ends_s) else ends_s,
        elapsed_s=float(verdicts.windows.elapsed_s[at]),
        excused_s=_known(verdicts.excused_s[at]),
    )


def overview_of(verdicts: Verdicts) -> Overview:
    """All verdicts as columns by name."""
    fleet, order = verdicts.fleet, verdicts.fleet.order
    objectives = tuple(fleet.objectives[at] for at in order.tolist())
    waits = np.zeros(len(fleet), np.bool_)
    waits[list(verdicts.waiting)] = True
    sli = np.full(len(fleet), np.nan)
    np.divide(verdicts.good, verdicts.total, out=sli, where=verdicts.total > 0)
    return Overview(
        objectives=objectives,
        names=tuple(one.name for one in objectives),
        services=tuple(one.service for one in objectives),
        display_names=tuple(one.display_name or one.name for one in objectives),
        labels=tuple(one.labels for one in objectives),
        state=verdicts.state[order],
        budget_left=verdicts.left[order],
        sli=sli[order],
        burn_now=verdicts.burn_now[order],
        burn_now_s=verdicts.burn_now_s[order],
        exhaustion_s=verdicts.exhaustion_s[order],
        exhausted_since_ms=np.where(verdicts.since_ms > 0, verdicts.since_ms, -1)[order],
        last_event_ms=verdicts.event_ms[order],
        target=np.array([one.target for one in objectives], np.float64),
        window_s=np.array([one.window_s for one in objectives], np.int64),
        page_threshold=verdicts.page_threshold[order],
        backfilling=waits[order],
        alerts=verdicts.alerts[order],
        spark=verdicts.spark[order],
        evaluated_at_ms=verdicts.at_ms,
    )


def _first_minute(verdicts: Verdicts, at: int, ledgers: Ledgers) -> int | None:
    """The first minute of the window with data."""
    row, start = verdicts.fleet.budget[at : at + 1], verdicts.windows.start[at : at + 1]
    first = int(ledgers.first_with(row, start)[0])
    return None if first < 0 else first


def _gaps(verdicts: Verdicts, at: int, ledgers: Ledgers, first: int | None) -> int:
    """Minutes without data between the first with data and now, without those whose samples may be on the way; of
    budgets in slices, the slices without.
    """
    fleet = verdicts.fleet
    objective, after_ms = fleet.objectives[at], round(fleet.silent_after_s[at] * 1000)
    each = objective.slot_minutes
    end = slot_of(verdicts.at_ms - after_ms) // each * each
    if first is None or end <= first:
        return 0
    first = first // each * each
    minutes = ledgers.counts(fleet.budget[at : at + 1], np.array([first]), np.array([end]))[2, 0]
    left_out = 0
    number = int(fleet.adjustments.quiet[at])
    if fleet.keys[at].is_adjusted and number >= 0:
        codes = fleet.adjustments.profiles[number].codes(first, end)
        left_out = int((codes == EXCLUDED).reshape(-1, each).all(axis=1).sum())
    return max(0, (end - first) // each - int(minutes) - left_out)


def _explain(objective: Objective, window: Counts) -> str:
    told = budget.explain(window, objective.allowed_ratio)
    if objective.kind == "composite":
        how = "every part met its target" if objective.all_of else "the weighted mean of its parts' ratios"
        told += f"; each minute with events in every part is one event, good by {how}"
    if objective.method != "Occurrences":
        how = f"reached {objective.slice_target}" if objective.method == "Timeslices" else "counts as it is"
        length = spoken_duration(objective.slice_s)
        told += f"; each {length} with events is one event, whose ratio {how}"
    if objective.no_data.action == "bad":
        told += "; minutes without data count as bad, with the events of an average minute of the day before"
    return told


def _warnings(objective: Objective, cut: int) -> tuple[str, ...]:
    if not cut:
        return ()
    minutes = "1 minute" if cut == 1 else f"{cut} minutes"
    if objective.kind == "raw":
        return (f"in {minutes} the ratio was below 0 or above 1 and was cut to that; check the query",)
    part = "good" if objective.good_query is not None else "bad"
    return (
        f"in {minutes} the {part} query counted less than nothing or more than the total and "
        f"was cut to it; check that every event that {part} counts is in the total",
    )


def _unseen(fleet: Fleet, at: int, window: Counts) -> tuple[str, ...]:
    """No failure, and nothing there that could count one: a misspelt name must not pass for health."""
    if fleet.objectives[at].bad_query is None or window.bad > 0 or window.total <= 0:
        return ()
    if fleet.plan.has_part(at) is not False:
        return ()
    return (
        "no series matches the bad query: right while nothing has failed, but a misspelt name looks the same; "
        "check it once, or count good events instead",
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _told(firing: BurnRate) -> tuple[float | None, int]:
    """The burn that a firing row speaks of, and its seconds: the short window, but the watch row's long one,
    because 5 s swing too much.
    """
    if firing.severity == "watch":
        return firing.long_burn, firing.long_s
    return firing.short_burn, firing.short_s


def _coverage(objective: Objective, evidence: Evidence) -> str:
    if evidence.ends_s is not None:
        return (
            " in this window"
            if evidence.covered_s >= evidence.elapsed_s - 60
            else (f" in {spoken_duration(evidence.covered_s)} of this window")
        )
    window = spoken_duration(objective.window_s)
    if evidence.covered_s >= objective.window_s - 60:
        return f" in {window}"
    return f" in {spoken_duration(evidence.covered_s)} of history (window: {window})"


def _times(burn: float) -> str:
    return f"{burn:,.1f}×" if burn < 100 else f"{burn:,.0f}×"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"
