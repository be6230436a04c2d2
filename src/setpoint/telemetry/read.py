"""The way out: one `Select` over head, store and rollups.

`app` hands `Reader.select` to the query language. A range that the head covers never touches the database,
which keeps it off the path that evaluates objectives; an older range is read from both and joined at the
instant from which the head is complete. Before the samples that are kept come those that rollups stand for, of
each series up to the day of its first sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from setpoint.telemetry.columns import join, label_key
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Matcher, SampleColumns, StoredHistograms
from setpoint.telemetry.rollup_store import Rollups
from setpoint.telemetry.store import SignalStore

__all__ = ["Origin", "Reader"]


@dataclass(slots=True)
class Origin:
    """How many samples a reader was given, by where they were; one per query, added to by every `select` of it."""

    memory: int = 0
    stored: int = 0
    rolled_up: int = 0
    elsewhere: int = 0
    """Read from another server, a data source."""

    @property
    def samples(self) -> int:
        """All of them."""
        return self.memory + self.stored + self.rolled_up + self.elsewhere


class Reader:
    """Samples from wherever they are. Thread-safe."""

    def __init__(
        self,
        head: Head,
        store: SignalStore,
        rollups: Rollups | None = None,
        kept_from_ms: Callable[[], int] = lambda: -(2**62),
    ) -> None:
        """`kept_from_ms` tells from when on every stored sample is still there; older ranges ask `rollups`, too."""
        self._head = head
        self._store = store
        self._rollups = rollups
        self._kept_from_ms = kept_from_ms

    def select(
        self,
        matchers: Sequence[Matcher],
        start_ms: int,
        end_ms: int,
        *,
        origin: Origin | None = None,
        admit: Callable[[int], None] = lambda samples: None,
    ) -> SampleColumns:
        """The samples with start_ms < t <= end_ms, series in the order of their labels, empty ones left out.

        `origin` is told how many came from where; `admit` now and then how many there are so far, and raises to end the
        select. Raises InvalidInput for a bad expression, Unavailable when the store is needed and does not answer.
        """
        # Head first: what it evicts after this moment is in the store, below the boundary taken here or not.
        origin = origin or Origin()
        covers_from_ms, recent = self._head.select_covered(matchers, start_ms, end_ms, admit)
        origin.memory += len(recent.timestamps_ms)
        if start_ms >= covers_from_ms:
            return recent
        older = self._store.read_samples(matchers, start_ms, min(end_ms, covers_from_ms))
        origin.stored += len(older.timestamps_ms)
        admit(len(older.timestamps_ms) + len(recent.timestamps_ms))
        found = _joined(older, recent)
        kept_from_ms = self._kept_from_ms()
        if self._rollups is None or start_ms >= kept_from_ms:
            return found
        firsts = found.timestamps_ms[found.offsets[:-1]].tolist()
        until_ms = {label_key(labels): first for labels, first in zip(found.labels, firsts, strict=True)}
        oldest = self._rollups.samples(matchers, start_ms, min(end_ms, kept_from_ms), until_ms)
        origin.rolled_up += len(oldest.timestamps_ms)
        return _joined(oldest, found)

    def select_in_memory(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> SampleColumns | None:
        """As `select`, without the database; None when that would have to be asked."""
        if start_ms < self._head.covers_from_ms:
            return None
        covers_from_ms, recent = self._head.select_covered(matchers, start_ms, end_ms)
        return recent if start_ms >= covers_from_ms else None

    def may_have_histograms(self, matchers: Sequence[Matcher]) -> bool:
        """False where no matching series ever had a native histogram, as far as that is known without the database."""
        return self._store.may_have_histograms(matchers)

    def select_histograms(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int
    ) -> StoredHistograms | None:
        """The native histograms with start_ms < t <= end_ms, all of them in the store; None where there are none.

        Errors as `select`.
        """
        return self._store.select_histograms(matchers, start_ms, end_ms)


def _joined(older: SampleColumns, recent: SampleColumns) -> SampleColumns:
    """Both parts as one; every sample of `older` is earlier than those of `recent`."""
    if not recent.labels:
        return older
    if not older.labels:
        return recent
    return join(older, recent)
