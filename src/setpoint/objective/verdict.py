"""The verdicts of all objectives at one instant, as columns: counts, budgets, burns, states.

`book` calls `judge` in every tick, which counts all windows of all objectives in a few calls and lets the policy table
decide its alerts. The order of the states is fixed (decision 0010): no data stands above exhausted, above burning,
above healthy. Sentences and whole statuses are made by `state`, for those that somebody reads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from setpoint.objective.alerting.table import AlertChange, Measured
from setpoint.objective.fleet import Fleet, Windows, windows_at
from setpoint.objective.ledger.ledgers import Ledgers, Slices
from setpoint.objective.live import LIVE_MINUTES, SLICE_S, slot_of
from setpoint.objective.model import ObjectiveStatus
from setpoint.objective.overview import STATES
from setpoint.objective.standing import Standing

__all__ = ["Verdicts", "judge"]

_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]

_HOUR_MINUTES = 60
_MINUTE_MS = 60_000
NO_DATA, EXHAUSTED, BURNING, HEALTHY = (
    STATES.index(one) for one in ("no data", "exhausted", "burning", "healthy")
)


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What is known of n objectives at `at_ms`; NaN (or -1) where it is not known.

    `good`, `total`, `left` float64[n] are of the objective's window; `hour_burn` of the last hour; `burn_now` of the
    last `burn_now_s` seconds. `state` int8[n] indexes `overview.STATES`. `silent_s` float64[n], `last_ms`, `event_ms`
    int64[n]: of the newest sample, and of the newest that counted something; `excused_s` is the silence without that of
    adjusted time, from which alerts and states are decided. `since_ms` int64[n]: since when the budget
    has been gone (0: it is not, -1: not known yet). `spark` float32[n, 72]. `errors`: by index, why nothing is known.
    """

    fleet: Fleet
    at_ms: int
    windows: Windows
    good: _Floats
    total: _Floats
    left: _Floats
    hour_burn: _Floats
    burn_now: _Floats
    burn_now_s: _Ints
    exhaustion_s: _Floats
    silent_s: _Floats
    excused_s: _Floats
    last_ms: _Ints
    event_ms: _Ints
    state: npt.NDArray[np.int8]
    page_threshold: _Floats
    alerts: _Ints
    errors: Mapping[int, str]
    since_ms: _Ints
    spark: npt.NDArray[np.float32]
    waiting: Mapping[int, float]
    """By index, which part of its history is counted, for those that still wait."""
    made: dict[str, ObjectiveStatus] = field(default_factory=dict)
    """Statuses that were read already."""

    def with_since(self, since_ms: _Ints, spark: npt.NDArray[np.float32]) -> Verdicts:
        """The same, with what is kept from tick to tick."""
        return replace(self, since_ms=since_ms, spark=spark)


