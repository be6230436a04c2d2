"""What the book says of its own rhythm, on a clock that passes while it waits and while it works."""

from __future__ import annotations

import threading

from setpoint.clock import VirtualClock
from setpoint.objective import ObjectiveBook
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import T0, slo


class _Passing(VirtualClock):
    """Waiting takes its time at once; after `ticks` waits the loop ends."""

    def __init__(self, ticks: int) -> None:
        super().__init__(T0)
        self._left = ticks

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.advance(timeout_s)
        self._left -= 1
        if not self._left:
            event.set()
        return event.is_set()


def _run(ticks: int, work_s: list[float]) -> ObjectiveBook:
    """A book whose first ticks take `work_s`, after `ticks` of them."""
    clock, durations = _Passing(ticks), iter([0.0, *work_s])  # it looks when objectives are applied, too

    def look() -> None:
        clock.advance(next(durations, 0.0))

    book = ObjectiveBook(Samples().select, look, MemoryLedger(), clock, evaluation_interval_s=1.0)
    book.apply([slo()])
    book.run(threading.Event())
    return book


def test_a_steady_book_misses_nothing() -> None:
    book = _run(5, [0.4] * 5)
    assert book.missed == 0
    assert book.lags.counted.counts == (4,) * len(book.lags.counted.counts), (
        "the first has nothing to be late of"
    )
    assert book.durations.counted.counts[-1] == 5
    assert book.evaluated_ms == T0 + 4400


def test_a_tick_of_three_and_a_half_intervals_leaves_out_two() -> None:
    book = _run(4, [0.0, 3.5])
    assert book.missed == 2
    lags = dict(zip(book.lags.counted.bounds_s, book.lags.counted.counts, strict=True))
    assert lags[1.0] == 2
    assert lags[2.5] == 2
    assert lags[5.0] == 3


def test_a_clock_set_back_is_no_lag() -> None:
    book = _run(3, [0.0, -600.0])
    assert book.missed == 0
    assert book.lags.counted.counts[0] == 2
