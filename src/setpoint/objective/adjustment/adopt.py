"""Gives adjusted objectives ledgers of their own, and derives again what a change of adjustments concerns, no more.

An objective that becomes adjusted gets a copy of the ledger that its budget had (in the store, so that no minute of it
has to be counted), then the minutes of its adjustments are derived. A change derives the minutes in which old and new
differ; an objective that is not adjusted any more goes back to the ledger it had, which in the meantime was the copy
where it is a derived one itself. Few minutes are derived at once, before anybody sees a number; many go to the
backfill, newest first.

What a ledger was derived with is written down (`store.Entry`) before it is touched and when all of it is derived and
saved: after a crash in between, what may be half done is derived again. The book owns it and holds its lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.objective.adjustment.model import Span
from setpoint.objective.adjustment.plan import Plan, spans_of_content
from setpoint.objective.adjustment.store import Entry, MemoryLedgers
from setpoint.objective.backfill.backfill import Backfill
from setpoint.objective.fleet import Fleet, Keys
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.model import Objective
from setpoint.objective.standing import Standing

__all__ = ["Adopting"]

logger = logging.getLogger(__name__)

_COPIED_AT_ONCE = 200
_AT_ONCE_CELLS, _CHUNK_MINUTES = 400_000, 1440
_LONGEST_SLICE = 1440

_Ints = npt.NDArray[np.int64]


class Adopting:
    """See above."""

    def __init__(
        self, ledgers: Ledgers, standing: Standing, backfill: Backfill, store: MemoryLedgers
    ) -> None:
        self._ledgers, self._standing, self._backfill = ledgers, standing, backfill
        self._store = store
        self._entries: dict[str, Entry] | None = None
        self._due: dict[str, frozenset[str]] = {}
        self._unsettled: set[str] = set()
        self.waits = False
        """Some objectives wait for their ledgers; `keys` is to be asked again."""

    def keys(
        self, keys: Sequence[Keys], objectives: Sequence[Objective], plan: Plan, *, is_saved: bool
    ) -> list[Keys]:
        """The ledgers of these objectives, `keys` being those without adjustments. What is missing is copied, as much
        as can be at once, if all ledgers are saved; else, and where a database does not answer, it `waits`.
        """
        self.waits = False
        adjusted = [one.adjusted(objective) for one, objective in zip(keys, objectives, strict=True)]
        try:
            if self._entries is None:
                self._entries = self._store.read()
            if self._entries or any(plan.content):
                self._begin(keys, adjusted, objectives, plan, is_saved=is_saved)
        except SetpointError as error:
            logger.warning("adjustments of error budgets wait: %s", error.message)
            self.waits = True
        known = self._entries or {}
        of_now = [known.get(one.budget) for one in adjusted]
        return [
            own if entry is not None and entry.state != "leaving" else one
            for one, own, entry in zip(keys, adjusted, of_now, strict=True)
        ]

    def _begin(
        self,
        keys: Sequence[Keys],
        adjusted: Sequence[Keys],
        objectives: Sequence[Objective],
        plan: Plan,
        *,
        is_saved: bool,
    ) -> None:
        """Copy what is missing, and write down what is to be derived."""
        assert self._entries is not None
        fresh: dict[str, Entry] = {}
        due: dict[str, frozenset[str]] = {}
        pairs: list[tuple[str, str]] = []
        for at, (one, own) in enumerate(zip(keys, adjusted, strict=True)):
            wanted, entry = frozenset(plan.content[at]), self._entries.get(own.budget)
            if entry == Entry("kept", wanted) or (entry is None and not wanted):
                continue
            copies = _copies(one, own, is_back=not wanted)
            if copies and (entry is None or (entry.state == "leaving") == bool(wanted)):
                can_copy = is_saved and len(pairs) < _COPIED_AT_ONCE
                if not can_copy or (wanted and not self._is_loaded(one)):
                    self.waits = True
                    continue
                pairs += copies
            items = frozenset[str]() if entry is None else entry.items
            is_sure = entry is not None and entry.state == "kept"
            due[objectives[at].name] = items ^ wanted if is_sure else items | wanted
            fresh[own.budget] = Entry("dirty" if wanted else "leaving", items | wanted)
        self._ledgers.copy(pairs)
        changed = {key: one for key, one in fresh.items() if self._entries.get(key) != one}
        if changed:
            self._store.put(changed)
            self._entries |= changed
        for name, more in due.items():
            self._due[name] = self._due.get(name, frozenset()) | more

    def settle(
        self, fleet: Fleet, now_ms: int, note: Callable[[_Ints, int], None], save: Callable[[], bool]
    ) -> None:
        """Derive what is due of ledgers that are loaded; `note(indices, first)` hears what changed. What is done is
        written down after `save`.
        """
        if self._due:
            self._derive(fleet, now_ms, note)
        if not self._unsettled:
            return
        done = [name for name in self._unsettled if name not in self._due and self._is_derived(fleet, name)]
        if done and save():
            self._write_down(fleet, done)

    def is_settled(self) -> bool:
        """Whether all ledgers are as the adjustments say."""
        return not (self.waits or self._due or self._unsettled)

    def _derive(self, fleet: Fleet, now_ms: int, note: Callable[[_Ints, int], None]) -> None:
        now = now_ms // 60_000
        together: dict[tuple[Span, ...], list[int]] = {}
        for name, items in list(self._due.items()):
            at = fleet.index.get(name)
            if at is None:
                del self._due[name]
                continue
            keys = fleet.keys[at]
            rows = [self._ledgers.row_of(key) for key in keys.all]
            if not all(row is not None and self._standing.loaded[row] for row in rows):
                continue
            together.setdefault(self._spans(fleet, at, items, now), []).append(at)
            del self._due[name]
            self._unsettled.add(name)
        cells = _AT_ONCE_CELLS
        for spans, chosen in together.items():
            for first, end in reversed(spans):
                cells -= (end - first) * len(chosen)
                if cells < 0 or not self._at_once(
                    fleet, np.array(chosen, np.int64), (first, end), now_ms, note
                ):
                    for at in chosen:
                        self._backfill.to_derive.add(int(fleet.raw[at]), first, end)

    def _spans(self, fleet: Fleet, at: int, items: frozenset[str], now: int) -> tuple[Span, ...]:
        """The minutes that are concerned; before the first data only corrections can change anything."""
        low = now - fleet.keys[at].minutes
        first = int(self._ledgers.first_with(fleet.raw[at : at + 1], np.array([low]))[0])
        begun = now + 1 if first < 0 else max(low, first - _LONGEST_SLICE)
        added = [one for one in items if '"correction"' in one]
        spans = spans_of_content(items, begun, now + 1)
        return tuple(spans_of_content(added, low, begun) + spans)

    @staticmethod
    def _at_once(
        fleet: Fleet, chosen: _Ints, span: Span, now_ms: int, note: Callable[[_Ints, int], None]
    ) -> bool:
        """Derive a span now; False when the store does not answer."""
        for first in range(span[0], span[1], _CHUNK_MINUTES):
            try:
                touched = fleet.derivation.over(chosen, first, min(span[1], first + _CHUNK_MINUTES), now_ms)
            except SetpointError as error:
                logger.warning("adjusted minutes are derived later: %s", error.message)
                return False
            note(touched, first)
        return True

    def _is_derived(self, fleet: Fleet, name: str) -> bool:
        at = fleet.index.get(name)
        return at is None or int(fleet.raw[at]) not in self._backfill.to_derive

    def _write_down(self, fleet: Fleet, done: Sequence[str]) -> None:
        assert self._entries is not None
        kept: dict[str, Entry] = {}
        gone: set[str] = set()
        for name in done:
            at = fleet.index.get(name)
            if at is None:
                continue
            one, wanted = fleet.keys[at], frozenset(fleet.adjustments.content[at])
            if one.is_adjusted and wanted:
                kept[one.budget] = Entry("kept", wanted)
            elif not one.is_adjusted and not wanted:
                gone.add(one.adjusted(fleet.objectives[at]).budget)
        try:
            self._store.put(kept, gone)
        except SetpointError as error:
            logger.warning("what adjusted ledgers are derived with is not stored yet: %s", error.message)
            return
        self._entries = {key: one for key, one in (self._entries | kept).items() if key not in gone}
        self._unsettled.difference_update(done)

    def _is_loaded(self, one: Keys) -> bool:
        """Whether what is to be copied was read: of other ledgers nobody knows what the store has of them."""
        rows = [self._ledgers.row_of(key) for key in (one.raw, one.budget)]
        return all(row is not None and bool(self._standing.loaded[row]) for row in rows)


def _copies(one: Keys, adjusted: Keys, *, is_back: bool) -> list[tuple[str, str]]:
    """Which ledgers are copied where when an objective becomes adjusted, or goes back. Events as they were counted are
    always there, and never written.
    """
    if is_back:
        return [(adjusted.budget, one.budget)] if one.budget != one.raw else []
    pairs = [(one.budget, adjusted.budget)]
    return pairs if adjusted.effective in ("", adjusted.budget) else [*pairs, (one.raw, adjusted.effective)]