def judge(  # noqa: PLR0917 — the parts of the book
    fleet: Fleet,
    ledgers: Ledgers,
    slices: Slices,
    standing: Standing,
    now_ms: int,
    waiting: Mapping[int, float],
    unknown_to: _Ints,
) -> tuple[Verdicts, Sequence[AlertChange]]:
    """Judge all objectives now; the second part is what changed of their alerts. No alert is decided from windows that
    begin before `unknown_to`: to that minute there are stretches which were never counted.
    """
    windows = windows_at(fleet, now_ms)
    good, total = _events(ledgers, fleet.budget, windows.start, windows.end)
    left = _share(total, 1 - _ratio(total - good, total * fleet.allowed))
    hour_good, hour_total = _events(ledgers, fleet.budget, windows.end - _HOUR_MINUTES, windows.end)
    hour_burn = _ratio(hour_total - hour_good, hour_total * fleet.allowed)
    last_slice, last_ms = _last(fleet, ledgers, slices, now_ms, events=False)
    silent_s = np.where(last_ms < 0, np.nan, (now_ms - last_ms) / 1000)
    excused_s = _excused(fleet, silent_s, now_ms)
    errors = _errors(fleet, standing)
    lasts_s = np.where(
        np.isinf(windows.ends_s),
        np.maximum(left, 0) * fleet.window_s,
        np.maximum(left, 0) * windows.elapsed_s,
    )
    policy_good, policy_total = _count_windows(
        fleet, ledgers, slices, windows, last_slice, now_ms, unknown_to
    )
    if errors:
        unknown = np.isin(fleet.table.windows.objective, list(errors))
        policy_good[unknown] = policy_total[unknown] = np.nan
    young = windows.start < unknown_to
    own = np.where(young, np.nan, good), np.where(young, np.nan, total)
    changes = fleet.table.judge(
        now_ms, Measured(policy_good, policy_total, *own, excused_s, lasts_s, windows.ends_s)
    )
    unknown = np.isnan(silent_s) | (excused_s > fleet.silent_after_s) | (total <= 0)
    unknown[list(errors)] = True
    state = np.where(
        unknown,
        NO_DATA,
        np.where(left <= 0, EXHAUSTED, np.where(fleet.table.burning, BURNING, HEALTHY)),
    ).astype(np.int8)
    rate = np.where(state == BURNING, fleet.table.told_burn, hour_burn)
    burn_now, burn_now_s = _told_burn(fleet, state, hour_burn)
    return Verdicts(
        fleet=fleet,
        at_ms=now_ms,
        windows=windows,
        good=good,
        total=total,
        left=left,
        hour_burn=hour_burn,
        burn_now=burn_now,
        burn_now_s=burn_now_s,
        exhaustion_s=_exhaustion(fleet, windows, left, rate, state),
        silent_s=silent_s,
        excused_s=excused_s,
        last_ms=last_ms,
        event_ms=_last(fleet, ledgers, slices, now_ms, events=True)[1],
        state=state,
        page_threshold=fleet.table.page_threshold,
        alerts=fleet.table.firing_count,
        errors=errors,
        since_ms=np.zeros(0, np.int64),
        spark=np.zeros((0, 0), np.float32),
        waiting=waiting,
    ), changes


def _told_burn(fleet: Fleet, state: npt.NDArray[np.int8], hour_burn: _Floats) -> tuple[_Floats, _Ints]:
    """The burn that lists show, and over how many seconds: the last hour's of what has no policies, such as the parts
    of a composite.
    """
    is_told = fleet.table.told_s > 0
    burn = np.where(state == NO_DATA, np.nan, np.where(is_told, fleet.table.told_burn, hour_burn))
    hour_s = np.where(np.isnan(hour_burn), 0, 60 * _HOUR_MINUTES)
    return burn, np.where(is_told, fleet.table.told_s, hour_s)


def _excused(fleet: Fleet, silent_s: _Floats, now_ms: int) -> _Floats:
    """The silence of each objective, counted from the end of the last adjusted time at the earliest, 0 within it; NaN
    where nothing was ever heard.
    """
    quiet = fleet.adjustments.quiet_at(slot_of(now_ms))
    rested_s = np.maximum(0.0, now_ms - np.clip(quiet.end, 0, 2**40) * _MINUTE_MS) / 1000
    has_rested = quiet.end >= 0
    return np.where(has_rested, np.fmin(silent_s, rested_s), silent_s)


def _errors(fleet: Fleet, standing: Standing) -> dict[int, str]:
    """By index, why nothing is known of an objective."""
    rows = standing.errors.keys() | standing.faults.keys()
    of_rows = {at for row in rows if (at := fleet.of_row.get(row)) is not None}
    found = {at: fleet.reason_of(at, standing) for at in of_rows | fleet.derivation.missing.keys()}
    return {at: reason for at, reason in found.items() if reason}


