"""The whole way of a policy: samples, a budget that is gone, a freeze, a webhook, the gate; a restart in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint.database import StateDatabase, TelemetryDatabase
from setpoint.objective.policy import Request
from setpoint.resource import load_text
from tests.alert.receiver import Receiver
from tests.test_app_alerts import DOCUMENTS, Server

POLICY = """
---
apiVersion: setpoint/v1
kind: ErrorBudgetPolicy
metadata: {name: shop}
spec:
  appliesTo: {services: [shop]}
  rules:
    - name: gone
      when: [{remainingBudget: {atMost: 0%}}]
      until: [{remainingBudget: {atLeast: 50%}}]
      releases: fixesOnly
      notify: [hook]
    - name: burning
      when: [{burnRate: {above: 10, over: 5m}}]
      until: [{burnRate: {below: 1, over: 5m}}]
      releases: freeze
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


class Shop(Server):
    """A server whose policies are looked at after every stretch of time."""

    def after(self, seconds: float, good: float, bad: float) -> None:
        super().after(seconds, good, bad)
        self.app.policies.step()
        self.deliver()

    def decision(self, change: str = "feature") -> str:
        found: str = self.app.gate.ask(Request("shop", change, version="1.1.0"), "ci").decision["decision"]
        return found

    def told(self) -> list[str]:
        kinds = [f"policy.{kind}" for kind in ("freeze", "fixes_only", "notified", "lifted")]
        return [event.kind for event in reversed(self.app.timeline.query(kinds=kinds))]


def test_a_budget_that_is_gone_holds_releases_until_enough_is_back(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase, receiver: Receiver
) -> None:
    server = Shop(tmp_path / "data", sqlite_database, telemetry_database)
    text = (
        DOCUMENTS.replace("URL", receiver.url).split("  alertPolicies:")[0] + "  alertPolicies: []" + POLICY
    )
    server.app.resources.apply(load_text([("slo.yaml", text)], server.app.registry), "ada")
    assert server.decision() == "don't know"  # nothing has come yet
    for _ in range(3):
        server.after(15, 100, 0)
    assert (server.decision(), server.told()) == ("allow", [])

    server.after(15, 50, 50)  # a bad version
    assert sorted(server.told()) == ["policy.fixes_only", "policy.freeze", "policy.notified"]
    assert (server.decision(), server.decision("fix")) == ("hold", "hold")
    (sent,) = receiver.received
    (alert,) = sent.payload["alerts"]
    assert (alert["status"], alert["labels"]["alertname"], alert["labels"]["rule"]) == (
        "firing",
        "shop",
        "gone",
    )
    assert alert["values"]["budget_left"] < 0
    assert "of the budget is left (at most 0 %)" in alert["annotations"]["summary"]

    server.stop()
    server.clock.advance(20)
    server.start()
    assert server.decision() == "hold"
    server.after(15, 100, 0)
    assert len(server.told()) == 3  # nothing is told twice
    for _ in range(25):
        server.after(15, 100, 0)
    assert server.told()[3:] == ["policy.lifted"]  # it no longer burns, and the budget is still gone
    assert (server.decision(), server.decision("fix")) == ("hold", "allow")
    server.after(15, 20_000, 0)
    assert server.told()[4:] == ["policy.lifted"]
    assert server.decision() == "allow"
    assert [one.payload["status"] for one in receiver.received] == ["firing", "resolved"]
    held = [event for event in server.app.timeline.query(kinds=["gate.decided"]) if "hold" in event.summary]
    assert all(server.app.gate.replay(event.id).as_json()["same"] for event in held)
    server.stop()
