"""The whole way of an alert: samples, a burn, the timeline, a webhook; and a restart in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from setpoint.alert.notify.receivers import target_statuses
from setpoint.app import App, wire
from setpoint.clock import VirtualClock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.resource import load_text
from setpoint.settings import Settings
from setpoint.telemetry import MetricBatch, Series, fingerprint
from tests.alert.receiver import Receiver

NOW_MS = 1_799_496_000_000
DOCUMENTS = """
apiVersion: openslo/v1
kind: Service
metadata: {name: shop}
spec: {}
---
apiVersion: openslo/v1
kind: AlertNotificationTarget
metadata: {name: hook}
spec: {target: webhook, url: 'URL', secretFile: hook.key}
---
apiVersion: openslo/v1
kind: SLO
metadata: {name: checkout}
spec:
  service: shop
  indicator:
    metadata: {name: ok}
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {type: Prometheus, spec: {query: 'requests_total{code="500"}'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'sum(requests_total)'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
  alertPolicies:
    - kind: AlertPolicy
      metadata: {name: fast, annotations: {runbook_url: 'https://runbooks.example.com/checkout'}}
      spec:
        conditions:
          - kind: AlertCondition
            metadata: {name: now}
            spec:
              severity: page
              condition: {kind: burnrate, op: gt, threshold: 10, lookbackWindow: 5m}
        notificationTargets: [{targetRef: hook}]
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Server:
    """An app on a clock of its own, which can be stopped and started again."""

    def __init__(self, path: Path, state: StateDatabase, telemetry: TelemetryDatabase) -> None:
        self._path, self._state, self._telemetry = path, state, telemetry
        self.clock = VirtualClock(NOW_MS)
        self.good = self.bad = 0.0
        (path / "secrets").mkdir(parents=True)
        (path / "secrets" / "hook.key").write_text("s3cret\n")
        self.start()

    def start(self) -> None:
        self._folder = DataFolder(self._path)
        settings = Settings.model_validate({"data": self._path})
        self.app: App = wire(
            settings,
            self.clock,
            self._folder,
            self._state,
            self._telemetry,
            started_ms=self.clock.now_ms(),
        )
        self.deliver()

    def stop(self) -> None:
        """As far as a fixture's databases can be left open."""
        self.app.objectives.close()
        self.app.alerts.flush()
        self.app.outbox.close()
        self.app.ingest.close()
        self._folder.close()

    def after(self, seconds: float, good: float, bad: float) -> None:
        """Requests of the last `seconds`, judged and told."""
        self.clock.advance(seconds)
        self.good += good
        self.bad += bad
        labels = [{"__name__": "requests_total", "code": code} for code in ("200", "500")]
        series = [Series(fingerprint(one), one, "shop", type="counter") for one in labels]
        batch = MetricBatch(
            series,
            np.arange(2, dtype=np.int32),
            np.full(2, self.clock.now_ms(), np.int64),
            np.array([self.good, self.bad]),
        )
        self.app.ingest.submit(batch, 64).result(50)
        self.app.objectives.tick()
        assert self.app.alerts.flush()
        self.deliver()

    def deliver(self) -> None:
        """Hand over, dispatch and send what is due."""
        self.app.notices.step()
        self.app.dispatcher.advance(self.clock.now_ms())
        self.app.outbox.drain()

    @property
    def events(self) -> list[str]:
        kinds = ["alert.fired", "alert.resolved"]
        return [event.kind for event in reversed(self.app.timeline.query(kinds=kinds))]


def test_from_a_sample_to_a_webhook_over_a_restart(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase, receiver: Receiver
) -> None:
    server = Server(tmp_path / "data", sqlite_database, telemetry_database)
    text = DOCUMENTS.replace("URL", receiver.url)
    server.app.resources.apply(load_text([("slo.yaml", text)], server.app.registry), "ada")
    for _ in range(3):
        server.after(15, 100, 0)
    server.after(15, 50, 50)
    assert server.events == ["alert.fired"]
    (sent,) = receiver.received
    (alert,) = sent.payload["alerts"]
    assert (alert["labels"]["alertname"], alert["labels"]["service"]) == ("fast", "shop")
    assert alert["values"]["bad_5m"] == 50
    assert alert["annotations"]["runbook_url"] == "https://runbooks.example.com/checkout"
    assert "v1=" in sent.headers["X-Setpoint-Signature"]
    (status,) = server.app.objectives.status("checkout").alerts
    assert (status.policy, status.state, status.since_ms) == ("fast", "firing", server.clock.now_ms())
    fired_ms = status.since_ms

    server.stop()
    server.clock.advance(20)
    server.start()
    server.after(15, 100, 0)
    (status,) = server.app.objectives.status("checkout").alerts
    assert (status.state, status.since_ms) == ("firing", fired_ms)
    assert server.events == ["alert.fired"]
    for _ in range(40):
        server.after(15, 100, 0)
    assert server.events == ["alert.fired", "alert.resolved"]
    assert [one.payload["status"] for one in receiver.received] == ["firing", "resolved"]
    server.stop()


def test_a_target_is_followed_before_its_objectives_are_there(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase, receiver: Receiver
) -> None:
    """An SLO for each group has no objective before samples come."""
    server = Server(tmp_path / "data", sqlite_database, telemetry_database)
    text = DOCUMENTS.replace("URL", receiver.url)
    text = text.replace("  service: shop", "  service: shop\n  groupBy: [region]")
    server.app.resources.apply(load_text([("slo.yaml", text)], server.app.registry), "ada")
    assert server.app.objectives.overview().names == ("checkout",)  # it stands for them until then
    server.deliver()
    assert [status.name for status in target_statuses(server.app.outbox)] == ["hook"]
    server.stop()
    server.start()
    assert [status.name for status in target_statuses(server.app.outbox)] == ["hook"]
    server.stop()
