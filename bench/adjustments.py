"""What do adjustments cost: a tick, making ledgers for those that become adjusted, a change?

Run with `python -m bench.adjustments` (10,000 objectives, some minutes) or `--small` (500). A book on a virtual clock
keeps objectives that count the same series (counting is not what is measured here) over an hour of history; then one
recurring adjustment is applied to all of them, changed, and taken back. Seconds are of processor time, which other work
on the machine does not change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from setpoint.clock import VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook, Slo
from setpoint.objective.adjustment.spec import BudgetAdjustment
from setpoint.objective.warm import warm
from setpoint.telemetry.columns import gather
from setpoint.telemetry.model import Matcher, SampleColumns

T0 = 1_790_000_040_000 - 1_790_000_040_000 % 60_000
_STEP_S = 10
_HISTORY_MS = 3_600_000


class Counters:
    """Two counters that grow by 100 and 1 every 10 s, for as long as the clock goes."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock, self._told_ms = clock, 0

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        low = max(start_ms, T0 - _HISTORY_MS)
        last = min(end_ms, self._clock.now_ms())
        times = np.arange(low // 10_000 * 10_000 + 10_000, last + 1, 10_000, dtype=np.int64)
        steps = ((times - T0) // 10_000 + _HISTORY_MS).astype(np.float64)
        chosen = {matcher.value for matcher in matchers if matcher.name == "code"}
        rates = {"200": 100.0, "500": 1.0}
        return gather(
            [
                ({"__name__": "requests_total", "code": code}, times, steps * rate)
                for code, rate in rates.items()
                if not chosen or code in chosen
            ]
        )

    def take_oldest_write_ms(self) -> int | None:
        return self._clock.now_ms()


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    count = 500 if parser.parse_args().small else 10_000
    warm()
    with tempfile.TemporaryDirectory() as folder:
        run(LedgerStore(TelemetryDatabase(f"chdb://{Path(folder) / 'db'}")), count)


def run(store: LedgerStore, count: int) -> None:
    """Print what each step costs."""
    clock = VirtualClock(T0)
    counters = Counters(clock)
    book = ObjectiveBook(
        counters.select,
        counters.take_oldest_write_ms,
        store,
        clock,
        oldest_sample_ms=lambda: T0 - _HISTORY_MS,
        evaluation_interval_s=_STEP_S,
    )
    documents = [_slo(f"o{number}") for number in range(count)]
    print(f"{count:,} objectives applied in {_timed(lambda: book.apply(documents)):.1f} s", flush=True)
    _settle(book, clock, "history counted")
    print(f"a tick: {_tick(book, clock):.3f} s", flush=True)
    nightly = _adjustment("2026-01-01T02:00:00", "2h")
    print(f"adjustment applied in {_timed(lambda: book.apply([*documents, nightly])):.1f} s", flush=True)
    _settle(book, clock, "ledgers of their own")
    print(f"a tick with it: {_tick(book, clock):.3f} s", flush=True)
    changed = _adjustment(
        time.strftime("2026-01-01T%H:%M:00", time.gmtime((clock.now_ms() - 1_800_000) / 1000)), "1h"
    )
    print(f"changed, going on: {_timed(lambda: book.apply([*documents, changed])):.1f} s", flush=True)
    _settle(book, clock, "derived anew")
    print(f"a tick within it: {_tick(book, clock):.3f} s", flush=True)
    print(f"taken back in {_timed(lambda: book.apply(documents)):.1f} s", flush=True)
    _settle(book, clock, "all as before")


def _settle(book: ObjectiveBook, clock: VirtualClock, what: str) -> None:
    begun, ticks = time.process_time(), 0
    while True:
        clock.advance(_STEP_S)
        book.tick()
        ticks += 1
        if book.adjustments.is_settled() and not book.overview().backfilling.any():
            break
    print(f"  {what} after {ticks} ticks, {time.process_time() - begun:.1f} s", flush=True)


def _tick(book: ObjectiveBook, clock: VirtualClock) -> float:
    """The middle one of some ticks."""
    took = []
    for _ in range(15):
        clock.advance(_STEP_S)
        took.append(_timed(book.tick))
    return float(np.median(took))


def _timed(work: Callable[[], Any]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _slo(name: str) -> SimpleNamespace:
    metrics = {
        "good": {"metricSource": {"spec": {"query": 'sum(requests_total{code="200"})'}}},
        "total": {"metricSource": {"spec": {"query": "sum(requests_total)"}}},
    }
    body = {
        "apiVersion": "openslo/v1",
        "kind": "SLO",
        "metadata": {"name": name},
        "spec": {
            "service": "shop",
            "indicator": {"spec": {"ratioMetric": {"counter": True, **metrics}}},
            "timeWindow": [{"duration": "30d", "isRolling": True}],
            "budgetingMethod": "Occurrences",
            "objectives": [{"target": 0.9}],
        },
    }
    return SimpleNamespace(spec=Slo.model_validate(body))


def _adjustment(start: str, duration: str) -> SimpleNamespace:
    body = {
        "apiVersion": "setpoint/v1",
        "kind": "BudgetAdjustment",
        "metadata": {"name": "nightly"},
        "spec": {
            "reason": "backups",
            "select": {"all": True},
            "recurring": {"start": start, "rrule": "FREQ=DAILY", "duration": duration},
        },
    }
    return SimpleNamespace(spec=BudgetAdjustment.model_validate(body))


if __name__ == "__main__":
    main()
