"""Counts the objectives whose events are in the telemetry database, as spans or by SQL, and puts them into the book.

`app` runs one `Polled` for each of the two engines, each in a thread of its own, so that ClickHouse is never on the
path that evaluates. Every ten seconds the minutes that are not final are counted again, so late spans and rows are
folded in; between these turns history is counted, newest first, an aligned stretch at a time, with pauses as long as
the work. What of the history is counted already is read from the ledger, so a restart goes on where the last run
ended. A query that cannot be run makes its objective "no data" with the reason, and is tried again more and more
rarely. The groups of a declaration are counted in the same turns, because one statement counts them all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Protocol

import numpy as np

from setpoint.clock import Clock
from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective
from setpoint.objective.ranges import Ranges
from setpoint.objective.source.labels import family_of
from setpoint.objective.source.outcome import Outcome
from setpoint.objective.source.span_count import SpanCounter
from setpoint.objective.source.sql_count import SqlCounter

__all__ = ["Book", "Counter", "Polled", "polled_counts"]

log = logging.getLogger(__name__)

_INTERVAL_S = 10.0
_BUSY = 20.0
"""A query that takes t seconds is run every `_BUSY` × t seconds at most."""

_LONGEST_S = 60.0
_HICCUP_S = 60.0
"""A database that does not answer for a shorter time is not told: the minutes are counted when it does."""

_LIVE_MINUTES = 60
"""What was not counted for longer than that, because the database did not answer, is history."""

_HOUR = 60
_FIRST_CHUNK, _SMALLEST_CHUNK, _LARGEST_CHUNK = 60, 15, 1440
_QUICK_S, _SLOW_S = 0.3, 1.5
_AT_ONCE = 30
"""How many declarations are counted in a turn of history, each with all of its groups."""

_DOUBTED_MINUTES = 15
"""Of what a run before this one counted last some was not final, or not saved."""


class Book(Protocol):
    """What is needed of the `ObjectiveBook`."""

    def polled(self) -> list[Objective]:
        """The objectives that are not counted by the book itself."""
        ...

    def first_ms(self, objective: Objective) -> int | None:
        """Before which instant there is nothing to count; None where that is not known."""
        ...

    def known(self, name: str, first: int, end: int) -> Slots | None:
        """The minutes that the ledger has; None while it cannot tell."""
        ...

    def put(self, name: str, raw: Slots) -> None:
        """Take over raw minutes."""
        ...

    def note(self, name: str, *, fault: str | None, history_done: float) -> None:
        """Hear why an objective cannot be counted, and how far its history is."""
        ...


class Counter(Protocol):
    """`SpanCounter` or `SqlCounter`. While `stopping` is true it begins no statement, and what it gives is not used."""

    stopping: Callable[[], bool]

    def count(self, objectives: Sequence[Objective], first: int, end: int) -> list[Outcome]:
        """What there is of each objective in the minutes from `first` to before `end`."""
        ...

    def oldest_ms(self) -> int | None:
        """From when on there may be something; None when there is nothing. Raises Unavailable."""
        ...

    def has_news(self) -> bool:
        """Whether the answer can be another than last time."""
        ...


class _Row:
    """One objective: when it is to be counted next, and what of its history is missing."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.family: Hashable = family_of(objective) or objective.name
        self.window_minutes = -(-objective.window_s // 60)
        self.counted = 0  # the running minute when it was last counted, or planned
        self.due_ms = 0
        self.patience_s = _INTERVAL_S
        self.is_planned = False
        self.pending = Ranges()
        self.planned_minutes = 0
        self.chunk, self.largest = _FIRST_CHUNK, _LARGEST_CHUNK
        self.told: tuple[str | None, float] = (None, 1.0)
        self.fault: str | None = None
        self.is_failing = True  # until it was counted once
        self.unanswered_ms = 0  # since when there is no answer
        self.uncounted = ""

    @property
    def history_done(self) -> float:
        """Which part of the history that was missing is counted."""
        return 1 - self.pending.size / max(1, self.planned_minutes) if self.pending else 1.0

    def plan(self, known: Slots, running: int, live_from: int, oldest_minute: int | None) -> None:
        """Find what is missing before the live minutes: hours that have a gap, and what was counted last."""
        self.is_planned, self.counted = True, running
        if oldest_minute is None:
            return
        low = max(running + 1 - self.window_minutes, oldest_minute)
        have = np.zeros(max(0, live_from - low), np.bool_)
        if len(known.total):
            within = slice(max(0, known.first - low), max(0, known.end - low))
            skipped = max(0, low - known.first)
            part = known.present[skipped : skipped + len(have[within])]
            have[within.start : within.start + len(part)] = part
        if have.any():
            last = int(np.flatnonzero(have)[-1])
            have[max(0, last - _DOUBTED_MINUTES) :] = False
        edges = np.arange(0, len(have), _HOUR)
        whole = np.logical_and.reduceat(have, edges) if len(have) else have
        steps = np.flatnonzero(np.diff(np.concatenate(([True], whole, [True]))))
        for start, end in zip(steps[::2].tolist(), steps[1::2].tolist(), strict=True):
            self.pending.add(low + start * _HOUR, min(live_from, low + end * _HOUR))
        self.planned_minutes = self.pending.size


class Polled:
    """See above. Only `run` (or who calls `step`) works with it, from one thread."""

    def __init__(
        self,
        book: Book,
        engine: str,
        counter: Counter,
        clock: Clock,
        *,
        final_after_s: int,
        counts_running: bool,
    ) -> None:
        """`engine` chooses among `book.polled()`. `counts_running`: the running minute can be counted, too."""
        self.engine = engine
        self._book, self._counter, self._clock = book, counter, clock
        self._final_minutes = -(-final_after_s // 60)
        self._counts_running = counts_running
        self._rows: dict[tuple[str, str, int], _Row] = {}
        self._running: int | None = None
        self._waiting_for = ""

    def run(self, stop: threading.Event) -> None:
        """Count until `stop` is set: the body of a thread."""
        self._counter.stopping = stop.is_set
        while not stop.is_set():
            try:
                wait_s = self.step()
            except SetpointError as error:
                wait_s = self._pause(error)
            except Exception:  # the loop must outlive any fault: else these objectives fall silent
                log.exception("a turn of counting %s failed; the next one tries again", self.engine)
                wait_s = _INTERVAL_S
            self._clock.wait(stop, wait_s)

    def step(self) -> float:
        """Count the live minutes of what is due, else a stretch of history; returns how many seconds to wait.

        Raises Unavailable when the database does not answer.
        """
        now_ms = self._clock.now_ms()
        rows = self._current()
        if not rows:
            return 2.0
        self._plan(rows, now_ms)
        due = {row.family for row in rows if row.is_planned and self._is_due(row, now_ms)}
        if due:
            self._count_live([row for row in rows if row.is_planned and row.family in due], now_ms)
            self._tell(rows)
            return 0.0
        took_s = self._count_history(rows)
        self._tell(rows)
        self._waiting_for = ""
        if took_s is not None:
            return max(0.02, took_s)
        return min(1.0, max(0.05, (min(row.due_ms for row in rows) - now_ms) / 1000))

    def _is_due(self, row: _Row, now_ms: int) -> bool:
        # A clock that was set back must not stop the counting for as long.
        return not 0 < row.due_ms - now_ms <= 2 * _LONGEST_S * 1000

    def _current(self) -> list[_Row]:
        objectives = [one for one in self._book.polled() if one.engine == self.engine]
        rows = {}
        for objective in objectives:
            key = objective.name, objective.ledger_key, objective.window_s
            rows[key] = self._rows.get(key) or _Row(objective)
            rows[key].objective = objective
        self._rows = rows
        return list(rows.values())

    def _plan(self, rows: Iterable[_Row], now_ms: int) -> None:
        new = [row for row in rows if not row.is_planned]
        if not new:
            return
        oldest_ms = self._counter.oldest_ms()
        oldest = None if oldest_ms is None else (oldest_ms - 1) // 60_000
        running = self._running_minute(now_ms)
        live_from = running - self._final_minutes
        for row in new:
            first_ms = self._book.first_ms(row.objective)
            begin = oldest if first_ms is None or oldest is None else max(oldest, first_ms // 60_000)
            low = max(running + 1 - row.window_minutes, begin or 0)
            known = self._book.known(row.objective.name, min(low, live_from), live_from)
            if known is not None:
                row.plan(known, running, live_from, begin)

    def _running_minute(self, now_ms: int) -> int:
        return (now_ms - 1) // 60_000

    # ---- live --------------------------------------------------------------------------------------------

    def _count_live(self, due: Sequence[_Row], now_ms: int) -> None:
        running = self._running_minute(now_ms)
        end = running + 1 if self._counts_running else now_ms // 60_000
        is_fresh = any(row.is_failing or row.fault for row in due)
        if not self._counter.has_news() and running == self._running and not is_fresh:
            for row in due:
                row.due_ms = now_ms + round(_INTERVAL_S * 1000)
            return
        self._running = running
        by_low: dict[int, list[_Row]] = {}
        for row in due:
            by_low.setdefault(self._low(row, running), []).append(row)
        for low, some in by_low.items():
            outcomes = self._counter.count([row.objective for row in some], low, end)
            if self._counter.stopping():
                return
            for row, outcome in zip(some, outcomes, strict=True):
                self._take_live(row, outcome, now_ms, running)

    def _low(self, row: _Row, running: int) -> int:
        """The first live minute to count; those that became too old meanwhile are history."""
        counted = min(row.counted, running)
        low = max(counted, running - _LIVE_MINUTES) - self._final_minutes
        row.pending.add(max(counted - self._final_minutes, running + 1 - row.window_minutes), low)
        row.planned_minutes = max(row.planned_minutes, row.pending.size)
        return low

    def _take_live(self, row: _Row, outcome: Outcome, now_ms: int, running: int) -> None:
        name = row.objective.name
        if outcome.slots is None:
            assert outcome.error is not None
            row.is_failing = True
            row.unanswered_ms = row.unanswered_ms or now_ms
            lasts = now_ms - row.unanswered_ms >= _HICCUP_S * 1000
            if isinstance(outcome.error, InvalidInput) or lasts:
                if row.fault != outcome.error.message:
                    log.warning("objective %s cannot be counted: %s", name, outcome.error.message)
                row.fault = outcome.error.message
            row.due_ms = now_ms + round(row.patience_s * 1000)
            row.patience_s = min(_LONGEST_S, row.patience_s * 2)
            return
        self._book.put(name, outcome.slots)
        row.fault, row.is_failing, row.counted = outcome.fault, False, running
        row.unanswered_ms = 0
        row.patience_s = _INTERVAL_S
        row.due_ms = now_ms + round(max(_INTERVAL_S, min(_LONGEST_S, _BUSY * outcome.took_s)) * 1000)

    # ---- history -----------------------------------------------------------------------------------------

    def _count_history(self, rows: Sequence[_Row]) -> float | None:
        """Count the newest stretch that is missing, of all objectives that miss it; how long that took, or None."""
        # What cannot be counted now cannot be for history either, and would be left out.
        waiting = [row for row in rows if row.pending and not row.is_failing]
        waiting.sort(key=lambda row: -row.pending.end)
        if not waiting:
            return None
        chunk = waiting[0].chunk
        block = (waiting[0].pending.end - 1) // chunk
        some = _of_families(row for row in waiting if (row.pending.end - 1) // chunk == block)
        taken = [row.pending.take_newest(chunk, is_aligned=True) for row in some]
        chunks = [one for one in taken if one is not None]
        first, end = min(low for low, _ in chunks), max(high for _, high in chunks)
        outcomes = self._counter.count([row.objective for row in some], first, end)
        if self._counter.stopping():
            return None
        error: SetpointError | None = None
        for row, (low, high), outcome in zip(some, chunks, outcomes, strict=True):
            if outcome.slots is not None:
                self._keep(row, low, high, outcome.slots)
            elif isinstance(outcome.error, InvalidInput):
                self._refuse(row, low, high, outcome.error)
            else:
                row.pending.add(low, high)
                error = outcome.error
        if error is not None:
            raise error
        took_s = max(outcome.took_s for outcome in outcomes)
        for row in some:
            if took_s < _QUICK_S:
                row.chunk = min(row.largest, chunk * 2)
            elif took_s > _SLOW_S:
                row.chunk = max(_SMALLEST_CHUNK, chunk // 2)
        return took_s

    def _keep(self, row: _Row, low: int, high: int, slots: Slots) -> None:
        """Put a stretch; minutes that had data keep it where none is found, as what they were counted from may be
        deleted.
        """
        part = slice(low - slots.first, high - slots.first)
        raw = Slots(low, slots.good[part].copy(), slots.total[part].copy(), slots.present[part].copy())
        known = self._book.known(row.objective.name, low, high)
        if known is not None and len(known.total):
            at = np.arange(known.first, known.end) - low
            lost = known.present & ~raw.present[at]
            raw.good[at[lost]], raw.total[at[lost]] = known.good[lost], known.total[lost]
            raw.present[at[lost]] = True
        self._book.put(row.objective.name, raw)

    def _refuse(self, row: _Row, low: int, high: int, error: InvalidInput) -> None:
        """A stretch cannot be counted: it is tried again in parts, and left out when it is small already."""
        if high - low > _SMALLEST_CHUNK:
            row.pending.add(low, high)
            row.largest = max(_SMALLEST_CHUNK, (high - low) // 2)
            return
        if error.message != row.uncounted:  # once, not for every quarter of an hour
            log.warning("objective %s: history not counted: %s", row.objective.name, error.message)
        row.uncounted = error.message

    # ---- telling -----------------------------------------------------------------------------------------

    def _tell(self, rows: Iterable[_Row]) -> None:
        for row in rows:
            told = row.fault, round(row.history_done, 3)
            if told != row.told:
                row.told = told
                self._book.note(row.objective.name, fault=told[0], history_done=told[1])

    def _pause(self, error: SetpointError) -> float:
        if self._waiting_for != error.message:  # once, not at each attempt
            log.warning("counting %s waits: %s", self.engine, error.message)
        self._waiting_for = error.message
        return _INTERVAL_S


def _of_families(rows: Iterable[_Row]) -> list[_Row]:
    """Of the first declarations all rows, as one statement counts them."""
    families: dict[Hashable, list[_Row]] = {}
    for row in rows:
        families.setdefault(row.family, []).append(row)
    return [row for family in list(families.values())[:_AT_ONCE] for row in family]


def polled_counts(
    book: Book, database: TelemetryDatabase, clock: Clock, final_after_s: int
) -> tuple[Polled, ...]:
    """Who counts the objectives of `book` that are in the telemetry database; each wants a thread."""
    return (
        Polled(book, "spans", SpanCounter(database), clock, final_after_s=final_after_s, counts_running=True),
        Polled(book, "sql", SqlCounter(database), clock, final_after_s=final_after_s, counts_running=False),
    )
