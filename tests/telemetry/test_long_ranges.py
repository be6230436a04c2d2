"""Queries that begin before the samples that are kept: rollups first, then samples, each series at its own day."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from setpoint.database import TelemetryDatabase
from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate
from setpoint.telemetry import Head, Matcher, Reader, SampleColumns, SignalStore
from setpoint.telemetry.compact import Compactor
from setpoint.telemetry.retention import Policy, Retention, Rule
from setpoint.telemetry.rollup import DAY_MS
from setpoint.telemetry.rollup_store import Rollups
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.flushes import START, Flusher, labels_of
from tests.telemetry.rollups import DAY, increase

DAYS, MINUTES, STEP_MS = 5, 1440, 60_000
NOW_MS = START + DAYS * DAY_MS
EVERY = [Matcher("pod", "!=", "")]
SERIES = (0, 1)
"""`m` and `debug_m`, which is kept for two days less."""


def _value(series: int, minute: int) -> float:
    """Counters that start anew every 1,000 minutes, also shortly before and after midnight."""
    return float((minute + 437 * series) % 1000)


class _Asked(Rollups):
    """Rollups that count how often they are asked."""

    asked = 0

    def samples(self, *question: object, **more: object) -> SampleColumns:
        self.asked += 1
        return super().samples(*question, **more)  # type: ignore[arg-type]


@pytest.fixture
def rollups(telemetry_database: TelemetryDatabase) -> _Asked:
    """Five days of a sample a minute, compacted; then `m` keeps three of them and `debug_m` one."""
    flusher, rollups = Flusher(telemetry_database), _Asked(telemetry_database)
    flusher.write_series()
    compactor = Compactor(telemetry_database, flusher.blocks, rollups)
    for day in range(DAYS):
        minutes = range(day * MINUTES, (day + 1) * MINUTES)
        flusher.flush(
            {(one, START + minute * STEP_MS): _value(one, minute) for one in SERIES for minute in minutes}
        )
        compactor.compact(DAY + day)
    policy = Policy(3, (Rule((Matcher("__name__", "=", "debug_m"),), 1),))
    Retention(telemetry_database, policy, 400, len).enforce(NOW_MS)
    return rollups


@pytest.fixture
def reader(telemetry_database: TelemetryDatabase, rollups: _Asked) -> Reader:
    table = SeriesTable()
    head = Head(DAY_MS, table)
    head.complete_from(NOW_MS)
    return Reader(head, SignalStore(telemetry_database, table), rollups, lambda: NOW_MS - DAY_MS)


def _of(found: SampleColumns, series: int) -> tuple[list[int], list[float]]:
    place = [dict(labels) for labels in found.labels].index(dict(labels_of(series)))
    own = slice(found.offsets[place], found.offsets[place + 1])
    return found.timestamps_ms[own].tolist(), found.values[own].tolist()


@pytest.mark.parametrize(("series", "kept"), [(0, 3), (1, 1)])
def test_each_series_goes_over_to_its_samples_at_its_own_day(reader: Reader, series: int, kept: int) -> None:
    times, values = _of(reader.select(EVERY, START - 1, NOW_MS), series)
    boundary = NOW_MS - kept * DAY_MS
    assert times[0] == START
    assert np.diff(times).min() > 0
    after = [time_ms for time_ms in times if time_ms >= boundary]
    assert after == list(range(boundary, NOW_MS, STEP_MS))
    before = [time_ms for time_ms in times if time_ms < boundary]
    assert len(before) < len(after) * (DAYS - kept) / kept / 2
    samples = [_value(series, minute) for minute in range(DAYS * MINUTES)]
    assert increase(values) == increase(samples)


def test_no_day_is_lost_and_none_counts_twice(reader: Reader) -> None:
    hours = (START + 3_600_000 * 2, NOW_MS, 3_600_000)
    found = evaluate(
        parse("sum by (pod) (count_over_time(m[1h]) * 0 + increase(m[1h]))"), *hours, reader.select
    )
    assert found.present.all()
    inside = found.values[0]
    # A counter that rises by 1 a minute rises by 60 an hour, by less where it starts anew: nothing at midnight.
    assert np.median(inside) == pytest.approx(60, abs=0.5)
    assert ((inside > 50) & (inside < 70)).mean() > 0.9
    assert inside.max() < 130


def test_rollups_are_asked_only_for_what_is_not_kept(reader: Reader, rollups: _Asked) -> None:
    reader.select(EVERY, NOW_MS - DAY_MS, NOW_MS)
    assert rollups.asked == 0
    reader.select(EVERY, NOW_MS - DAY_MS - 1, NOW_MS)
    assert rollups.asked == 1


def test_a_range_that_ended_before_the_samples(reader: Reader) -> None:
    found = reader.select(EVERY, START + DAY_MS // 2, START + DAY_MS)
    for series in SERIES:
        times, values = _of(found, series)
        assert START + DAY_MS // 2 < times[0] < times[-1] == START + DAY_MS
        assert values[-1] == _value(series, MINUTES)  # of midnight sharp, as a range of PromQL ends


def test_a_select_without_rollups_knows_only_samples(reader: Reader) -> None:
    select: Callable[[Sequence[Matcher], int, int], SampleColumns] = Reader(
        reader._head, reader._store
    ).select
    assert _of(select(EVERY, START, NOW_MS), 0)[0][0] == NOW_MS - 3 * DAY_MS
