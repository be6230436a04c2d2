"""Counts history in chunks: puts what was counted into the ledgers, splits what is refused, waits for what cannot be
read.

A tick of the book counts a few chunks of its own telemetry after the live state is out (`step`). What is read from
other servers is counted by threads of their own (`fetched`), which take and settle chunks here under the book's lock.
Everything that follows from a chunk (composites, budgets in slices) is derived right after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from setpoint.clock import stopwatch
from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.backfill.backlog import SMALLEST_CHUNK, Backlog, Chunk
from setpoint.objective.counting.plan import Counted, settled
from setpoint.objective.fleet import Fleet
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.standing import Standing

__all__ = ["Backfill"]

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 1024

_Ints = npt.NDArray[np.int64]


class Backfill:
    """What waits to be counted (`waiting`) and derived (`to_derive`); the book's lock is held in every call."""

    def __init__(
        self,
        ledgers: Ledgers,
        standing: Standing,
        fleet: Callable[[], Fleet],
        on_history: Callable[[_Ints, int], None],
    ) -> None:
        """`fleet` gives the present one. `on_history(indices, first_minute)` hears what history changed."""
        self.waiting, self.to_derive = Backlog(), Backlog()
        self.is_apart = False
        """Our own telemetry's history is counted by a thread of its own; `step` only derives."""
        self._ledgers, self._standing = ledgers, standing
        self._fleet, self._on_history = fleet, on_history
        self._told: dict[int, str] = {}
        self._silence_from: dict[int, int] = {}
        self._unknown_to: dict[int, int] = {}

    def forget(self, row: int) -> None:
        """A row is given back."""
        self.waiting.forget(row)
        self.to_derive.forget(row)
        self._told.pop(row, None)
        self._silence_from.pop(row, None)
        self._unknown_to.pop(row, None)

    def count(self, fleet: Fleet, at: int, first: int, end: int, *, is_unknown: bool = False) -> None:
        """Count these minutes of objective `at` some time. `is_unknown`: they never were."""
        row = int(fleet.raw[at])
        self.waiting.add(row, first, end, is_fetched=bool(fleet.is_fetched[at]))
        if is_unknown and first < end:
            self._unknown_to[row] = max(end, self._unknown_to.get(row, end))

    def derive(self, row: int, first: int, end: int) -> None:
        """Derive these minutes of a row some time, which never were."""
        self.to_derive.add(row, first, end)
        if first < end:
            self._unknown_to[row] = max(end, self._unknown_to.get(row, end))

    def unknown_to(self) -> _Ints:
        """Up to which minute the history of each objective of the fleet has stretches that were never counted,
        int64[n], -1: none. Nothing must be decided from windows that begin before it.
        """
        fleet = self._fleet()
        found = np.full(len(fleet), -1, np.int64)
        for row, minute in self._unknown_to.items():
            at = fleet.of_row.get(row)
            if at is not None:
                found[at] = minute
        return found

    def _note_known(self, row: int, chunk: Chunk) -> None:
        """A chunk of a row is counted, or left out: chunks are taken newest first."""
        minute = self._unknown_to.get(row)
        if minute is None:
            return
        if row not in self.waiting and row not in self.to_derive:
            del self._unknown_to[row]
        elif chunk.end >= minute:
            self._unknown_to[row] = min(minute, chunk.first)

    def shares(self) -> dict[int, float]:
        """By index of the fleet, which part of the history is done, for those that wait."""
        fleet, standing = self._fleet(), self._standing
        rows = {*self.waiting.rows(), *self.to_derive.rows()}
        found = {
            at: min(self.waiting.share_done(row), self.to_derive.share_done(row))
            for row in rows
            if (at := fleet.of_row.get(row)) is not None
        }
        for row, share in standing.shares.items():
            at = fleet.of_row.get(row)
            if at is not None and share < 1:
                found[at] = min(share, found.get(at, 1.0))
        return found

    def step(self, now_ms: int) -> bool:
        """Count one chunk of what is not fetched, or derive one; False when nothing waits.

        Raises SetpointError when samples cannot be read; the chunk is tried again later.
        """
        fleet = self._fleet()
        chunk = None if self.is_apart else self.take_own(_ROWS_AT_ONCE)
        if chunk is None:
            return self._derive(fleet, now_ms)
        elapsed_s = stopwatch()
        indices = np.array([fleet.of_row[row] for row in chunk.rows], np.int64)
        raw = fleet.live.safely(indices, chunk.first, chunk.end, 60)
        self.settle(chunk, indices, raw, now_ms, took_s=elapsed_s())
        waits = next((one for one in raw.errors.values() if _can_wait(one)), None)
        if waits is not None:
            raise waits
        return True

    def take_own(self, most: int) -> Chunk | None:
        """A chunk of up to `most` objectives over our own telemetry."""
        if not len(self.waiting):
            return None
        fleet = self._fleet()
        own = np.flatnonzero(~fleet.is_fetched & fleet.plan.is_counted & self._standing.loaded[fleet.raw])
        return self.waiting.take(self._keys(fleet, own), most)

    def take(self, source: str, most: int) -> list[Chunk]:
        """Chunks of up to `most` objectives that are fetched from a data source."""
        fleet = self._fleet()
        chosen = [
            at for at in np.flatnonzero(fleet.is_fetched).tolist() if fleet.objectives[at].source == source
        ]
        keys = self._keys(fleet, np.array(chosen, np.int64))
        found: list[Chunk] = []
        while keys and most > 0 and (chunk := self.waiting.take(keys, most, is_aligned=True)) is not None:
            found.append(chunk)
            most -= len(chunk.rows)
            keys = {row: key for row, key in keys.items() if row not in chunk.rows}
        return found

    def settle(
        self,
        chunk: Chunk,
        indices: _Ints,
        raw: Counted,
        now_ms: int,
        *,
        took_s: float | None = None,
    ) -> None:
        """Put in what was counted of a chunk; `indices` are the numbers of its rows in the plan that counted it."""
        fleet = self._fleet()
        kept: list[int] = []
        for at, (row, key) in enumerate(zip(chunk.rows, chunk.keys, strict=True)):
            if row not in fleet.of_row or fleet.keys[fleet.of_row[row]].raw != key:
                continue  # the objective is gone, or counts something else by now
            error = raw.errors.get(int(indices[at]))
            if error is None:
                kept.append(at)
            elif _can_wait(error):
                self.waiting.give_back(row, chunk)
            elif isinstance(error, InvalidInput):
                self._refuse(fleet.objectives[fleet.of_row[row]].name, row, chunk, error)
            else:
                self._leave_out(row, chunk)
        if kept:
            try:
                self._keep(fleet, chunk, kept, raw, now_ms)
            except SetpointError:
                for at in kept:
                    self.waiting.give_back(chunk.rows[at], chunk)
                raise
        for at in kept:
            self.waiting.done(chunk.rows[at], took_s=took_s)
            self._note_known(chunk.rows[at], chunk)
        self._fill_silence(fleet, chunk, now_ms)

    def _fill_silence(self, fleet: Fleet, chunk: Chunk, now_ms: int) -> None:
        """Where silence counts as bad, derive once more what follows when all of the history is counted: until then
        nobody knows what was before a gap.
        """
        for row in chunk.rows:
            at = fleet.of_row.get(row)
            if at is None or not fleet.derivation.fills[at]:
                continue
            self._silence_from[row] = min(chunk.first, self._silence_from.get(row, chunk.first))
            if row not in self.waiting:
                self.to_derive.add(row, self._silence_from.pop(row), now_ms // 60_000)

    def give_back(self, chunk: Chunk) -> None:
        """Nothing was counted of a chunk."""
        for row in chunk.rows:
            if row in self._fleet().of_row:
                self.waiting.give_back(row, chunk)

    def _keep(self, fleet: Fleet, chunk: Chunk, kept: list[int], raw: Counted, now_ms: int) -> None:
        rows = np.array([chunk.rows[at] for at in kept], np.int64)
        some = Counted(raw.first, raw.good[kept], raw.total[kept], raw.present[kept], {})
        self._keep_known(rows, some, chunk.end)
        whole, cut = settled(some)
        changed = self._ledgers.write_many(rows, whole.first, whole.good, whole.total, whole.present)
        self._standing.note_cut(rows, whole.first, cut)
        some_changed = changed.any(axis=1)
        indices = np.array([fleet.of_row[row] for row in rows.tolist()], np.int64)
        if some_changed.any() or len(fleet.derivation):
            self._on_history(fleet.derivation.over(indices, chunk.first, chunk.end, now_ms), chunk.first)

    def _keep_known(self, rows: _Ints, raw: Counted, end: int) -> None:
        """Minutes that had data keep it where none is found: samples can have been deleted since."""
        size = len(rows)
        _, _, minutes = self._ledgers.counts(rows, np.full(size, raw.first), np.full(size, end))
        for at in np.flatnonzero((minutes > 0) & ~raw.present.all(axis=1)).tolist():
            known = self._ledgers.minutes(int(rows[at]), raw.first, end)
            lost = known.present & ~raw.present[at]
            raw.good[at, lost], raw.total[at, lost], raw.present[at, lost] = (
                known.good[lost],
                known.total[lost],
                True,
            )

    def _refuse(self, name: str, row: int, chunk: Chunk, error: InvalidInput) -> None:
        """A chunk cannot be computed: it is tried again in parts, and left out when it is small already."""
        size = chunk.end - chunk.first
        if size > SMALLEST_CHUNK:  # there may be too many samples for one evaluation
            self.waiting.give_back(row, chunk, size=max(SMALLEST_CHUNK, size // 4))
            return
        if self._told.get(row) != error.message:  # once, not for every quarter of an hour of the window
            logger.warning("objective %s: history not counted: %s", name, error.message)
        self._told[row] = error.message
        self._leave_out(row, chunk)

    def _leave_out(self, row: int, chunk: Chunk) -> None:
        self.waiting.done(row)
        self._note_known(row, chunk)

    def _derive(self, fleet: Fleet, now_ms: int) -> bool:
        """Derive one chunk of what is counted already."""
        everything = np.arange(len(fleet))
        chunk = self.to_derive.take(self._keys(fleet, everything), _ROWS_AT_ONCE)
        if chunk is None:
            return False
        elapsed_s = stopwatch()
        indices = np.array([fleet.of_row[row] for row in chunk.rows], np.int64)
        try:
            touched = fleet.derivation.over(indices, chunk.first, chunk.end, now_ms)
        except SetpointError:
            for row in chunk.rows:
                self.to_derive.give_back(row, chunk)
            raise
        for row in chunk.rows:
            self.to_derive.done(row, took_s=elapsed_s())
            self._note_known(row, chunk)
        self._on_history(touched, chunk.first)
        return True

    @staticmethod
    def _keys(fleet: Fleet, chosen: _Ints) -> Mapping[int, str]:
        return {int(fleet.raw[at]): fleet.keys[at].raw for at in chosen.tolist()}


def _can_wait(error: SetpointError) -> bool:
    return error.retryable
