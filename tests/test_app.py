"""The wiring: what happens to an objective reaches the timeline, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from setpoint.app import App, wire
from setpoint.clock import VirtualClock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.resource import load_text
from setpoint.settings import Settings
from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry.disk import Eviction
from setpoint.telemetry.disk_log import record_eviction

NOW_MS = 1_799_496_000_000  # 2027-01-09 12:00:00 UTC
SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: paths}
spec:
  service: checkout
  indicator:
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {spec: {query: 'sum(requests_total{code="200"})'}}}
        total: {metricSource: {spec: {query: 'sum(requests_total{path=~"PATTERN"})'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  objectives: [{target: 0.99}]
"""


@pytest.fixture
def app(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase
) -> Iterator[App]:
    folder = DataFolder(tmp_path / "data")
    settings = Settings.model_validate({"data": tmp_path / "data"})
    clock = VirtualClock(NOW_MS)
    app = wire(settings, clock, folder, sqlite_database, telemetry_database, started_ms=NOW_MS)
    yield app
    app.ingest.close()
    folder.close()


def _apply(app: App, pattern: str) -> None:
    app.resources.apply(load_text([("slo.yaml", SLO.replace("PATTERN", pattern))], app.registry), "ada")


def _count(app: App, value: float) -> None:
    labels = {"__name__": "requests_total", "path": "/cart", "code": "200"}
    series = Series(fingerprint(labels), labels, "checkout", type="counter")
    times = np.array([app.clock.now_ms()], np.int64)
    batch = MetricBatch([series], np.zeros(1, np.int32), times, np.array([value]))
    app.ingest.submit(batch, 8).result(20)


def test_a_change_of_state_is_on_the_timeline_once(app: App) -> None:
    _apply(app, "/.*")
    for value in (0.0, 10.0):
        _count(app, value)
        assert isinstance(app.clock, VirtualClock)
        app.clock.advance(5)
        app.objectives.tick()
    states = [event.data["state"] for event in app.timeline.query(kinds=["objective.state"])]
    assert states == ["healthy", "no data"]


def test_a_reason_longer_than_a_summary_is_cut_and_kept_in_the_data(app: App) -> None:
    _apply(app, "x" * 2000 + "a++")  # only the evaluation finds that RE2 has no possessive repeat
    (event,) = app.timeline.query(kinds=["objective.state"])
    assert event.summary.startswith("paths is no data: the regular expression 'xxx")
    assert event.summary.endswith("…")
    assert event.data["reason"] == app.objectives.status("paths").reason
    assert "x" * 2000 in event.data["reason"]


def test_a_declared_retention_and_the_disk_budget_are_kept(app: App) -> None:
    rule = "{match: requests_total, keep: 1d}"
    text = f"apiVersion: setpoint/v1\nkind: Retention\nmetadata: {{name: thin}}\nspec: {{rules: [{rule}]}}\n"
    before_ms = app.housekeeping.kept_from_ms()
    app.resources.apply(load_text([("retention.yaml", text)], app.registry), "ada")
    assert app.housekeeping.kept_from_ms() > before_ms
    _count(app, 1.0)
    app.ingest.flush().result(20)
    assert isinstance(app.clock, VirtualClock)
    app.clock.advance(30 * 3600)
    app.housekeeping.tick()
    assert app.housekeeping.status.error is None
    compacted = app.housekeeping.status.compacted
    assert compacted is not None
    assert compacted.samples == 1
    app.clock.advance(24 * 3600)
    app.housekeeping.tick()
    retired = app.housekeeping.status.retired
    assert retired is not None
    assert retired.rows == 1


def test_a_day_that_made_room_is_on_the_timeline(app: App) -> None:
    eviction = Eviction("samples", NOW_MS // 86_400_000 * 86_400_000, 12_000_000, 7)
    record_eviction(app.timeline, eviction)
    (event,) = app.timeline.query(kinds=["telemetry.evicted"])
    assert event.summary == "The samples of 2027-01-09 were dropped to keep the disk budget (12.0 MB)"
    assert event.data["rows"] == 7
