"""Older samples of one data source, for counting history: fetched when asked for, in bounded pieces, and given up
soon after.

The thread that counts history calls `select` and waits in it. Objectives over the same selectors ask for the same
stretches one after the other, so the last answers are kept (some 4 million samples). What the head of `Live` covers
comes from there, without a request.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from setpoint.errors import InvalidInput, SetpointError, TooLarge
from setpoint.telemetry.columns import LabelKey, gather, label_key
from setpoint.telemetry.datasource.answer import Answer
from setpoint.telemetry.datasource.client import QueryRefused
from setpoint.telemetry.datasource.connection import Connection
from setpoint.telemetry.datasource.live import Live
from setpoint.telemetry.datasource.selectors import Selector
from setpoint.telemetry.match import matches
from setpoint.telemetry.model import Labels, Matcher, SampleColumns

__all__ = ["Check", "Past"]

_KEPT_SAMPLES = 4_000_000
_ANSWER_SAMPLES = 20_000_000
_LARGE_BYTES, _SMALL_BYTES = 4 << 20, 1 << 20
_SHORTEST_MS, _FIRST_MS, _LONGEST_MS = 60_000, 3_600_000, 86_400_000
_BYTES_PER_S = 8 << 20


Check = Callable[[], None]


def _go_on() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Stretch:
    selector: Selector
    start_ms: int
    end_ms: int


class Past:
    """Thread-safe."""

    def __init__(self, connection: Connection, live: Live, stop: threading.Event) -> None:
        self._connection, self._live, self._stop = connection, live, stop
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Stretch, SampleColumns] = OrderedDict()
        self._pieces_ms: dict[Selector, int] = {}
        self._most_ms: dict[Selector, int] = {}

    def select(
        self, matchers: Sequence[Matcher], start_ms: int, end_ms: int, check: Check = _go_on
    ) -> SampleColumns:
        """The samples with start_ms < t <= end_ms; waits for the source, for one request's timeout at a time.
        `check` is called before each request, and raises when nobody wants the answer any more.

        Raises SourceDown when it does not answer, InvalidInput when it refuses or has too many.
        """
        selector = frozenset(matchers)
        root = self._live.root_of(selector)
        if self._live.covers(root, start_ms, end_ms):
            return self._live.head.select(matchers, start_ms, end_ms)
        found = self._find(root, start_ms, end_ms) or self._fetch(root, start_ms, end_ms, check)
        return _within(found, start_ms, end_ms, () if root == selector else matchers)

    def _find(self, selector: Selector, start_ms: int, end_ms: int) -> SampleColumns | None:
        with self._lock:
            for stretch in self._kept:
                if stretch.selector == selector and stretch.start_ms <= start_ms and end_ms <= stretch.end_ms:
                    self._kept.move_to_end(stretch)
                    return self._kept[stretch]
        return None

    def _fetch(self, selector: Selector, start_ms: int, end_ms: int, check: Check) -> SampleColumns:
        pieces: dict[LabelKey, list[tuple[Labels, np.ndarray, np.ndarray]]] = {}
        reached_ms, samples = start_ms, 0
        while reached_ms < end_ms:
            check()
            until_ms = min(end_ms, reached_ms + self._piece_ms(selector))
            answer = self._ask(selector, reached_ms, until_ms)
            if answer is None:
                continue
            for one in answer.series:
                pieces.setdefault(label_key(one.labels), []).append((one.labels, one.times_ms, one.values))
            samples += answer.samples
            if samples > _ANSWER_SAMPLES:
                raise InvalidInput("too many samples at once; a shorter stretch is asked for")
            reached_ms = until_ms
            # Reading answers takes the processor from others: history may take a part of it.
            self._stop.wait(answer.size_bytes / _BYTES_PER_S)
        found = gather(
            (
                parts[0][0],
                np.concatenate([one[1] for one in parts]),
                np.concatenate([one[2] for one in parts]),
            )
            for _, parts in sorted(pieces.items())
        )
        with self._lock:
            self._kept[_Stretch(selector, start_ms, end_ms)] = found
            while len(self._kept) > 1 and self._size() > _KEPT_SAMPLES:
                self._kept.popitem(last=False)
        return found

    def _size(self) -> int:
        """About how many samples are kept; an empty answer takes memory, too."""
        return sum(len(one.values) + 100 * len(one.labels) + 100 for one in self._kept.values())

    def _piece_ms(self, selector: Selector) -> int:
        return self._pieces_ms.get(selector, _FIRST_MS)

    def _ask(self, selector: Selector, start_ms: int, end_ms: int) -> Answer | None:
        """One request; None when it was too much, and less is to be asked for."""
        length_ms = end_ms - start_ms
        try:
            answer = self._connection.ask(selector, start_ms, end_ms, is_urgent=False)
        except (QueryRefused, TooLarge) as error:
            self._pieces_ms[selector] = max(_SHORTEST_MS, length_ms // 4000 * 1000)
            self._most_ms[selector] = 2 * self._pieces_ms[selector]
            if length_ms > _SHORTEST_MS:
                return None
            raise _refused(self._connection.name, error) from error
        if answer.size_bytes > _LARGE_BYTES:
            self._pieces_ms[selector] = max(_SHORTEST_MS, length_ms // 2000 * 1000)
        elif answer.size_bytes < _SMALL_BYTES:
            longer_ms = min(self._most_ms.get(selector, _LONGEST_MS), 2 * length_ms)
            self._pieces_ms[selector] = max(self._piece_ms(selector), longer_ms)
        return answer


def _refused(name: str, error: SetpointError) -> InvalidInput:
    return InvalidInput(f"data source '{name}' refuses the query: {error.message}")


def _within(columns: SampleColumns, start_ms: int, end_ms: int, matchers: Sequence[Matcher]) -> SampleColumns:
    """What of `columns` lies in the range and matches."""
    bounds = columns.offsets.tolist()
    found = []
    for place, labels in enumerate(columns.labels):
        if not matches(matchers, labels):
            continue
        times = columns.timestamps_ms[bounds[place] : bounds[place + 1]]
        low, high = np.searchsorted(times, (start_ms, end_ms), side="right").tolist()
        if low < high:
            at = bounds[place]
            found.append((labels, times[low:high], columns.values[at + low : at + high]))
    return gather(found)
