"""The burn-down of an objective: budget, burn and events at evenly spread instants, from its ledger.

`book.history` calls it for a page's chart. Each point is a window that ends there, so the last point is the
status and an event that leaves the window gives its budget back; a calendar window begins where its calendar does.
Before the window is filled once, a point is computed from the history there is, and `covered` says how much of the
window that is; without events a point is NaN, not a whole budget. One instant is an exception: where the first minute
with data begins, nothing is spent yet, so the line starts there, whole, and shows also what the first minute did.

`gone_since` is the same for one question: since when the budget has been gone.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective import budget
from setpoint.objective.calendar_window import begins
from setpoint.objective.ledger.ledger import Ledger
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.model import BudgetHistory, Objective

__all__ = ["gone_since", "history", "minutes_for", "starts_of"]

_Ints = npt.NDArray[np.int64]

_MINUTE_MS = 60_000
_BURN_MINUTES = (1, 5, 30, 60, 360, 1440)
_BURN_SHARE = 30
_LONG_MINUTES = 2 * 366 * 1440  # longer stretches are cut to what is stored: all time is 30 million minutes
_LOOKED_AT = 512  # minutes looked at first when the instant of exhaustion is searched backwards


def minutes_for(ledgers: Ledgers, row: int, objective: Objective, start_ms: int, end_ms: int) -> Ledger:
    """The minutes that the windows which end in (start_ms, end_ms] hold. Raises Unavailable."""
    last = (end_ms - 1) // _MINUTE_MS + 1
    first = min((max(1, start_ms) - 1) // _MINUTE_MS, last - 2)
    low = min(int(starts_of(objective, np.array([first + 1]))[0]), first - _BURN_MINUTES[-1])
    if last - low > _LONG_MINUTES:
        begin = ledgers.first_stored(row, max(0, low))
        low = last - 2 if begin < 0 else min(max(low, begin), last - 2)
    found = Ledger(60)
    found.write(ledgers.minutes(row, low, last))
    return found


def history(minutes: Ledger, objective: Objective, start_ms: int, end_ms: int, points: int) -> BudgetHistory:
    """`points` instants (at least 2, fewer when the stretch has fewer minutes) over (start_ms, end_ms]."""
    last = minutes.slot_of(end_ms) + 1
    first = min(minutes.slot_of(max(1, start_ms)) + 1, last - 1)
    begin = minutes.first_with_data(0)
    edges = np.linspace(first, last, max(2, points) + 1).round().astype(np.int64)
    if begin is not None and first < begin < last:
        edges = np.append(edges, begin)
    edges = np.unique(edges)
    ends = edges[1:]
    starts = starts_of(objective, ends)
    good, total, _ = minutes.counts_of(starts, ends)
    burn_minutes = _burn_minutes(last - first)
    burn_good, burn_total, _ = minutes.counts_of(ends - burn_minutes, ends)
    bucket_good, bucket_total, bucket_minutes = minutes.counts_of(edges[:-1], ends)
    covered = np.zeros(len(ends))
    if begin is not None:
        covered = np.clip((ends - np.maximum(begin, starts)) / np.maximum(1, ends - starts), 0.0, 1.0)
    lefts = budget.lefts(good, total, objective.allowed_ratio)
    if begin is not None:
        lefts[ends == begin] = 1.0
    return BudgetHistory(
        times_ms=np.minimum(ends * _MINUTE_MS, max(end_ms, start_ms)),
        budget_left=lefts,
        covered=covered,
        burn=budget.burn_rates(burn_good, burn_total, objective.allowed_ratio),
        burn_s=burn_minutes * 60,
        good=bucket_good,
        total=bucket_total,
        has_data=bucket_minutes > 0,
    )


def gone_since(ledgers: Ledgers, row: int, objective: Objective, end: int, now_ms: int) -> int | None:
    """The end of the minute since which the budget has been gone without a break, as far as the ledger reaches; `end`
    is the minute after the last one of the window now. Raises Unavailable.
    """
    begin = ledgers.first_stored(row, end - 2 * -(-objective.window_s // 60))
    since, last, most = None, end, _LOOKED_AT
    while 0 <= begin < last:
        low = max(begin, last - most)
        ends = np.arange(low + 1, last + 1)
        starts = starts_of(objective, ends)
        minutes = Ledger(60)
        minutes.write(ledgers.minutes(row, max(begin, int(starts[0])), last))
        good, total, _ = minutes.counts_of(starts, ends)
        gone = budget.lefts(good, total, objective.allowed_ratio) <= 0
        if not gone.all():
            whole = int(np.flatnonzero(~gone)[-1])
            since = int(ends[whole + 1]) if whole + 1 < len(ends) else since
            break
        since, last, most = int(ends[0]), int(ends[0]) - 1, 8 * most
    return None if since is None else min(now_ms, since * _MINUTE_MS)


def starts_of(objective: Objective, ends: _Ints) -> _Ints:
    """Where the windows that end before these minutes begin."""
    if objective.is_rolling or objective.calendar is None:
        return ends - -(-objective.window_s // 60)
    ends_ms = ends * _MINUTE_MS
    known = begins(objective.calendar, int(ends_ms[0]), int(ends_ms[-1]))
    starts: _Ints = known[np.searchsorted(known, ends_ms, side="left") - 1] // _MINUTE_MS
    return starts


def _burn_minutes(shown_minutes: int) -> int:
    """The window of the burn line: the shortest that is no less than a thirtieth of what is shown, so that a
    fault of minutes stands out in an hour and a week is no thicket.
    """
    return next((m for m in _BURN_MINUTES if m * _BURN_SHARE >= shown_minutes), _BURN_MINUTES[-1])
