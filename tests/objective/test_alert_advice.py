"""A policy that cannot fire is warned of when it, or an SLO that refers to it, is applied."""

from __future__ import annotations

import pytest

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.resource import ResourceStore, load_text
from setpoint.timeline import Timeline

POLICY = """
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast, annotations: {runbook_url: "https://runbooks.example.com/fast"}}
spec:
  conditions:
    - kind: AlertCondition
      metadata: {name: hour}
      spec:
        severity: page
        condition: {kind: burnrate, op: gt, threshold: THRESHOLD, lookbackWindow: 1h, alertAfter: 0m}
"""
SLO = """
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
        good: {metricSource: {type: Prometheus, spec: {query: 'good_total'}}}
        total: {metricSource: {type: Prometheus, spec: {query: 'all_total'}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.9}]
  alertPolicies: [{alertPolicyRef: fast}]
"""
SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: shop}\nspec: {}\n"
TOLD = "fast: a burn of 14.4 is never exceeded: with a target of 90 % an outage of everything burns 10×"


@pytest.fixture
def store(sqlite_database: StateDatabase) -> ResourceStore:
    clock = VirtualClock(1_800_000_000_000)
    return ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, default_registry())


def _apply(store: ResourceStore, *texts: str) -> list[str]:
    documents = load_text([(f"{number}.yaml", text) for number, text in enumerate(texts)], default_registry())
    return [told for change in store.apply(documents, author="ada") for told in change.warnings]


def test_an_slo_whose_policy_cannot_fire(store: ResourceStore) -> None:
    told = _apply(store, SERVICE, POLICY.replace("THRESHOLD", "14.4"), SLO)
    assert any(TOLD in one and one.startswith("2.yaml:") for one in told)
    assert any(TOLD in one and one.startswith("1.yaml:") for one in told)


def test_a_policy_that_can_no_longer_fire(store: ResourceStore) -> None:
    assert _apply(store, SERVICE, POLICY.replace("THRESHOLD", "6"), SLO) == []
    (told,) = _apply(store, POLICY.replace("THRESHOLD", "14.4"))
    assert f"of the SLO 'checkout': {TOLD}" in told


def test_each_fault_once_for_a_group(store: ResourceStore) -> None:
    grouped = SLO.replace("  service: shop", "  service: shop\n  groupBy: [region]")
    grouped = grouped.replace("good_total", "sum by (region) (good_total)")
    grouped = grouped.replace("all_total", "sum by (region) (all_total)")
    told = _apply(store, SERVICE, POLICY.replace("THRESHOLD", "14.4"), grouped)
    assert len([one for one in told if one.startswith("2.yaml:") and TOLD in one]) == 1
