"""One objective being kept: its two ledgers, what of them has to be counted (again), and what is not saved
yet.

`book` owns the tracks and calls `advance` on every tick, `backfill` a few times per tick, and `take_unsaved`
when it writes. Live counting covers the last ten minutes; older minutes (history of a new objective, late
data) wait in `Ranges` and are counted newest first, in chunks that grow while they are quick, so they never
hold up the live state.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np

from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.count import EventCounter, settle, sum_slots
from setpoint.objective.feed import Feed
from setpoint.objective.ledger import Ledger, Slots
from setpoint.objective.model import Counts, Objective
from setpoint.objective.ranges import Ranges
from setpoint.objective.store import LedgerRows

__all__ = ["LIVE_MINUTES", "SLICE_S", "Track"]

logger = logging.getLogger(__name__)

SLICE_S = 5
LIVE_MINUTES = 10
_SLICES = 60 // SLICE_S
_MORE_HISTORY_MINUTES = 90 * 1440
_SMALLEST_CHUNK, _FIRST_CHUNK, _LARGEST_CHUNK = 15, 60, 1440
_FETCHED_CHUNK = 360
_DOUBTED_MINUTES = 1440  # a day: samples that came late and were acknowledged right before a crash
_PREVIOUS_MINUTES = 60  # the first minute whose samples are kept compares with samples that are not
_QUICK_S, _SLOW_S = 0.05, 0.2


@dataclass(frozen=True, slots=True)
class Since:
    """What a track has to count on its next turn: live minutes from `minute` on."""

    minute: int
    counted_minute: int


class Track:
    """The ledgers of one objective. Only the evaluation thread changes it; the ledgers may be read from
    any.
    """

    def __init__(self, objective: Objective, feed: Feed, *, final_after_s: int) -> None:
        """Raises QueryError when a query does not parse. Minutes before `feed.kept_from_ms()` are never counted
        again.
        """
        self.objective = objective
        self.feed = feed
        self.minutes = Ledger(60)
        self.slices = Ledger(SLICE_S)
        self.error: str | None = None
        self.fault: str | None = None  # of who counts it elsewhere
        self.history_done = 1.0
        self.pending = Ranges()
        self.is_loaded = False
        self._counter = EventCounter(objective, feed.select) if objective.engine == "promql" else None
        self._final_minutes = -(-final_after_s // 60)
        self._window_minutes = -(-objective.window_s // 60)
        self._since: Since | None = None
        self._chunk = _FETCHED_CHUNK if self.is_fetched else _FIRST_CHUNK
        self._unsaved: set[int] = set()
        self._cut: set[int] = set()
        self._uncounted = ""

    @property
    def is_fetched(self) -> bool:
        """True when history is read from another server: then `fetched` counts it, and not the book's ticks."""
        return self.feed.fetch is not None

    def load(self, rows: LedgerRows, now_ms: int, oldest_sample_ms: int | None) -> None:
        """Take over stored minutes, and plan to count what they lack: since they were written, and before
        them.

        The last day is counted again, too: late samples are stored at once, but the minutes that they change
        are saved seconds later, and the process may have died in between. Of another server only its minutes that
        are not stored are asked for.
        """
        self.is_loaded = True
        live_from = self._live_from(now_ms)
        low = live_from - self._window_minutes
        if len(rows.minutes):
            first, last = int(rows.minutes[0]), int(rows.minutes[-1])
            self.minutes.write(_dense(rows))
            self.pending.add(max(low, last - self._final_minutes), live_from)
            if oldest_sample_ms is not None:
                doubted = max(live_from - _DOUBTED_MINUTES, self.minutes.slot_of(oldest_sample_ms))
                stored = set(rows.minutes.tolist()) if self.is_fetched else set()
                for minute in range(max(low, doubted), live_from):
                    if minute not in stored:
                        self.pending.add(minute, minute + 1)
        else:
            first = live_from
        if oldest_sample_ms is not None:
            self.pending.add(max(low, self.minutes.slot_of(oldest_sample_ms)), min(first, live_from))
        if self._counter is None:
            self.pending = Ranges()

    def adopt(self, other: Track) -> None:
        """Go on with the ledgers of a track that counts the same events (its target or window was
        different).
        """
        self.minutes, self.slices, self.pending = other.minutes, other.slices, other.pending
        self.is_loaded = other.is_loaded
        self._since, self._unsaved, self._cut = other._since, other._unsaved, other._cut

    def advance(self, now_ms: int, written_from_ms: int | None) -> None:
        """Count the live minutes that may have changed: the running one, and all from the oldest new sample
        on.

        Raises InvalidInput or Unavailable when that cannot be done; the minutes then stay to be counted.
        """
        running = self.minutes.slot_of(now_ms)
        live_from = self._live_from(now_ms)
        since = self._since or Since(live_from, running)
        low = since.minute
        if written_from_ms is not None:
            low = min(low, self.minutes.slot_of(written_from_ms))
        if running > since.counted_minute:
            final = max(since.counted_minute, low) - self._final_minutes
            low = min(low, max(final, live_from))
            self.pending.add(final, min(running - self._final_minutes, live_from))
            self._forget(running)
        # Older ones keep their counts: their samples are gone.
        kept = self.minutes.slot_of(self.feed.kept_from_ms()) + _PREVIOUS_MINUTES
        self.pending.add(max(low, running - self._window_minutes, kept), live_from)
        low = max(low, live_from)
        self._since = Since(low, running)
        if self._counter is None:
            self.pending = Ranges()
        self._count_live(low, now_ms)
        self._since = Since(self._end_minute(now_ms) - 1, running)

    def backfill(self) -> bool:
        """Count one chunk of what is pending; False when nothing was.

        Raises SetpointError when samples cannot be read; the chunk is tried again later when that can help.
        """
        chunk = self.take_chunk()
        if chunk is None:
            return False
        started = time.perf_counter()
        try:
            raw = self.count_chunk(chunk)
        except InvalidInput as error:
            self.refuse_chunk(chunk, error)
            return True
        except SetpointError:
            self.pending.add(*chunk)
            self._chunk = _FIRST_CHUNK
            raise
        self.keep_chunk(chunk, raw)
        took = time.perf_counter() - started
        if took < _QUICK_S:
            self._chunk = min(_LARGEST_CHUNK, self._chunk * 2)
        elif took > _SLOW_S:
            self._chunk = max(_SMALLEST_CHUNK, self._chunk // 2)
        return True

    def take_chunk(self) -> tuple[int, int] | None:
        """The newest minutes that are pending, which now are the caller's: to be kept, refused or given back."""
        return self.pending.take_newest(self._chunk, is_aligned=self.is_fetched)

    def put(self, raw: Slots) -> None:
        """Take over minutes that were counted elsewhere."""
        self._keep(raw)

    def count_chunk(self, chunk: tuple[int, int]) -> Slots:
        """The raw events of a chunk of minutes. Changes nothing, so any thread may call it. Raises SetpointError."""
        assert self._counter is not None
        return self._counter.count(*chunk, 60, self.feed.fetch)

    def keep_chunk(self, chunk: tuple[int, int], raw: Slots) -> None:
        """Take over what was counted."""
        self._keep(self._with_known(raw))
        self._unsaved.add(chunk[0])  # stored even without data: history has been counted down to here
        if self.is_fetched:
            self._chunk = min(_FETCHED_CHUNK, self._chunk * 2)

    def refuse_chunk(self, chunk: tuple[int, int], error: InvalidInput) -> None:
        """A chunk cannot be computed: it is tried again in parts, and left out when it is small already."""
        if chunk[1] - chunk[0] > _SMALLEST_CHUNK:  # there may be too many samples for one evaluation
            self.pending.add(*chunk)
            self._chunk = max(_SMALLEST_CHUNK, (chunk[1] - chunk[0]) // 4)
            return
        if error.message != self._uncounted:  # once, not for every quarter of an hour of the window
            logger.warning("objective %s: history not counted: %s", self.objective.name, error.message)
        self._uncounted = error.message
        self._unsaved.add(chunk[0])

    def counts_over(self, window_s: int, now_ms: int, *, anchor: int | None = None) -> Counts:
        """Events of the window that ends now, from slices where they reach, else from minutes.

        `anchor` ends the window with that slice instead, for senders that report every few seconds.
        """
        reaches = window_s <= (LIVE_MINUTES - 1) * 60
        if self.objective.is_counter and reaches:
            end = (self.slices.slot_of(now_ms) if anchor is None else anchor) + 1
            raw = self.slices.counts(end - window_s // SLICE_S, end)
            return Counts(good=min(max(raw.good, 0.0), raw.total), total=raw.total, minutes=raw.minutes)
        end = self._end_minute(now_ms)
        return self.minutes.counts(end - -(-window_s // 60), end)

    def minutes_of_window(self, now_ms: int) -> tuple[int, int]:
        """The minutes of the objective's window that ends now, as a half-open range."""
        end = self._end_minute(now_ms)
        return end - self._window_minutes, end

    def last_ms(self, now_ms: int, *, events: bool = False) -> int | None:
        """The end of the last slot with samples of the total, or (`events`) with events; at most now."""
        for ledger in (self.slices, self.minutes):
            slot = ledger.last_with(self._known_end(ledger, now_ms), events=events)
            if slot is not None:
                return min(now_ms, ledger.end_ms(slot))
        return None

    def last_slice(self, now_ms: int) -> int | None:
        """The last slice with samples of the total."""
        return self.slices.last_with(self._known_end(self.slices, now_ms))

    def cut_minutes(self, start: int) -> int:
        """In how many minutes from `start` on the queries contradicted each other and were cut."""
        return sum(minute >= start for minute in self._cut)

    def unsaved(self) -> LedgerRows:
        """The minutes that changed since they were last saved."""
        chosen = np.array(sorted(self._unsaved), np.int64)
        if not len(chosen):
            return LedgerRows(self.objective.ledger_key, chosen, np.empty(0), np.empty(0))
        slots = self.minutes.slots(int(chosen[0]), int(chosen[-1]) + 1)
        known = chosen[(chosen >= slots.first) & (chosen < slots.end)]
        at = known - slots.first
        total = np.where(slots.present[at], slots.total[at], np.nan)
        return LedgerRows(self.objective.ledger_key, known, slots.good[at], total)

    def saved(self, rows: LedgerRows) -> None:
        """Take note that these minutes are stored."""
        self._unsaved.difference_update(rows.minutes.tolist())
        self._unsaved = {minute for minute in self._unsaved if minute >= self.minutes.first}

    def _count_live(self, low: int, now_ms: int) -> None:
        end = self._end_minute(now_ms)
        if low >= end or self._counter is None:
            return
        if not self.objective.is_counter:
            self._keep(self._counter.count(low, end, 60))
            return
        raw = self._counter.count(low * _SLICES, end * _SLICES, SLICE_S)
        minutes = sum_slots(raw, _SLICES) if self._counter.is_additive else self._counter.count(low, end, 60)
        self.slices.write(raw)
        self._keep(minutes)

    def _with_known(self, raw: Slots) -> Slots:
        """`raw`, but minutes that had data keep it where none is found: samples can have been deleted since."""
        known = self.minutes.slots(raw.first, raw.end)
        at = np.arange(known.first, known.end) - raw.first
        lost = at[known.present & ~raw.present[at]]
        kept = lost + raw.first - known.first
        raw.good[lost], raw.total[lost], raw.present[lost] = known.good[kept], known.total[kept], True
        return raw

    def _keep(self, raw: Slots) -> None:
        settled = settle(raw)
        changed = self.minutes.write(settled.slots)
        self._unsaved.update((np.flatnonzero(changed) + raw.first).tolist())
        self._cut.difference_update(range(raw.first, raw.end))
        self._cut.update((np.flatnonzero(settled.cut) + raw.first).tolist())

    def _forget(self, running: int) -> None:
        kept = self._window_minutes + min(self._window_minutes, _MORE_HISTORY_MINUTES)
        if self.minutes.first < running - kept - 60:
            self.minutes.forget_before(running - kept)
            self._cut = {minute for minute in self._cut if minute >= self.minutes.first}
        self.slices.forget_before((running - LIVE_MINUTES) * _SLICES)

    def _known_end(self, ledger: Ledger, now_ms: int) -> int:
        """The slot after the running minute; what lies beyond was written before the clock was set back."""
        return (self.minutes.slot_of(now_ms) + 1) * 60 // ledger.slot_s

    def _live_from(self, now_ms: int) -> int:
        return self.minutes.slot_of(now_ms) - LIVE_MINUTES + 1

    def _end_minute(self, now_ms: int) -> int:
        """The minute after the last one that can be counted: a gauge's value is known when its minute has
        ended.
        """
        return self.minutes.slot_of(now_ms) + 1 if self.objective.is_counter else now_ms // 60_000


def _dense(rows: LedgerRows) -> Slots:
    first = int(rows.minutes[0])
    size = int(rows.minutes[-1]) - first + 1
    good, total, present = np.zeros(size), np.zeros(size), np.zeros(size, np.bool_)
    known = ~np.isnan(rows.total)
    at = rows.minutes[known] - first
    good[at], total[at], present[at] = rows.good[known], rows.total[known], True
    return Slots(first, good, total, present)
