"""From counts to a verdict: the state of an objective, one sentence that says why, and the whole status.

`book` calls `Assessor.assess` on every tick. The order is fixed (decision 0010): no data stands above
exhausted, above burning, above healthy; silence is never good news. A watch row goes on firing for
`_HOLD_S` after it was last true, and ends its windows at the last slice with samples, so that senders which
report every few seconds do not make the state flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from setpoint.objective import budget
from setpoint.objective.burn import BurnRule, measure, rules_for
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import BurnRate, Counts, Objective, ObjectiveStatus, State
from setpoint.objective.track import Track

__all__ = ["Assessor", "Evidence", "decide"]

_HOUR_S = 3600
_HOLD_S = 30
_SPARK_BUCKETS, _SPARK_MINUTES = 72, 5
_LOOKED_AT = 512  # minutes looked at first when the instant of exhaustion is searched backwards


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made from. `error` is set when the queries cannot be computed, `fault` when the data source
    does not answer, which tells why nothing comes.
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
    spent = f"{_count(evidence.window.bad)} bad {events} of {_count(allowed)} allowed"
    if left <= 0:
        age_s = evidence.exhausted_s or 0
        since = f" for {spoken_duration(age_s)}" if age_s >= 60 else ""
        return "exhausted", f"exhausted{since}: {spent}{_coverage(objective, evidence)}", 0.0
    firing = next((rate for rate in evidence.burn if rate.firing), None)
    if firing is None:
        seconds = budget.time_to_exhaustion(left, evidence.hour_burn, objective.window_s)
        return (
            "healthy",
            f"{_percent(left)} of the budget left: {spent}{_coverage(objective, evidence)}",
            seconds,
        )
    rate, _ = _told(firing)
    if rate is None or rate <= firing.threshold:
        seconds = budget.time_to_exhaustion(left, evidence.hour_burn, objective.window_s)
        recently = spoken_duration(firing.long_s + _HOLD_S)
        calm = f"burned over {firing.threshold:g}× within the last {recently}, slower now"
        return "burning", f"{calm}; {_percent(left)} of the budget left", seconds
    seconds = budget.time_to_exhaustion(left, rate, objective.window_s)
    gone = f"at this rate the budget is gone in {spoken_duration(seconds or 0)}"
    return "burning", f"burning {_times(rate)}: {gone}", seconds


def _silence(objective: Objective, evidence: Evidence) -> str | None:
    """Why nothing can be said, or None when something can."""
    if evidence.error is not None:
        return evidence.error
    if evidence.silent_s is None:
        return evidence.fault or "no events yet: the total query has not returned anything"
    if evidence.silent_s > evidence.no_data_after_s:
        told = f"no events for {spoken_duration(evidence.silent_s)}: the total query returns nothing"
        return evidence.fault or told
    if evidence.window.total <= 0:
        return f"no events in {spoken_duration(objective.window_s)}: samples arrive, but they count nothing"
    return None


class Assessor:
    """Makes the status of one objective from its track; remembers when its watch rows were last true."""

    def __init__(self, track: Track, *, no_data_after_s: float) -> None:
        self.track = track
        objective = track.objective
        self._no_data_after_s = no_data_after_s
        self._rules = tuple(
            rule
            for rule in rules_for(objective.window_s, objective.allowed_ratio)
            if rule.severity != "watch" or objective.is_counter  # a gauge has no slices
        )
        self._true_ms: dict[BurnRule, int] = {}

    def assess(self, now_ms: int) -> ObjectiveStatus:
        """Everything that is known now."""
        track, objective = self.track, self.track.objective
        start, end = track.minutes_of_window(now_ms)
        window = track.minutes.counts(start, end)
        last_sample_ms = track.last_ms(now_ms)
        first = track.minutes.first_with_data(start)
        rates = tuple(self._rate(rule, now_ms) for rule in self._rules)
        hour_burn = budget.burn_rate(track.counts_over(_HOUR_S, now_ms), objective.allowed_ratio)
        left = budget.budget_left(window, objective.allowed_ratio)
        since_ms = self._exhausted_since_ms(now_ms) if left is not None and left <= 0 else None
        covered_s = 0.0
        if first is not None:
            covered_s = min(float(objective.window_s), (now_ms - track.minutes.start_ms(first)) / 1000)
        evidence = Evidence(
            window=window,
            burn=rates,
            hour_burn=hour_burn,
            silent_s=None if last_sample_ms is None else (now_ms - last_sample_ms) / 1000,
            no_data_after_s=self._no_data_after_s,
            error=track.error,
            covered_s=covered_s,
            exhausted_s=None if since_ms is None else (now_ms - since_ms) / 1000,
            fault=track.feed.fault(),
        )
        state, reason, exhaustion_s = decide(objective, evidence)
        burn_now, burn_now_s = _burn_now(state, rates)
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
            reason=reason,
            sli=budget.sli(window),
            budget_left=left,
            good=window.good,
            total=window.total,
            bad=window.bad,
            allowed_bad=budget.allowed_bad(window, objective.allowed_ratio),
            burn=rates,
            burn_now=burn_now,
            burn_now_s=burn_now_s,
            exhaustion_s=exhaustion_s,
            exhausted_since_ms=since_ms,
            covered_s=covered_s,
            gap_minutes=self._gaps(start, now_ms),
            last_event_ms=track.last_ms(now_ms, events=True),
            evaluated_at_ms=now_ms,
            good_query=objective.good_query,
            bad_query=objective.bad_query,
            total_query=objective.total_query,
            spark=self._spark(end),
            explanation=budget.explain(window, objective.allowed_ratio),
            backfilling=bool(track.pending) or track.history_done < 1,
            history_done=track.history_done,
            warnings=self._warnings(start),
            source=objective.source,
        )

    def _rate(self, rule: BurnRule, now_ms: int) -> BurnRate:
        allowed_ratio, anchor = self.track.objective.allowed_ratio, None
        if rule.severity == "watch":
            anchor = self.track.last_slice(now_ms)
            if (
                anchor is not None
                and now_ms - self.track.slices.end_ms(anchor) > self._no_data_after_s * 1000
            ):
                anchor = None
        long = self.track.counts_over(rule.long_s, now_ms, anchor=anchor)
        short = self.track.counts_over(rule.short_s, now_ms, anchor=anchor)
        rate = measure(rule, long, short, allowed_ratio)
        if rule.severity != "watch":
            return rate
        if rate.firing:
            self._true_ms[rule] = now_ms
        held = now_ms - self._true_ms.get(rule, now_ms - 10**12) <= _HOLD_S * 1000
        return replace(rate, firing=held)

    def _exhausted_since_ms(self, now_ms: int) -> int | None:
        """The end of the minute since which the budget has been gone without a break, as far as the
        ledger reaches.
        """
        minutes, window = self.track.minutes, self.track.objective.window_s // 60
        since, last, most = None, self.track.minutes_of_window(now_ms)[1], _LOOKED_AT
        while last > minutes.first:
            ends = np.arange(max(minutes.first, last - most) + 1, last + 1)
            good, total, _ = minutes.counts_of(ends - window, ends)
            gone = budget.lefts(good, total, self.track.objective.allowed_ratio) <= 0
            if not gone.all():
                whole = int(np.flatnonzero(~gone)[-1])
                since = int(ends[whole + 1]) if whole + 1 < len(ends) else since
                break
            since, last, most = int(ends[0]), int(ends[0]) - 1, 8 * most
        return None if since is None else min(now_ms, since * 60_000)

    def _gaps(self, start: int, now_ms: int) -> int:
        """Minutes without data between the first with data and now, without those whose samples may be on
        the way.
        """
        minutes = self.track.minutes
        first = minutes.first_with_data(start)
        end = minutes.slot_of(now_ms - round(self._no_data_after_s * 1000))
        if first is None or end <= first:
            return 0
        return end - first - minutes.counts(first, end).minutes

    def _spark(self, end: int) -> tuple[float | None, ...]:
        last = -(-end // _SPARK_MINUTES) * _SPARK_MINUTES
        ends = last - _SPARK_MINUTES * np.arange(_SPARK_BUCKETS - 1, -1, -1)
        good, total, _ = self.track.minutes.counts_of(ends - _SPARK_MINUTES, ends)
        rates = budget.burn_rates(good, total, self.track.objective.allowed_ratio)
        return tuple(None if math.isnan(rate) else rate for rate in rates.tolist())

    def _warnings(self, start: int) -> tuple[str, ...]:
        cut = self.track.cut_minutes(start)
        if not cut:
            return ()
        part = "good" if self.track.objective.good_query is not None else "bad"
        minutes = "1 minute" if cut == 1 else f"{cut} minutes"
        return (
            f"in {minutes} the {part} query counted less than nothing or more than the total and "
            f"was cut to it; check that every event that {part} counts is in the total",
        )


def _told(firing: BurnRate) -> tuple[float | None, int]:
    """The burn that a firing row speaks of, and its seconds: the short window, but the watch row's long one,
    because 5 s swing too much.
    """
    if firing.severity == "watch":
        return firing.long_burn, firing.long_s
    return firing.short_burn, firing.short_s


def _burn_now(state: State, rates: Sequence[BurnRate]) -> tuple[float | None, int]:
    """The one burn that every list shows, and the seconds it is over: that of the verdict, else the newest.

    Without data there is none: what an older window still holds would pass silence off as calm.
    """
    known = [rate for rate in rates if _told(rate)[0] is not None] or rates
    shown = min(known, key=lambda rate: _told(rate)[1], default=None)
    firing = next((rate for rate in rates if rate.firing), None)
    if state == "burning" and firing is not None and (_told(firing)[0] or 0) > firing.threshold:
        shown = firing
    if shown is None:
        return None, 0
    burn, over_s = _told(shown)
    return None if state == "no data" else burn, over_s


def _coverage(objective: Objective, evidence: Evidence) -> str:
    window = spoken_duration(objective.window_s)
    if evidence.covered_s >= objective.window_s - 60:
        return f" in {window}"
    return f" in {spoken_duration(evidence.covered_s)} of history (window: {window})"


def _times(burn: float) -> str:
    return f"{burn:,.1f}×" if burn < 100 else f"{burn:,.0f}×"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.1f} %"


def _count(events: float) -> str:
    return f"{events:,.0f}" if events >= 100 or events == int(events) else f"{events:,.1f}"
