"""Samples that queries read lately, decoded, so that the next query of a dashboard finds them as they are.

The query API reads through here, objectives do not. Chunks are kept encoded elsewhere (`kept_chunks`, the head), but
taking them apart and putting head and store together is most of what a query over hours costs. What is held of a
selection is one range; it is true up to the oldest timestamp that was written since it was read (`write_log`), so that
a late sample is seen by the next query, and what is missing at its end is read and put behind it. All of it is given
up when the table of stored chunks changes, and after some minutes.

Thread-safe: what is held is never changed, only replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
import numpy.typing as npt

from setpoint.cache import Cache, Turns
from setpoint.clock import stopwatch
from setpoint.errors import Unavailable
from setpoint.telemetry import held_kernels as kernels
from setpoint.telemetry.columns import join
from setpoint.telemetry.model import Labels, Matcher, SampleColumns
from setpoint.telemetry.read import Reader
from setpoint.telemetry.uncut import Source, UncutColumns
from setpoint.telemetry.write_log import WriteLog

__all__ = ["HeldSamples", "NotAtHand"]

_LIMIT_BYTES = 256 << 20
_ENTRY_PART = 2
"""Nothing is held that is larger than this part of the limit."""

_LIFE_S = 600.0
_LABELS_BYTES = 100  # the mappings are shared with the series table
_MORE_MS = 60_000
_MORE_PART = 8
"""So much more of a range is read ahead and held behind, at least `_MORE_MS`: the next question is a little later."""

_AT_HAND_SAMPLES = 300_000
_FRESH_PART = 4
"""At hand is what is held of so many samples at most, when no more than this part of the range is to be read."""

_PATIENCE_S = 10.0

_NOT_AT_HAND = "the samples are not held; ask again and let them be read"

Key = tuple[tuple[Matcher, ...], int]
Admit = Callable[[int], None]


class NotAtHand(Unavailable):
    """The samples would have to be read from the database first."""


@dataclass(frozen=True, slots=True)
class _Held:
    """The samples of a selection with start_ms < t <= end_ms, as at `mark`, in this `state` of the database."""

    start_ms: int
    end_ms: int
    source: Source
    mark: int
    state: Hashable
    age_s: Callable[[], float]
    chosen: dict[bytes, tuple[Labels, ...]] = field(default_factory=dict)
    """The labels that are left without the series that have no sample in a range: the last such choice."""

    @property
    def columns(self) -> SampleColumns:
        """All of them."""
        return self.source.columns

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        return 16 * len(self.columns.values) + _LABELS_BYTES * len(self.columns.labels)

    def cut(self, start_ms: int, end_ms: int, admit: Admit) -> SampleColumns:
        """The samples with start_ms < t <= end_ms, series without any left out."""
        columns = self.columns
        firsts, offsets = kernels.bounds(columns.offsets, columns.timestamps_ms, start_ms, end_ms)
        admit(int(offsets[-1]))
        held = offsets[1:] > offsets[:-1]
        if held.all():
            return UncutColumns(columns.labels, offsets, self.source, np.arange(len(held)), firsts)
        offsets = np.concatenate((offsets[:1], offsets[1:][held]))
        return UncutColumns(self._labels(held), offsets, self.source, np.flatnonzero(held), firsts[held])

    def _labels(self, held: npt.NDArray[np.bool_]) -> tuple[Labels, ...]:
        key = held.tobytes()
        labels = self.chosen.get(key)
        if labels is None:
            labels = tuple(compress(self.columns.labels, held.tolist()))
            self.chosen.clear()
            self.chosen[key] = labels
        return labels


class HeldSamples:
    """`select` of a `Reader`, from what is held where that is as true as reading it again."""

    def __init__(
        self,
        reader: Reader,
        writes: WriteLog,
        state: Callable[[], Hashable],
        kept_from_ms: Callable[[], int] = lambda: -(2**62),
        *,
        limit_bytes: int = _LIMIT_BYTES,
        life_s: float = _LIFE_S,
    ) -> None:
        """`state` tells what is another value after every change of the database that is no new sample;
        `kept_from_ms` from when on samples are read as they came.
        """
        self._reader = reader
        self._writes = writes
        self._state = state
        self._kept_from_ms = kept_from_ms
        self._held: Cache[Key, _Held] = Cache(limit_bytes, _ENTRY_PART, life_s)
        self._turns = Turns(_PATIENCE_S)
        self.hits = 0
        """Selects that were answered from what was held, all of it or but for its end."""
        self.misses = 0
        """Selects that were read."""

    @property
    def size_bytes(self) -> int:
        """About how much memory the samples take."""
        return self._held.size_bytes

    def expire(self) -> None:
        """Give back the memory of what nobody may be answered with any more; whoever keeps the time calls it."""
        self._held.expire(self._state())

    def select(
        self,
        matchers: Sequence[Matcher],
        start_ms: int,
        end_ms: int,
        *,
        admit: Admit = lambda samples: None,
        at_hand: bool = False,
    ) -> SampleColumns:
        """As `Reader.select`. If only what is `at_hand` is wanted, raises NotAtHand when it is not held, but for a
        short end that is in memory.
        """
        if end_ms <= start_ms or start_ms < self._kept_from_ms():
            if at_hand:
                raise NotAtHand(_NOT_AT_HAND)
            return self._reader.select(matchers, start_ms, end_ms, admit=admit)
        key = tuple(matchers), (end_ms - start_ms).bit_length()
        if at_hand or self._holds(key, start_ms, end_ms):
            return self._select(key, (start_ms, end_ms), admit, at_hand)
        # Who waits does so no longer than the query may.
        with self._turns.turn(key, lambda: admit(0)):
            return self._select(key, (start_ms, end_ms), admit, at_hand)

    def _holds(self, key: Key, start_ms: int, end_ms: int) -> bool:
        held = self._held.peek(key)
        return held is not None and held.start_ms <= start_ms and held.end_ms >= end_ms

    def _select(self, key: Key, range_ms: tuple[int, int], admit: Admit, at_hand: bool) -> SampleColumns:
        matchers, (start_ms, end_ms) = key[0], range_ms
        # In this order: what is written from here on counts as written since.
        state, mark = self._state(), self._writes.mark()
        held = self._held.find(key, state)
        if held is not None and held.start_ms <= start_ms:
            until_ms = min(held.end_ms, self._writes.oldest_since_ms(held.mark) - 1)
            if until_ms >= end_ms:
                self.hits += 1
                return held.cut(start_ms, end_ms, admit)
            if until_ms > start_ms:
                return self._extended(key, held, until_ms, range_ms, mark, admit, at_hand)
        if at_hand:
            raise NotAtHand(_NOT_AT_HAND)
        self.misses += 1
        if held is None or len(held.columns.values) > _AT_HAND_SAMPLES:
            columns = self._reader.select(matchers, start_ms, end_ms, admit=admit)
            self._held.keep(key, _Held(start_ms, end_ms, Source(columns), mark, state, stopwatch()))
            return columns
        # Somebody goes back in time.
        more_ms = max((end_ms - start_ms) // _MORE_PART, _MORE_MS)
        first_ms, last_ms = max(start_ms - more_ms, self._kept_from_ms()), end_ms + more_ms
        columns = self._reader.select(matchers, first_ms, last_ms)
        wider = _Held(first_ms, last_ms, Source(columns), mark, state, stopwatch())
        self._held.keep(key, wider)
        return wider.cut(start_ms, end_ms, admit)

    def _extended(  # noqa: PLR0917 - a select on its way
        self,
        key: Key,
        held: _Held,
        until_ms: int,
        asked_ms: tuple[int, int],
        mark: int,
        admit: Admit,
        at_hand: bool,
    ) -> SampleColumns:
        """What is held until `until_ms`, and behind it what is read."""
        start_ms, end_ms = asked_ms
        more_ms = max((end_ms - start_ms) // _MORE_PART, _MORE_MS)
        range_ms = until_ms, end_ms + more_ms
        if not at_hand:
            fresh = self._reader.select(key[0], *range_ms)
        else:
            is_much = (end_ms - until_ms) * _FRESH_PART > end_ms - start_ms
            read = None if is_much else self._reader.select_in_memory(key[0], *range_ms)
            if read is None or len(held.columns.values) > _AT_HAND_SAMPLES:
                raise NotAtHand(_NOT_AT_HAND)
            fresh = read
        first_ms = max(held.start_ms, start_ms - more_ms)
        whole = _appended(held.cut(first_ms, until_ms, lambda samples: None), fresh)
        grown = _Held(first_ms, end_ms + more_ms, Source(whole), mark, held.state, held.age_s)
        self.hits += 1
        self._held.keep(key, grown)
        return grown.cut(start_ms, end_ms, admit)


def _appended(older: SampleColumns, recent: SampleColumns) -> SampleColumns:
    """Both parts as one; every sample of `older` is earlier than those of `recent`."""
    if not recent.labels:
        return older
    if not older.labels:
        return recent
    offsets = recent.offsets
    if older.labels is not recent.labels and older.labels != recent.labels:
        places = _places(older.labels, recent.labels)
        if places is None:
            return join(older, recent)
        offsets = np.zeros(len(older.labels) + 1, np.int64)
        offsets[places + 1] = np.diff(recent.offsets)
        np.cumsum(offsets, out=offsets)
    return SampleColumns(
        older.labels,
        *kernels.append(
            older.offsets, older.timestamps_ms, older.values, offsets, recent.timestamps_ms, recent.values
        ),
    )


def _places(older: tuple[Labels, ...], recent: tuple[Labels, ...]) -> npt.NDArray[np.int64] | None:
    """Where those of `recent` stand in `older`, in its order; None when one is not there as the same object."""
    known = {id(labels): place for place, labels in enumerate(older)}
    places = [known.get(id(labels), -1) for labels in recent]
    return None if -1 in places else np.array(places, np.int64)
