"""v1alpha and v2alpha are read as v1, and a mistake in them is told at the line and place where it was written."""

from __future__ import annotations

from typing import Any

import pytest

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.model import Calendar
from setpoint.objective.resolve import no_groups, resolve
from setpoint.resource import Document, ResourceStore, canonical_yaml, load_text
from setpoint.timeline import Timeline

DAY_S = 86_400
V1ALPHA = """\
apiVersion: openslo/v1alpha
kind: SLO
metadata:
  name: library-answers
  displayName: The library answers
spec:
  service: library
  description: Lends books.
  budgetingMethod: Occurrences
  timeWindows:
    - unit: Day
      count: 28
      isRolling: true
  objectives:
    - displayName: most
      target: 0.99
      value: 1
      ratioMetrics:
        incremental: true
        good:
          source: prometheus
          queryType: promql
          query: sum(lends_total{code!~"5.."})
        total:
          source: prometheus
          queryType: promql
          query: sum(lends_total)
"""
V2ALPHA = """\
apiVersion: openslo.com/v2alpha
kind: SLO
metadata:
  name: library-answers
  labels: {team: lending}
spec:
  serviceRef: library
  sli:
    metadata:
      name: lends
    spec:
      ratioMetric:
        counter: true
        bad:
          dataSourceRef: mimir
          spec:
            query: sum(lends_total{code=~"5.."})
        total:
          dataSourceRef: mimir
          spec:
            query: sum(lends_total)
  timeWindow:
    - duration: 4w
      isRolling: true
  budgetingMethod: Timeslices
  objectives:
    - target: 0.99
      timeSliceTarget: 0.95
      timeSliceWindow: 5
"""


def _load(text: str) -> list[Document]:
    return load_text([("old.yaml", text)], default_registry())


