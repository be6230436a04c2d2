"""The samples of a scenario as the objectives see them: on a virtual clock, each from when it arrives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from setpoint.clock import Clock
from setpoint.objective.scenario.file import InputSeries
from setpoint.objective.scenario.from_telemetry import Matcher, Piece, SampleColumns, gather, predicate

__all__ = ["ArrivingSamples"]


class ArrivingSamples:
    """`select`, `take_oldest_write_ms` and `oldest_sample_ms` are as those of a head and its store."""

    def __init__(self, series: Sequence[InputSeries], start_ms: int, clock: Clock) -> None:
        self._clock = clock
        self._series = [(one, one.times_ms + start_ms) for one in series]
        self._told_ms = -(2**62)
        self._matching: dict[tuple[Matcher, ...], list[int]] = {}

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """The samples with start_ms < t <= end_ms that have arrived; of equal times the one that came last."""
        now_ms = self._clock.now_ms()
        found: dict[tuple[tuple[str, str], ...], list[Piece]] = {}
        for index in self._find(tuple(matchers)):
            one, times = self._series[index]
            low, high = np.searchsorted(times, (start_ms, min(end_ms, now_ms - one.late_ms)), "right")
            if low < high:
                key = tuple(sorted(one.labels.items()))
                found.setdefault(key, []).append((one.labels, times[low:high], one.values[low:high]))
        return gather([_joined(pieces) for _, pieces in sorted(found.items())])

    def take_oldest_write_ms(self) -> int | None:
        """The oldest time of the samples that arrived since this was last asked."""
        now_ms, told_ms = self._clock.now_ms(), self._told_ms
        self._told_ms = now_ms
        oldest = []
        for one, times in self._series:
            low, high = np.searchsorted(times + one.late_ms, (told_ms, now_ms), "right")
            if low < high:
                oldest.append(int(times[low]))
        return min(oldest, default=None)

    def oldest_sample_ms(self) -> int | None:
        """The time of the first sample that has arrived."""
        now_ms = self._clock.now_ms()
        arrived = [
            int(times[0]) for one, times in self._series if len(times) and times[0] + one.late_ms <= now_ms
        ]
        return min(arrived, default=None)

    def _find(self, matchers: tuple[Matcher, ...]) -> list[int]:
        found = self._matching.get(matchers)
        if found is None:
            tests = [(one.name, predicate(one)) for one in matchers]
            found = self._matching[matchers] = [
                index
                for index, (one, _) in enumerate(self._series)
                if all(accepts(one.labels.get(name, "")) for name, accepts in tests)
            ]
        return found


def _joined(pieces: Sequence[Piece]) -> Piece:
    """Parts of one series as one."""
    if len(pieces) == 1:
        return pieces[0]
    times = np.concatenate([one[1] for one in pieces])[::-1]
    values = np.concatenate([one[2] for one in pieces])[::-1]
    unique, at = np.unique(times, return_index=True)
    return pieces[0][0], unique, values[at]
