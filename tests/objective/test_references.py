"""What SLOs, SLIs and policies say of each other: what is missing or does not fit is refused, at every apply."""

from __future__ import annotations

import pytest

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.resource import ResourceStore
from setpoint.timeline import Timeline
from tests.objective.openslo import RATIO, TARGET, WINDOW, documents, slo

SERVICE = slo("{}\n", name="shop", kind="Service").replace("spec:\n  {}\n", "spec: {}\n")
SLI = slo("\n".join(line[4:] for line in RATIO.splitlines()[2:]), name="answers", kind="SLI")
THRESHOLD = slo("thresholdMetric: {metricSource: {spec: {query: max(s)}}}\n", name="answers", kind="SLI")
FAST = slo(
    "severity: page\ncondition: {op: gt, threshold: 14.4, lookbackWindow: 1h}\n",
    name="fast",
    kind="AlertCondition",
)
PAGER = slo("target: pagerduty\n", name="pager", kind="AlertNotificationTarget")
WAKE = slo(
    "conditions: [{conditionRef: fast}]\nnotificationTargets: [{targetRef: pager}]\n",
    name="wake",
    kind="AlertPolicy",
    metadata="annotations: {runbook_url: 'https://runbooks.example.com/wake'}",
)
WHOLE = slo("indicatorRef: answers\n" + WINDOW + TARGET + "alertPolicies: [{alertPolicyRef: wake}]\n")


@pytest.fixture
def store(sqlite_database: StateDatabase) -> ResourceStore:
    clock = VirtualClock(1_800_000_000_000)
    return ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, default_registry())