def _refused(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        _load(text)
    return [str(problem) for problem in caught.value.problems]


def test_v1alpha_is_read() -> None:
    (document,) = _load(V1ALPHA)
    assert document.api_version == document.body["apiVersion"] == "openslo/v1"
    (objective,) = resolve([document], no_groups)
    assert (objective.name, objective.window_s, objective.target) == ("library-answers", 28 * DAY_S, 0.99)
    assert objective.good_query == 'sum(lends_total{code!~"5.."})'
    assert objective.is_counter
    assert objective.display_name == "The library answers"


def test_templates_of_sloth_name_the_counter() -> None:
    """Sloth's documents take the rate over a window that it fills in; here the counter itself is named."""
    text = V1ALPHA.replace("sum(lends_total)", 'sum(rate(lends_total{job="a)[b"}[{{.window}}]))')
    text = text.replace(
        'sum(lends_total{code!~"5.."})', 'sum( increase(lends_total{code!~"5.."}[{{ .window }}] ) )'
    )
    (objective,) = resolve(_load(text.replace("        incremental: true\n", "")), no_groups)
    assert objective.total_query == 'sum(lends_total{job="a)[b"})'
    assert objective.good_query == 'sum( lends_total{code!~"5.."} )'
    assert objective.is_counter
    (problem,) = _refused(V1ALPHA.replace("sum(lends_total)", "sum(rate(a[{{.window}}] offset 5m))"))
    assert "old.yaml:27: spec.objectives[0].ratioMetrics.total.query: '{{' begins a template" in problem


def test_a_calendar_and_a_threshold_of_v1alpha() -> None:
    head, _ = V1ALPHA.split("  objectives:\n")
    text = head.replace("count: 28", "count: 1").replace("unit: Day", "unit: Quarter").replace(
        "isRolling: true", "calendar: {startTime: '2026-01-01 00:00:00', timeZone: Europe/Berlin}"
    ) + (
        "  indicator:\n    thresholdMetric: {source: Prometheus, queryType: query, query: max(lend_seconds)}\n"
        "  objectives:\n    - {displayName: quick, target: 0.9, op: lte, value: 0.5}\n"
    )
    (objective,) = resolve(_load(text), no_groups)
    assert objective.calendar == Calendar("2026-01-01T00:00:00", "Europe/Berlin", 1, "Q")
    assert (objective.kind, objective.op, objective.value) == ("threshold", "lte", 0.5)
    assert objective.total_query == "max(lend_seconds)"


def test_several_targets_of_v1alpha_over_one_ratio() -> None:
    entry = V1ALPHA[V1ALPHA.index("    - displayName: most") :]
    text = V1ALPHA + entry.replace("most", "nearly all").replace("0.99", "0.999")
    assert [(one.name, one.target) for one in resolve(_load(text), no_groups)] == [
        ("library-answers.most", 0.99),
        ("library-answers.nearly-all", 0.999),
    ]
    (problem,) = _refused(V1ALPHA + entry.replace("most", "all").replace("lends", "returns"))
    assert "old.yaml:31: spec.objectives[1].ratioMetrics: objectives that count different things" in problem


def test_slices_of_v1alpha_are_minutes() -> None:
    text = V1ALPHA.replace("Occurrences", "Timeslices").replace("value: 1", "timeSliceTarget: 0.9")
    (objective,) = resolve(_load(text), no_groups)
    assert (objective.method, objective.slice_s, objective.slice_target) == ("Timeslices", 60, 0.9)


def test_v2alpha_is_read() -> None:
    (document,) = _load(V2ALPHA)
    assert document.api_version == "openslo/v1"
    (objective,) = resolve([document], no_groups)
    assert (objective.service, objective.source, objective.slice_s) == ("library", "mimir", 300)
    assert objective.bad_query == 'sum(lends_total{code=~"5.."})'


def test_every_kind_of_v2alpha() -> None:
    text = """\
apiVersion: openslo.com/v2alpha
kind: SLI
metadata: {name: lends}
spec:
  thresholdMetric: {dataSourceSpec: {type: prometheus}, spec: {query: max(lend_seconds)}}
---
{apiVersion: openslo.com/v2alpha, kind: Service, metadata: {name: library}, spec: {}}
---
apiVersion: openslo.com/v2alpha
kind: DataSource
metadata: {name: mimir}
spec: {type: Prometheus, connectionDetails: {url: "http://mimir:8080"}}
---
apiVersion: openslo.com/v2alpha
kind: AlertCondition
metadata: {name: fast}
spec: {severity: page, condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}}
---
{apiVersion: openslo.com/v2alpha, kind: AlertNotificationTarget, metadata: {name: mail}, spec: {target: email}}
---
apiVersion: openslo.com/v2alpha
kind: AlertPolicy
metadata: {name: wake}
spec: {alertWhenBreaching: true, conditions: [{conditionRef: fast}], notificationTargets: [{targetRef: mail}]}
"""
    assert {document.api_version for document in _load(text)} == {"openslo/v1"}
    assert len(_load(text)) == 6


@pytest.mark.parametrize(
    ("base", "old", "new", "problem"),
    [
        (V1ALPHA, "source: prometheus\n          queryType: promql\n          query: sum(lends_total)",
         "source: datadog\n          queryType: query\n          query: sum:lends",
         "old.yaml:25: spec.objectives[0].ratioMetrics.total.source: "),
        (V1ALPHA, "query: sum(lends_total)", "query: sum(", "old.yaml:27: spec.objectives[0].ratioMetrics.total.query"),
        (V1ALPHA, "unit: Day", "unit: Fortnight", "old.yaml:11: spec.timeWindows[0].unit: is no unit"),
        (V1ALPHA, "count: 28", "count: many", "old.yaml:12: spec.timeWindows[0].count: is no whole number"),
        (V1ALPHA, "isRolling: true", "isRolling: false", "old.yaml:13: spec.timeWindows[0].isRolling: a window"),
        (V1ALPHA, "target: 0.99", "target: 1", "old.yaml:16: spec.objectives[0].target: a target of 100 %"),
        (V1ALPHA, "value: 1", "op: gt", "old.yaml:17: spec.objectives[0].op: belongs to a thresholdMetric"),
        (V1ALPHA, "queryType: promql\n          query: sum(lends_total)", "queryType: sql\n          query: x",
         "old.yaml:26: spec.objectives[0].ratioMetrics.total.queryType: is no language"),
        (V1ALPHA, "kind: SLO", "kind: SLI", "old.yaml:1: apiVersion: 'openslo/v1alpha' is not known for the kind SLI"),
        (V2ALPHA, "query: sum(lends_total)", "query: sum(", "old.yaml:21: spec.sli.spec.ratioMetric.total.spec.query"),
        (V2ALPHA, "duration: 4w", "duration: 1M", "old.yaml:23: spec.timeWindow[0].duration: v2alpha has no months"),
        (V2ALPHA, "- target: 0.99", "- labels: {a: b}\n      target: 0.99",
         "old.yaml:27: spec.objectives[0].labels: an objective has no labels"),
        (V2ALPHA, "dataSourceRef: mimir\n          spec:\n            query: sum(lends_total)",
         "dataSourceSpec: {type: prometheus, connectionDetails: {url: http://a}}\n          spec: {query: a}",
         "old.yaml:19: spec.sli.spec.ratioMetric.total.dataSourceSpec.connectionDetails: a data source inside"),
        (V2ALPHA, "serviceRef: library", "serviceRef: library\n  service: other",
         "old.yaml:8: spec.service: 'service' is written a second time"),
        (V2ALPHA, "serviceRef: library", "serviceRef: The Library", "old.yaml:7: spec.serviceRef: 'The Library' is no"),
    ],
)  # fmt: skip
def test_mistakes_are_told_where_they_were_written(base: str, old: str, new: str, problem: str) -> None:
    assert base.count(old) == 1, f"'{old}' must stand once"
    problems = _refused(base.replace(old, new))
    assert any(problem in one for one in problems), problems


@pytest.mark.parametrize(
    "spec", [None, [], 5, "text", {}, {"objectives": 5, "timeWindows": {}, "indicator": []}]
)
@pytest.mark.parametrize("version", ["openslo/v1alpha", "openslo.com/v2alpha"])
def test_nonsense_is_refused(version: str, spec: Any) -> None:
    assert _refused(f"apiVersion: {version}\nkind: SLO\nmetadata: {{name: a}}\nspec: {spec!r}\n")


def test_what_is_stored_is_v1_and_applied_again_unchanged(sqlite_database: StateDatabase) -> None:
    registry, clock = default_registry(), VirtualClock(1_800_000_000_000)
    store = ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, registry)
    assert [change.action for change in store.apply(_load(V1ALPHA), author="tester")] == ["created"]
    stored = store.get("SLO", "library-answers")
    assert stored.api_version == stored.body["apiVersion"] == "openslo/v1"
    assert [change.action for change in store.apply(_load(V1ALPHA), author="tester")] == ["unchanged"]
    again = _load(canonical_yaml(stored.body))
    assert [change.action for change in store.apply(again, author="tester")] == ["unchanged"]
    assert resolve(store.documents(), no_groups) == resolve(_load(V1ALPHA), no_groups)
