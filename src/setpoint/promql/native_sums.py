"""Sums and averages of many native histograms: over the series of a group, or over the samples of a window.

Histograms of one layout are added up side by side, one round for the first member of every sum, one for the second and
so on, each with Neumaier's compensation as Prometheus does (`kahansum`). Where layouts differ, those that only name
other buckets are brought into one; where zero buckets differ, a sum is computed by itself, because how wide its zero
bucket gets depends on the counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from setpoint.promql.native import (
    GAUGE,
    NOT_RESET,
    RESET,
    UNKNOWN,
    Histogram,
    Numbers,
    align,
)
from setpoint.promql.native_layout import Layout, common_layout, mapped

__all__ = ["SumNote", "totals"]

SumNote = Literal["mixed", "reconciled", "collision"]
"""What happened on the way: exponential and custom buckets met (no result), custom bounds were given up for those that
both have, hints of counter resets contradicted each other.
"""

Rows = npt.NDArray[np.int64]


def compensated(value: Numbers, total: Numbers, lost: Numbers) -> tuple[Numbers, Numbers]:
    """One more value on a running sum and what rounding lost of it, element by element (kahansum.Inc)."""
    new = total + value
    larger = np.abs(total) >= np.abs(value)
    rest = np.where(larger, (total - new) + value, (value - new) + total)
    return new, np.where(np.isinf(new), 0.0, lost + rest)


def totals(  # noqa: PLR0917 — the sums in columns, and who is told
    pool: Sequence[Histogram],
    rows: Rows,
    offsets: Rows,
    average: bool,
    note: Callable[[SumNote, int], None],
    check: Callable[[], None],
) -> list[Histogram | None]:
    """Per sum t the total (or average) of the histograms `pool[rows[offsets[t]:offsets[t + 1]]]`, none empty.

    None where exponential and custom buckets meet. `note` is told what happened, and in which sum;
    `check` is called now and then, and raises to end it.
    """
    results: list[Histogram | None] = [None] * (len(offsets) - 1)
    layouts: dict[int, Layout] = {}
    codes = np.empty(len(pool), np.int64)
    known: dict[int, int] = {}
    for i, histogram in enumerate(pool):
        code = known.setdefault(id(histogram.layout), len(known))
        layouts[code] = histogram.layout
        codes[i] = code
    hints = _hints(pool, rows, offsets, note)
    for signature, chosen in _classes(codes, rows, offsets).items():
        members = [layouts[code] for code in signature]
        if len({layout.schema == -53 for layout in members}) > 1:
            for t in chosen:
                note("mixed", t)
            continue
        if len({layout.bounds for layout in members}) > 1:
            for t in chosen:
                note("reconciled", t)
        if len({layout.zero_threshold for layout in members}) == 1:
            done = _together(pool, rows, offsets, np.array(chosen, np.int64), members, average, check)
        else:
            done = [
                _alone([pool[i] for i in rows[offsets[t] : offsets[t + 1]]], average, check) for t in chosen
            ]
        for t, histogram in zip(chosen, done, strict=True):
            results[t] = histogram.hinted(hints[t])
    return results


def _classes(codes: Rows, rows: Rows, offsets: Rows) -> dict[tuple[int, ...], list[int]]:
    """The sums by the layouts that meet in them."""
    count = len(offsets) - 1
    if not len(codes) or (codes == codes[0]).all():
        return {(0,): list(range(count))} if count else {}
    classes: dict[tuple[int, ...], list[int]] = {}
    of_rows = codes[rows]
    for t in range(count):
        signature = tuple(np.unique(of_rows[offsets[t] : offsets[t + 1]]).tolist())
        classes.setdefault(signature, []).append(t)
    return classes


_HINTS = (UNKNOWN, RESET, NOT_RESET, GAUGE)


def _hints(
    pool: Sequence[Histogram], rows: Rows, offsets: Rows, note: Callable[[SumNote, int], None]
) -> list[Any]:
    """The hint of each sum: a gauge makes a gauge, different ones say nothing."""
    bits = np.array([1 << _HINTS.index(histogram.hint) for histogram in pool], np.int64)
    seen = np.bitwise_or.reduceat(bits[rows], offsets[:-1]) if len(rows) else np.empty(0, np.int64)
    for t in np.flatnonzero((seen & 0b110) == 0b110).tolist():
        note("collision", t)
    by_bits = {1: UNKNOWN, 2: RESET, 4: NOT_RESET}
    return [GAUGE if bit & 8 else by_bits.get(bit, UNKNOWN) for bit in seen.tolist()]


def _together(  # noqa: PLR0917 — the sums in columns
    pool: Sequence[Histogram],
    rows: Rows,
    offsets: Rows,
    chosen: Rows,
    layouts: Sequence[Layout],
    average: bool,
    check: Callable[[], None],
) -> list[Histogram]:
    layout = reduce(lambda one, other: common_layout(one, other, one.zero_threshold), layouts)
    lengths = (offsets[1:] - offsets[:-1])[chosen]
    order = np.argsort(-lengths, kind="stable")
    starts, lengths = offsets[:-1][chosen][order], lengths[order]
    used = np.unique(np.concatenate([rows[offsets[t] : offsets[t + 1]] for t in chosen]))
    numbers = np.stack([mapped(pool[i].layout, pool[i].numbers, layout) for i in used])
    place = np.zeros(len(pool), np.int64)
    place[used] = np.arange(len(used))
    total = numbers[place[rows[starts]]]
    lost = np.zeros_like(total)
    for r in range(1, int(lengths[0])):
        check()
        active = int(np.searchsorted(-lengths, -r))  # those longer than r
        value = numbers[place[rows[starts[:active] + r]]]
        total[:active], lost[:active] = compensated(value, total[:active], lost[:active])
    if average:
        counts = lengths[:, np.newaxis].astype(np.float64)
        finished = total / counts + lost / counts
    else:
        finished = total + lost
    results: list[Histogram] = [Histogram(layout, one) for one in finished]
    if average:  # a sum that overflows has an average all the same
        for k in np.flatnonzero(np.isinf(total).any(axis=1)).tolist():
            members = rows[starts[k] : starts[k] + lengths[k]]
            results[k] = _alone([pool[i] for i in members], average, check)
    back = np.empty(len(order), np.int64)
    back[order] = np.arange(len(order))
    return [results[k] for k in back]


class _Running:
    """A running sum, and what rounding lost of it, in the layout that all of it has so far."""

    def __init__(self, first: Histogram) -> None:
        self.total = first
        self.lost = np.zeros(first.layout.size)

    def plus(self, histogram: Histogram) -> _Running:
        layout, total, value, _ = align(self.total, histogram)
        more = _Running.__new__(_Running)
        new, more.lost = compensated(value, total, mapped(self.total.layout, self.lost, layout))
        more.total = Histogram(layout, new)
        return more

    def over(self, divisor: float) -> _Running:
        shared = _Running.__new__(_Running)
        shared.total, shared.lost = self.total.divided(divisor), self.lost / divisor
        return shared

    def times(self, factor: float) -> _Running:
        shared = _Running.__new__(_Running)
        shared.total, shared.lost = self.total.scaled(factor), self.lost * factor
        return shared

    def finished(self) -> Histogram:
        return Histogram(self.total.layout, self.total.numbers + self.lost)


def _alone(members: Sequence[Histogram], average: bool, check: Callable[[], None]) -> Histogram:
    """One sum or average; an average goes on as a running mean once the sum overflows."""
    check()
    running, mean = _Running(members[0]), None
    for seen, histogram in enumerate(members[1:], start=2):
        if mean is None:
            more = running.plus(histogram)
            if not average or not more.total.overflows():
                running = more
                continue
            mean = running.over(seen - 1)
        mean = mean.times((seen - 1) / seen).plus(histogram.divided(seen))
    if mean is not None:
        return mean.finished()
    return (running.over(len(members)) if average else running).finished()
