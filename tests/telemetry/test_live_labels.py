"""Stored samples of series that live still get their labels from memory, those of others from the database."""

from __future__ import annotations

import pytest

from setpoint.database import TelemetryDatabase
from setpoint.telemetry.model import Matcher
from tests.telemetry.engine import Engine, clear
from tests.telemetry.naive import Sample, batch

NOW_MS = 1_789_000_000_000
HORIZON_MS = 300_000
EVERY = [Matcher("__name__", "=", "m")]


def pod(number: int, ago_s: int) -> Sample:
    return {"__name__": "m", "pod": str(number)}, NOW_MS - ago_s * 1000, float(number)


def test_labels_of_live_series_are_those_of_the_table(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    asked = []
    labels = engine.store.series.labels
    monkeypatch.setattr(engine.store.series, "labels", lambda *given: asked.append(1) or labels(*given))  # type: ignore[func-returns-value]
    try:
        engine.send(batch([pod(number, ago_s) for number in (2, 10, 1) for ago_s in (900, 0)]))
        engine.send(batch([pod(3, 900)]))
        engine.flush()
        # The series that has old samples only lives while the head was not asked to evict.
        both = engine.reader.select(EVERY, NOW_MS - 1_000_000, NOW_MS)
        assert [one["pod"] for one in both.labels] == ["1", "10", "2", "3"]
        _, live = engine.table.match_labels(EVERY)
        assert not asked
        assert all(any(one is known for known in live) for one in both.labels)
        engine.head.evict(NOW_MS)
        engine.send(batch([pod(1, -1)]))
        engine.flush()
        assert engine.table.size == 3
        again = engine.reader.select(EVERY, NOW_MS - 1_000_000, NOW_MS)
        assert asked
        assert again.labels == both.labels
        assert again.values.tolist() == both.values.tolist()
        alone = engine.reader.select([Matcher("pod", "=~", "1.*")], NOW_MS - 1_000_000, NOW_MS)
        assert [one["pod"] for one in alone.labels] == ["1", "10"]
    finally:
        engine.close()
