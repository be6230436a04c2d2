"""Rollups in the database: by labels and time, the later version only, and as samples that PromQL computes on."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from setpoint.database import TelemetryDatabase
from setpoint.errors import InvalidInput
from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate
from setpoint.telemetry import Labels, Matcher, fingerprint
from setpoint.telemetry.columns import label_key
from setpoint.telemetry.rollup import COARSE_MS, DAY_MS, FINE_MS, roll
from setpoint.telemetry.rollup_store import RollupColumns, Rollups
from tests.telemetry.rollups import DAY, STALE, end_of, floats, is_stale

ALL = (0, 2**42)
EVERY = [Matcher("__name__", "=", "m")]
MINUTE = 60_000


def _store(db: TelemetryDatabase, labels: Labels, samples: list[tuple[int, float]], version: int = 1) -> None:
    """Roll up the samples of one series, day by day, and store them."""
    db.insert(
        "series",
        {
            "fingerprint": np.array([fingerprint(labels)], np.uint64),
            "metric": [labels["__name__"]],
            "labels": [dict(labels)],
        },
    )
    rollups = Rollups(db)
    for day in sorted({time_ms // DAY_MS for time_ms, _ in samples}):
        mine = [sample for sample in samples if sample[0] // DAY_MS == day]
        times = np.array([time_ms for time_ms, _ in mine], np.int64)
        fine = roll(day * DAY_MS, np.array([0, len(mine)]), times, floats([value for _, value in mine]))
        prints, counts = np.array([fingerprint(labels)], np.uint64), np.array([len(mine)])
        rollups.insert_rows(rollups.rows(day, prints, counts, fine, version, np.ones(1, np.bool_)))


def _ramp(days: int, step_ms: int = MINUTE) -> list[tuple[int, float]]:
    """A counter that rises by 1 a minute and starts anew every 1,000."""
    start = DAY * DAY_MS
    return [
        (time_ms, float((time_ms - start) // MINUTE % 1000))
        for time_ms in range(start + 1, start + days * DAY_MS, step_ms)
    ]


def test_buckets_come_back_by_labels_and_time(telemetry_database: TelemetryDatabase) -> None:
    for pod in ("b", "a"):
        _store(telemetry_database, {"__name__": "m", "pod": pod}, _ramp(2))
    _store(telemetry_database, {"__name__": "other"}, _ramp(1))
    start = DAY * DAY_MS
    found = Rollups(telemetry_database).select(
        EVERY, start + DAY_MS, start + DAY_MS + 3 * COARSE_MS, COARSE_MS
    )
    assert [labels["pod"] for labels in found.labels] == ["a", "b"]
    assert found.offsets.tolist() == [0, 3, 6]
    assert (found.end_ms[:3] - start - DAY_MS).tolist() == [COARSE_MS, 2 * COARSE_MS, 3 * COARSE_MS]
    assert found.counts.tolist() == [60] * 6
    assert found.increase.tolist() == [60.0] * 6  # also the first, which chains to the day before
    assert (found.minimum[0], found.maximum[0], found.last[0]) == (440.0, 499.0, 499.0)


def test_a_year_of_hours_adds_up(telemetry_database: TelemetryDatabase) -> None:
    _store(telemetry_database, {"__name__": "m"}, _ramp(60, 7 * MINUTE))
    found = Rollups(telemetry_database).select(EVERY, *ALL, COARSE_MS)
    samples = _ramp(60, 7 * MINUTE)
    resets = sum(before > after for (_, before), (_, after) in pairwise(samples))
    peaks = [before for (_, before), (_, after) in pairwise(samples) if after < before]
    assert resets > 80
    assert found.increase.sum() == samples[-1][1] - samples[0][1] + sum(peaks)
    assert found.counts.sum() == len(samples)


def test_a_later_version_replaces_an_earlier_one(telemetry_database: TelemetryDatabase) -> None:
    labels = {"__name__": "m"}
    _store(telemetry_database, labels, _ramp(1), version=2)
    _store(telemetry_database, labels, _ramp(1)[:60], version=1)
    _store(telemetry_database, labels, _ramp(1)[:120], version=3)
    found = Rollups(telemetry_database).select(EVERY, *ALL, COARSE_MS)
    assert found.counts.tolist() == [60, 60]


def test_only_kept_resolutions_and_sane_expressions(telemetry_database: TelemetryDatabase) -> None:
    rollups = Rollups(telemetry_database)
    with pytest.raises(InvalidInput, match="300 or 3600 s"):
        rollups.select(EVERY, *ALL, MINUTE)
    with pytest.raises(InvalidInput, match="regular expression"):
        rollups.select([Matcher("pod", "=~", "(")], *ALL)
    empty = rollups.select(EVERY, *ALL)
    assert (len(empty.labels), empty.offsets.tolist()) == (0, [0])
    assert len(rollups.samples(EVERY, *ALL, {}).labels) == 0


def test_rates_and_increases_over_synthetic_samples(telemetry_database: TelemetryDatabase) -> None:
    """PromQL finds two samples of a counter in each five minutes, and the true increase in each hour."""
    _store(telemetry_database, {"__name__": "m"}, _ramp(3))
    start = DAY * DAY_MS
    rollups = Rollups(telemetry_database)

    def select(matchers, start_ms, end_ms):  # type: ignore[no-untyped-def]
        return rollups.samples(matchers, start_ms, end_ms, {})

    hours = (start + 2 * COARSE_MS, start + 70 * COARSE_MS, COARSE_MS)
    found = evaluate(parse("rate(m[5m]) * 60"), *hours, select)
    assert found.present.all()
    assert np.median(found.values) == pytest.approx(1)
    exact = evaluate(
        parse("increase(m[1h]) * (3600 - 150) / 3600"), *hours, select
    )  # of 23 intervals of 150 s
    assert exact.values == pytest.approx(57.5, abs=2.6)
    assert evaluate(parse("m"), *hours, select).present.all()


def test_samples_end_where_those_of_a_series_begin(telemetry_database: TelemetryDatabase) -> None:
    for pod in ("a", "b"):
        _store(telemetry_database, {"__name__": "m", "pod": pod}, _ramp(3))
    start = DAY * DAY_MS
    until = {label_key({"__name__": "m", "pod": "b"}): (DAY + 1) * DAY_MS}
    found = Rollups(telemetry_database).samples(EVERY, start + FINE_MS, start + 10 * DAY_MS, until)
    ends = [found.timestamps_ms[found.offsets[place + 1] - 1] for place in range(2)]
    # What is kept begins at midnight sharp: the bucket that ends there makes way for it.
    assert ends == [start + 3 * DAY_MS, start + DAY_MS - FINE_MS // 2]
    assert found.timestamps_ms[0] > start + FINE_MS
    until = {label_key({"__name__": "m", "pod": pod}): start + 1 for pod in ("a", "b")}
    assert len(Rollups(telemetry_database).samples(EVERY, *ALL, until).labels) == 0


def test_what_ended_is_stale(telemetry_database: TelemetryDatabase) -> None:
    start = DAY * DAY_MS
    _store(
        telemetry_database,
        {"__name__": "m"},
        [(start + 1, 1.0), (start + MINUTE, 2.0), (start + 2 * MINUTE, STALE)],
    )
    found = Rollups(telemetry_database).samples(EVERY, *ALL, {})
    values = floats(found.values.tolist()).tolist()
    assert [is_stale(value) for value in values] == [False, False, True]
    assert found.timestamps_ms[-1] == end_of(start + MINUTE, FINE_MS)
    columns = Rollups(telemetry_database).select(EVERY, *ALL)
    assert isinstance(columns, RollupColumns)
    assert columns.ended.tolist() == [True]
    assert (columns.counts.tolist(), columns.last.tolist()) == ([2], [2.0])
    assert not math.isnan(columns.total[0])
