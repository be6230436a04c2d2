"""Counts the live minutes of all objectives at once: what came since the last tick, as far back as ten minutes.

`book` calls `count` in every tick. Objectives are counted together, those whose newest minutes changed apart from those
for which something came late, so that one late sample does not make ten minutes of thousands be counted again. What
lies further back is handed to the backfill.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.counting.plan import NEVER_MS, Counted, Plan, settled, summed
from setpoint.objective.ledger.ledgers import Ledgers, Slices
from setpoint.objective.standing import Standing

__all__ = ["LIVE_MINUTES", "SLICE_S", "Live", "slot_of"]

logger = logging.getLogger(__name__)

SLICE_S = 5
LIVE_MINUTES = 10
_SLICES = 60 // SLICE_S
_MINUTE_MS = 60_000

_Ints = npt.NDArray[np.int64]
_Bools = npt.NDArray[np.bool_]


def slot_of(at_ms: int, slot_s: int = 60) -> int:
    """The slot that holds an instant; one on the edge belongs to the slot that ends there."""
    return (at_ms - 1) // (1000 * slot_s)


@dataclass(frozen=True, slots=True)
class Late:
    """Minutes `first` to before `end` of objective `index` that are too old to be counted in a tick."""

    index: int
    first: int
    end: int
    is_unknown: bool
    """They never were counted: there was no tick for longer."""


class Live:
    """Counts what is live of one plan into the ledgers. `rows` int64[n] are the ledger rows of its objectives."""

    def __init__(self, plan: Plan, rows: _Ints, ledgers: Ledgers, slices: Slices, standing: Standing) -> None:
        self._plan, self._rows = plan, rows
        self._ledgers, self._slices, self._standing = ledgers, slices, standing

    def count(self, now_ms: int, changed_ms: _Ints, note: Callable[[_Ints, int, _Bools], None]) -> list[Late]:
        """Count what changed until now. `changed_ms` int64[n]: the oldest new sample of each (`NEVER_MS`: none).

        `note(indices, first_minute, changed bool[k, m])` hears what became different. Errors are put into the standing
        of the rows; their minutes stay to be counted.
        """
        plan, standing, rows = self._plan, self._standing, self._rows
        running, live_from = slot_of(now_ms), slot_of(now_ms) - LIVE_MINUTES + 1
        ends = np.where(plan.by_slice, running + 1, now_ms // _MINUTE_MS)
        since = standing.since[rows]
        # What was counted before the clock was set back is counted again when its time comes.
        since = standing.since[rows] = np.minimum(np.where(since < 0, live_from, since), ends - 1)
        came = changed_ms < NEVER_MS
        low = np.where(came, np.minimum(since, (changed_ms - 1) // _MINUTE_MS), since)
        failed = np.isin(rows, list(standing.errors))
        active = plan.is_counted & standing.loaded[rows]
        late = [
            Late(at, int(low[at]), live_from, bool(since[at] < live_from))
            for at in np.flatnonzero(active & (low < live_from)).tolist()
        ]
        due = active & (came | failed | plan.speaks_in_silence | (since < ends - 1))
        low = np.maximum(low, live_from)
        standing.since[rows[due]] = low[due]
        for chosen in self._batches(np.flatnonzero(due & (low < ends)), low, running):
            first = int(low[chosen].min())
            self._count_batch(chosen, first, ends, note)
        return late

    def _batches(self, due: _Ints, low: _Ints, running: int) -> list[_Ints]:
        """The objectives that are counted together: sliced or not, additive or not, on time or late; suspects alone."""
        plan = self._plan
        kind = plan.by_slice[due] * 4 + plan.is_additive[due] * 2 + (low[due] < running - 1)
        if self._standing.suspects:
            alone = np.isin(self._rows[due], list(self._standing.suspects))
            kind = np.where(alone, 8 + np.arange(len(due)), kind)
        return [due[kind == one] for one in np.unique(kind)]

    def _count_batch(
        self, chosen: _Ints, first: int, ends: _Ints, note: Callable[[_Ints, int, _Bools], None]
    ) -> None:
        plan, end = self._plan, int(ends[chosen[0]])
        sliced, additive = bool(plan.by_slice[chosen[0]]), bool(plan.is_additive[chosen[0]])
        raw: Counted | None = None
        if sliced:
            raw = self.safely(chosen, first * _SLICES, end * _SLICES, SLICE_S)
            minutes = summed(raw, _SLICES)
        if not (sliced and additive):
            minutes = self.safely(chosen, first, end, 60)
        errors = minutes.errors if raw is None else {**raw.errors, **minutes.errors}
        good_ones = self._sort_out(chosen, errors)
        if not good_ones.any():
            return
        well = chosen[good_ones]
        rows = self._rows[well]
        if raw is not None:
            self._slices.write_many(
                rows, raw.first, raw.good[good_ones], raw.total[good_ones], raw.present[good_ones]
            )
        whole, cut = settled(minutes)
        changed = self._ledgers.write_many(
            rows, first, whole.good[good_ones], whole.total[good_ones], whole.present[good_ones]
        )
        self._standing.note_cut(rows, first, cut[good_ones])
        self._standing.since[rows] = ends[well] - 1
        note(well, first, changed)

    def _sort_out(self, chosen: _Ints, errors: dict[int, SetpointError] | object) -> _Bools:
        """Take note of what failed; bool[k]: which objectives were counted."""
        assert isinstance(errors, dict)
        standing = self._standing
        well = np.ones(len(chosen), np.bool_)
        for at, index in enumerate(chosen.tolist()) if errors or standing.errors else ():
            row, error = int(self._rows[index]), errors.get(index)
            if error is None:
                standing.errors.pop(row, None)
                continue
            well[at] = False
            if standing.errors.get(row) != error.message and row not in standing.suspects:
                name = self._plan.objectives[index].name
                logger.warning("objective %s cannot be computed: %s", name, error.message)
            standing.errors[row] = error.message
        return well

    def safely(self, chosen: _Ints, first: int, end: int, slot_s: int, *, history: bool = False) -> Counted:
        """`Plan.count`, but a fault of ours in one objective is an error of that one; the others are counted."""
        try:
            return self._plan.count(chosen, first, end, slot_s, history=history)
        except Exception as error:  # noqa: BLE001 — one objective must not stop the others
            if len(chosen) == 1:
                return self._faulty(int(chosen[0]), first, end, error)
        half = len(chosen) // 2
        parts = [self.safely(some, first, end, slot_s, history=history) for some in np.split(chosen, [half])]
        return Counted(
            first,
            np.concatenate([one.good for one in parts]),
            np.concatenate([one.total for one in parts]),
            np.concatenate([one.present for one in parts]),
            {index: error for one in parts for index, error in one.errors.items()},
        )

    def _faulty(self, index: int, first: int, end: int, error: Exception) -> Counted:
        name, row = self._plan.objectives[index].name, int(self._rows[index])
        if row not in self._standing.suspects:  # once, not in every tick
            logger.error("objective %s cannot be computed", name, exc_info=error)
        self._standing.suspects.add(row)
        told = f"it cannot be computed because of a fault in Setpoint ({type(error).__name__}); see its log"
        shape = 1, end - first
        empty = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
        return Counted(first, *empty, {index: SetpointError(told)})
