"""The burn-down of an objective: budget, burn and events at evenly spread instants, from its ledger.

`book.history` calls it for a page's chart. Each point is a window that ends there, so the last point is the
status and an event that leaves the window gives its budget back. Before the window is filled once, a point is
computed from the history there is, and `covered` says how much of the window that is; without events a point
is NaN, not a whole budget. One instant is an exception: where the first minute with data begins, nothing is
spent yet, so the line starts there, whole, and shows also what the first minute did.
"""

from __future__ import annotations

import numpy as np

from setpoint.objective import budget
from setpoint.objective.ledger import Ledger
from setpoint.objective.model import BudgetHistory, Objective

__all__ = ["history"]

_MINUTE_MS = 60_000
_BURN_MINUTES = (1, 5, 30, 60, 360, 1440)
_BURN_SHARE = 30


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
    window = -(-objective.window_s // 60)
    good, total, _ = minutes.counts_of(ends - window, ends)
    burn_minutes = _burn_minutes(last - first)
    burn_good, burn_total, _ = minutes.counts_of(ends - burn_minutes, ends)
    bucket_good, bucket_total, bucket_minutes = minutes.counts_of(edges[:-1], ends)
    covered = np.zeros(len(ends)) if begin is None else np.clip((ends - begin) / window, 0.0, 1.0)
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


def _burn_minutes(shown_minutes: int) -> int:
    """The window of the burn line: the shortest that is no less than a thirtieth of what is shown, so that a
    fault of minutes stands out in an hour and a week is no thicket.
    """
    return next((m for m in _BURN_MINUTES if m * _BURN_SHARE >= shown_minutes), _BURN_MINUTES[-1])
