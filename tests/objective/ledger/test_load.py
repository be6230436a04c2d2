"""What a staged read of ledgers knows of its windows, against looking at every minute."""

from __future__ import annotations

import itertools

import numpy as np

from setpoint.objective.ledger.load import Staged

WHOLE = (1 << 60) - 1


def test_the_holes_are_the_minutes_that_were_not_counted() -> None:
    random = np.random.default_rng(2)
    for _ in range(100):
        head, sizes = int(random.integers(30, 60)), random.integers(1, 30, 3)
        staged = Staged(np.arange(3, dtype=np.uint64), sizes, head)
        words = random.integers(0, WHOLE, len(staged.counted), dtype=np.uint64, endpoint=True)
        kind = random.integers(0, 4, len(words))
        staged.counted[:] = np.where(kind == 0, 0, np.where(kind == 1, words, WHOLE)).astype(np.uint64)
        end = int(random.integers(head * 60 - 70, head * 60 + 61))
        starts = end - random.integers(1, sizes * 60 + 90)
        first, last, holes = staged.known(starts, end)
        for index, ranges in enumerate(holes):
            own = staged.counted[staged.offsets[index] : staged.offsets[index + 1]].tolist()
            base = int(staged.bases[index]) * 60
            counted = [
                base + 60 * at + bit for at, word in enumerate(own) for bit in range(60) if word >> bit & 1
            ]
            assert (first[index], last[index]) == ((counted[0], counted[-1]) if counted else (-1, -1))
            in_holes = [minute for begin, stop in ranges for minute in range(begin, stop)]
            assert in_holes == sorted({*range(int(starts[index]), end)} - {*counted})
            gaps = [after[0] - before[1] for before, after in itertools.pairwise(ranges)]
            assert min(gaps, default=1) > 0  # runs that touch are one
