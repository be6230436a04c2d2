"""The book over the real head and the real chdb: history from disk, recent minutes from memory, one number."""

from __future__ import annotations

import numpy as np

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook
from setpoint.objective.resolve import no_groups, resolve
from setpoint.telemetry.model import MetricBatch, Series, fingerprint
from tests.objective.test_book import slo
from tests.telemetry.engine import Engine

CODES = ("200", "500")
INSTANCES = 3


def _batch(at_ms: int, values: dict[str, float]) -> MetricBatch:
    labels = [
        {"__name__": "requests_total", "code": code, "instance": str(instance)}
        for code in CODES
        for instance in range(INSTANCES)
    ]
    return MetricBatch(
        [Series(fingerprint(one), one, "checkout") for one in labels],
        np.arange(len(labels), dtype=np.int32),
        np.full(len(labels), at_ms, np.int64),
        np.array([values[one["code"]] for one in labels], np.float64),
    )


def test_history_on_disk_and_recent_samples_in_memory(telemetry_database: TelemetryDatabase) -> None:
    # Near the real time, because the database drops what is older than its retention.
    start_ms = (SystemClock().now_ms() // 60_000 - 5 * 60) * 60_000
    engine = Engine(telemetry_database, start_ms, horizon_ms=1800 * 1000)
    values = {"200": 0.0, "500": 0.0}
    batches = []
    for step in range(0, 4 * 3600 + 1, 15):
        batches.append(_batch(start_ms + step * 1000, values))
        values["200"] += 30
        values["500"] += step % 600 == 0
    engine.send(*batches)
    engine.flush()
    clock = engine.clock
    end_ms = clock.advance(4 * 3600)
    engine.head.evict(end_ms)  # only the last half hour is in memory
    book = ObjectiveBook(
        engine.reader.select,
        engine.head.take_oldest_write_ms,
        LedgerStore(telemetry_database),
        clock,
        oldest_sample_ms=engine.store.oldest_sample_ms,
    )
    book.apply([slo(window="1d")])
    assert book.status("checkout").total > 0
    ticks = 0
    while book.status("checkout").backfilling:
        clock.advance(1)
        book.tick()
        ticks += 1
        assert ticks < 30
    status = book.status("checkout")
    assert status.good == 4 * 240 * 30 * INSTANCES
    assert status.bad == 4 * 6 * INSTANCES
    assert status.gap_minutes == 0
    book.close()
    engine.close()
    stored = LedgerStore(telemetry_database).read(resolve([slo(window="1d")], no_groups)[0].ledger_key, 0)
    known = ~np.isnan(stored.total)
    assert stored.total[known].sum() == status.total