def _refused(store: ResourceStore, *texts: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        store.apply(documents(*texts), author="tester")
    return [str(problem) for problem in caught.value.problems]


def _warnings(store: ResourceStore, *texts: str) -> list[str]:
    changes = store.apply(documents(*texts), author="tester")
    return [warning for change in changes for warning in change.warnings]


def test_what_is_missing_is_refused_with_its_line(store: ResourceStore) -> None:
    assert _refused(store, WHOLE, WAKE) == [
        "slo.yaml:7: spec.indicatorRef: there is no SLI 'answers'; apply one of that name, with the SLO or before it",
        "slo.yaml:18: spec.conditions[0].conditionRef: there is no AlertCondition 'fast'; apply one of that name, with "
        "the AlertPolicy or before it",
        "slo.yaml:19: spec.notificationTargets[0].targetRef: there is no AlertNotificationTarget 'pager'; apply one of "
        "that name, with the AlertPolicy or before it",
    ]
    (problem,) = _refused(store, WHOLE, SLI)
    assert "slo.yaml:10: spec.alertPolicies[0].alertPolicyRef: there is no AlertPolicy 'wake'" in problem
    assert not _warnings(store, SERVICE, WHOLE, SLI, WAKE, FAST, PAGER)


@pytest.mark.parametrize(
    ("kind", "name", "needs"),
    [
        ("SLI", "answers", "SLO 'shop' needs it: there is no SLI 'answers'"),
        ("AlertPolicy", "wake", "SLO 'shop' needs it: there is no AlertPolicy 'wake'"),
        ("AlertCondition", "fast", "AlertPolicy 'wake' needs it: there is no AlertCondition 'fast'"),
        (
            "AlertNotificationTarget",
            "pager",
            "AlertPolicy 'wake' needs it: there is no AlertNotificationTarget",
        ),
    ],
)
def test_nothing_that_is_needed_can_be_deleted(
    store: ResourceStore, kind: str, name: str, needs: str
) -> None:
    store.apply(documents(SERVICE, WHOLE, SLI, WAKE, FAST, PAGER), author="tester")
    with pytest.raises(InvalidInput, match=needs):
        store.delete(kind, name, author="tester")
    assert store.get(kind, name).revision == 1


def test_an_indicator_cannot_become_another_kind_of_it(store: ResourceStore) -> None:
    store.apply(documents(SERVICE, WHOLE, SLI, WAKE, FAST, PAGER), author="tester")
    (problem,) = _refused(store, THRESHOLD)
    assert "SLO 'shop' needs it: op and value are missing; the indicator is a thresholdMetric" in problem
    needed = "objectives: [{target: 0.9, op: lt, value: 1}]\n"
    (problem, _) = _refused(store, slo("indicatorRef: answers\n" + needed))
    assert "slo.yaml:8: spec.objectives[0].op: belongs to a thresholdMetric" in problem
    assert "(the SLI 'answers')" in problem


def test_labels_of_groups_fit_the_indicators_that_are_referred_to(store: ResourceStore) -> None:
    """PromQL and spans have other labels; the second part of the composite has the wrong ones."""
    spans = slo(
        "ratioMetric:\n"
        "  bad: {metricSource: {type: spans, spec: {service: shop, status: error}}}\n"
        "  total: {metricSource: {type: spans, spec: {service: shop}}}\n",
        name="spans",
        kind="SLI",
    )
    parts = "objectives: [{target: 0.9, indicatorRef: spans}, {target: 0.9, indicatorRef: answers}]\n"
    whole = slo(WINDOW + parts + "groupBy: [service, http.route]\n")
    (problem,) = _refused(store, whole, SERVICE, SLI, spans)
    assert problem.startswith("slo.yaml:9: spec.groupBy[1]: 'http.route' is no label of a series; ")
    assert problem.endswith("(the SLI 'answers')")
    assert not _warnings(store, SERVICE, SLI, spans, whole.replace("http.route", "region"))


def test_data_sources(store: ResourceStore) -> None:
    text = SLI.replace(
        "{spec: {query: sum(requests_total)", "{metricSourceRef: far, spec: {query: sum(requests_total)"
    )
    text = text.replace(
        "{metricSource: {spec: {query: 'sum", "{metricSource: {metricSourceRef: far, spec: {query: 'sum"
    )
    (problem,) = _refused(store, text)
    assert "spec.ratioMetric.total.metricSource.metricSourceRef: there is no DataSource 'far'" in problem
    source = slo(
        "type: Prometheus\nconnectionDetails: {url: 'http://far:9090'}\n", name="far", kind="DataSource"
    )
    store.apply(documents(text, source), author="tester")
    with pytest.raises(InvalidInput, match="SLI 'answers' needs it: there is no DataSource 'far'"):
        store.delete("DataSource", "far", author="tester")


def test_a_condition_that_looks_back_further_than_the_window(store: ResourceStore) -> None:
    slow = FAST.replace("lookbackWindow: 1h", "lookbackWindow: 3d")
    day = WHOLE.replace("30d", "1d")
    (problem,) = _refused(store, day, SLI, WAKE, slow, PAGER)
    assert (
        "slo.yaml:10: spec.alertPolicies[0].alertPolicyRef: a condition looks back 3 d, and the window has 1d"
        in problem
    )
    store.apply(documents(day, SLI, WAKE, FAST, PAGER), author="tester")
    (problem,) = _refused(store, slow)
    assert "SLO 'shop' needs it: a condition looks back 3 d" in problem


def test_conditions_of_two_severities(store: ResourceStore) -> None:
    both = WAKE.replace("[{conditionRef: fast}]", "[{conditionRef: fast}, {conditionRef: slow}]")
    slow = FAST.replace("name: fast", "name: slow")
    assert store.apply(documents(both, FAST, slow, PAGER), author="tester")
    (problem,) = _refused(store, both, FAST, slow.replace("page", "ticket"), PAGER)
    assert (
        "spec.conditions: the conditions of a policy hold together, and these are page and ticket" in problem
    )


def test_what_looks_wrong_is_warned_of(store: ResourceStore) -> None:
    condition = "{severity: page, condition: {op: lte, threshold: 2, lookbackWindow: 1h}}"
    policy = f"alertPolicies: [{{spec: {{conditions: [{{spec: {condition}}}]}}}}]\n"
    warnings = _warnings(store, slo(RATIO + TARGET + policy))
    assert len(warnings) == 3
    assert "slo.yaml:6: spec.service: there is no Service 'shop'" in warnings[0]
    assert "spec: timeWindow is left out, and 30 days that roll are taken" in warnings[1]
    assert "conditions[0].spec.condition.op: 'lte' holds while the budget goes slowly" in warnings[2]
    (warning,) = _warnings(store, FAST.replace("op: gt", "op: lt"))
    assert "slo.yaml:7: spec.condition.op: 'lt' holds while" in warning
    left = "{severity: ticket, condition: {kind: remainingBudget, op: gt, threshold: 0.5}}"
    (warning,) = _warnings(store, slo(f"conditions: [{{spec: {left}}}]\n", name="odd", kind="AlertPolicy"))
    assert "'gt' holds while much of the budget is left" in warning