def _count_windows(  # noqa: PLR0917 — the columns of a tick
    fleet: Fleet,
    ledgers: Ledgers,
    slices: Slices,
    windows: Windows,
    last_slice: _Ints,
    now_ms: int,
    unknown_to: _Ints,
) -> tuple[_Floats, _Floats]:
    """Good and total of the policies' windows: of short ones from slices where there are any, else from minutes."""
    asked = fleet.table.windows
    at = asked.objective
    fine = fleet.fine[at] & (asked.lookback_s <= (LIVE_MINUTES - 1) * 60)
    running = slot_of(now_ms)
    is_plain = ~fleet.adjustments.touched(fleet.adjustments.quiet, running - LIVE_MINUTES + 1, running + 1)
    fine &= is_plain[at]
    good, total = np.zeros(len(at)), np.zeros(len(at))
    some = np.flatnonzero(fine)
    if len(some):
        now_slice = slot_of(now_ms, SLICE_S)
        kept = round(fleet.silent_after_s.max(initial=0)) // SLICE_S
        anchor = last_slice[at[some]]
        is_young = (anchor >= now_slice - kept) & asked.anchored[some]
        ends = np.where(is_young, anchor, now_slice) + 1
        starts = ends - asked.lookback_s[some] // SLICE_S
        begun = windows.start[at[some]] * (60 // SLICE_S)
        starts = np.where(asked.inside[some], np.maximum(starts, begun), starts)
        raw = slices.counts(fleet.raw[at[some]], starts, ends)
        good[some], total[some] = np.minimum(np.maximum(raw[0], 0.0), raw[1]), np.maximum(raw[1], 0.0)
    rest = np.flatnonzero(~fine)
    if len(rest):
        of = at[rest]
        ends = windows.end[of]
        starts = ends + -asked.lookback_s[rest] // 60
        starts = np.where(asked.inside[rest], np.maximum(starts, windows.start[of]), starts)
        good[rest], total[rest] = _events(ledgers, fleet.budget[of], starts, ends)
        unknown = rest[starts < unknown_to[of]]
        good[unknown] = total[unknown] = np.nan
    return good, total


def _events(ledgers: Ledgers, rows: _Ints, starts: _Ints, ends: _Ints) -> tuple[_Floats, _Floats]:
    """Good and total of windows. Sums of fractions (ratios of slices) may miss by their last bits: none of that counts
    where there is no data, nor as less than nothing.
    """
    good, total, minutes = ledgers.counts(rows, starts, ends)
    total = np.where(minutes > 0, total, 0.0)
    return np.clip(good, 0.0, total), total


def _last(
    fleet: Fleet, ledgers: Ledgers, slices: Slices, now_ms: int, *, events: bool
) -> tuple[_Ints, _Ints]:
    """The last slice with samples (or events) of each objective, and the instant of the last ones, -1: none."""
    slots = slices.last_with(fleet.raw, (slot_of(now_ms) + 1) * (60 // SLICE_S), events=events)
    at_ms = (slots + 1) * SLICE_S * 1000
    missing = np.flatnonzero(slots < 0)
    if len(missing):
        minutes = ledgers.last_with(fleet.raw[missing], slot_of(now_ms) + 1, events=events)
        at_ms[missing] = np.where(minutes < 0, -1, (minutes + 1) * _MINUTE_MS)
    return slots, np.minimum(at_ms, now_ms)


def _exhaustion(
    fleet: Fleet, windows: Windows, left: _Floats, rate: _Floats, state: npt.NDArray[np.int8]
) -> _Floats:
    """Seconds until nothing is left at `rate`; NaN where that is not before the window ends, or unknown.

    Rolling: left × window / burn, as everywhere in the field. The budget of a calendar window grows with its events, so
    at a burn b it shrinks by b − 1: elapsed × left / (b − 1).
    """
    seconds = np.full(len(left), np.nan)
    rolls = np.isinf(windows.ends_s)
    going = (rate > 0) & (left > 0)
    np.divide(left * fleet.window_s, rate, out=seconds, where=going & rolls)
    np.divide(left * windows.elapsed_s, rate - 1, out=seconds, where=going & ~rolls & (rate > 1))
    seconds[seconds > windows.ends_s] = np.nan
    seconds[state == EXHAUSTED] = 0.0
    seconds[state == NO_DATA] = np.nan
    return seconds


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    found = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=found, where=whole > 0)
    return found


def _share(total: _Floats, left: _Floats) -> _Floats:
    return np.where(total > 0, left, np.nan)
