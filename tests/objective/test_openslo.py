"""OpenSLO v1 as its specification describes it: what it allows is kept, what it forbids is refused with the line and
what to write instead. The shapes are those of the README and of the go-sdk's examples, in words of our own.
"""

from __future__ import annotations

import pytest

from setpoint.errors import InvalidInput
from tests.objective.openslo import RATIO, TARGET, WINDOW, documents, objectives, slo

POLICY = "alertPolicies: [{spec: {conditions: [{spec: {severity: page, condition: {op: gt, threshold: 2, "
POLICY += "lookbackWindow: 1h}}}]}}]\n"
POLICY_DOCUMENT = slo(
    "alertWhenBreaching: true\nconditions:\n  - conditionRef: fast\nnotificationTargets:\n  - targetRef: mail\n",
    name="wake",
    kind="AlertPolicy",
)
CONDITION = slo(
    "severity: page\ncondition:\n  kind: burnrate\n  op: gt\n  threshold: 2\n  lookbackWindow: 1h\n  alertAfter: 5m\n",
    name="fast",
    kind="AlertCondition",
)
HOOK = slo("target: webhook\nurl: https://hooks.example.com/a\n", name="hook", kind="AlertNotificationTarget")
SPANS = """\
indicator:
  spec:
    ratioMetric:
      good: {metricSource: {type: spans, spec: {service: shop, maxDurationMs: 300}}}
      total: {metricSource: {type: spans, spec: {service: shop}}}
"""
SQL = """\
indicator:
  spec:
    thresholdMetric:
      metricSource:
        type: sql
        spec:
          query: "SELECT m AS minute, region, count(*) AS value FROM t WHERE m IN ({from_s:Int64}, {to_s:Int64})"
"""
OVER = "objectives: [{op: gt, value: 1, target: 0.9}]\n"
THRESHOLD = "indicator: {spec: {thresholdMetric: {metricSource: {spec: {query: max(latency_seconds)}}}}}\n"
RAW = "indicator: {spec: {ratioMetric: {rawType: success, raw: {metricSource: {spec: {query: avg(up)}}}}}}\n"
SLICES = (
    "budgetingMethod: Timeslices\nobjectives: [{target: 0.9, timeSliceTarget: 0.95, timeSliceWindow: 1m}]\n"
)
CALENDAR = "timeWindow: [{duration: 1M, calendar: {startTime: 2026-01-01 00:00:00, timeZone: UTC}}]\n"
COMPOSITE = "objectives: [{target: 0.9, indicatorRef: a}, {target: 0.8, indicatorRef: b}]\n"


def _refused(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        documents(text)
    return [str(problem) for problem in caught.value.problems]


def test_labels_and_annotations_as_the_specification_has_them() -> None:
    metadata = """\
displayName: The shop
labels:
  organization: acme
  team: [identity, rbac]
  serviceTier: [tier-1]
annotations:
  openslo.com/key1: value1
  fooimplementation.com/key2: value2
  plain: "3"
"""
    (objective,) = objectives(slo(metadata=metadata))
    assert objective.labels == {
        "organization": ("acme",),
        "team": ("identity", "rbac"),
        "serviceTier": ("tier-1",),
    }
    for wrong in ("-a: b", "'a b': c", f"{'k' * 64}: v", "a/b: c"):
        (problem,) = _refused(slo(metadata=f"labels:\n  {wrong}\n"))
        assert "metadata.labels: '" in problem
        assert "is no key of a label" in problem
    for wrong in ("a/b/c: d", "A.b/c: d", f"{'a' * 64}.b/c: d", "a/: d"):
        (problem,) = _refused(slo(metadata=f"annotations:\n  {wrong}\n"))
        assert "metadata.annotations: '" in problem


def test_the_window_and_the_method_may_be_left_out_as_in_the_readme() -> None:
    (objective,) = objectives(slo(RATIO + "objectives: [{displayName: Errors, target: 0.98}]\n"))
    assert (objective.method, objective.window_s, objective.is_rolling) == ("Occurrences", 30 * 86_400, True)


def test_a_policy_whose_condition_and_target_are_written_in_place() -> None:
    text = """\
description: Pages who is on call.
alertWhenBreaching: true
alertWhenResolved: false
conditions:
  - kind: AlertCondition
    metadata: {name: cpu, displayName: CPU}
    spec:
      description: Burns at more than twice the rate.
      severity: page
      condition: {kind: burnrate, op: gt, threshold: 2, lookbackWindow: 1h, alertAfter: 5m}
notificationTargets:
  - kind: AlertNotificationTarget
    metadata: {name: mail}
    spec: {target: email, description: Who is on call.}
"""
    assert documents(slo(text, name="wake", kind="AlertPolicy"))


@pytest.mark.parametrize(
    ("text", "old", "new", "problem"),
    [
        # indicators
        (slo(), "counter: true", "counter: maybe", "slo.yaml:10: spec.indicator.spec.ratioMetric.counter: expected"),
        (slo(), "        counter: true\n", "", "slo.yaml:9: spec.indicator.spec.ratioMetric: counter is missing"),
        (slo(), "bad:", "good:", None),
        (slo(), "      total:", "      raw: {metricSource: {spec: {query: a}}}\n      total:", "bad and raw exclude"),
        (slo(), "      total:", "      rawType: success\n      total:", "rawType: belongs to raw; leave it out"),
        (slo(), "      total:", "      other:", "ratioMetric.other: the field 'other' is not known"),
        (slo(RAW + TARGET), "rawType: success, ", "", "ratioMetric: rawType is missing; write success"),
        (slo(RAW + TARGET), "success", "good", "rawType: the text \"good\" is not known; write success or failure"),
        (slo(RAW + TARGET), "query: avg(up)", "query: 5", "query"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{type: spans, spec: {service: a}}", "raw.metricSource.type"),
        (slo(RAW + TARGET), "target: 0.999", "target: 0.999, op: lt", "objectives[0].op: belongs to a thresholdMetri"),
        (slo(RATIO + TARGET), "target: 0.999", "target: 0.999, value: 1", "objectives[0].value: belongs to a thresh"),
        (slo(THRESHOLD + TARGET), "{target", "{op: lt, target", "objectives[0]: value is missing; the indicator is a"),
        (slo(THRESHOLD + TARGET), "{target", "{op: le, value: 1, target", "objectives[0].op: the text \"le\" is not "),
        (slo(THRESHOLD + TARGET), "{spec: {query: max(latency_seconds)}}", "{type: spans, spec: {service: a}}",
         "spans are counted; write a ratioMetric"),
        (slo(THRESHOLD + TARGET), "thresholdMetric", "ratioMetric: {}, thresholdMetric", "total is missing"),
        (slo(TARGET), "objectives", "objectives", "spec: says not what is counted; write an indicator, or"),
        # sources
        (slo(SPANS + TARGET), "maxDurationMs: 300", "maxDurationMs: 300, query: a", "good.metricSource.spec.query: s"),
        (slo(SPANS + TARGET), "maxDurationMs: 300", "maxDurationMs: fast", "spec.maxDurationMs: expected a number"),
        (slo(SPANS + TARGET), "maxDurationMs: 300", "maxDurationMs: 3, minDurationMs: 4", "spec.minDurationMs: no sp"),
        (slo(SPANS + TARGET), "{service: shop, maxDurationMs: 300}", "{operation: a}", "spec: names no service"),
        (slo(SPANS + TARGET), "maxDurationMs: 300", "kind: [server, serving]", "spec.kind[1]: the text \"serving\""),
        (slo(SPANS + TARGET), "maxDurationMs: 300", "status: fine", "is not known; write unset or ok or error"),
        (slo(SPANS + TARGET), "good:", "counter: true\n        good:", "counter: spans counts events, it rea"),
        (slo(SPANS + TARGET), "good: {metricSource: {type: spans, spec: {service: shop, maxDurationMs: 300}}}",
         "good: {metricSource: {type: sql, spec: {query: 'SELECT {from_s:Int64} {to_s:Int64}'}}}",
         "good.metricSource.type: total is of type spans; write the same type for both"),
        (slo(SPANS + TARGET), "{service: shop}}}", "{service: shop}, metricSourceRef: far}}", "total.metricSource.me"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{spec: {service: a}}", "spec.service: belongs to type: span"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{spec: {}}", "spec: is without a query; add 'query: …'"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{type: sql, spec: {query: DROP TABLE a}}",
         "query: the SQL is no SELECT"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{type: sql, spec: {query: 'SELECT 1'}}", "the SQL does n"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{type: sql, spec: {query: 'SELECT 1; SELECT 2'}}", "holds a"),
        (slo(RAW + TARGET), "{spec: {query: avg(up)}}", "{type: Datadog, spec: {query: a}}", "write Prometheus or sq"),
        (slo(RAW + TARGET), "query: avg(up)", "query: 'rate(a[{{.window}}])'", "'{{' begins a template"),
        # windows
        (slo(RATIO + CALENDAR + TARGET), "2026-01-01 00:00:00", "2026-02-30 00:00:00", "startTime: '2026-02-30 00:00"),
        (slo(RATIO + CALENDAR + TARGET), "2026-01-01 00:00:00", "2026-01-01", "startTime: '2026-01-01' is no date an"),
        (slo(RATIO + CALENDAR + TARGET), "2026-01-01 00:00:00", "'2026-01-01T00:00:00Z'", "is no date and time; writ"),
        (slo(RATIO + CALENDAR + TARGET), "2026-01-01", "1800-01-01", "the year 1800 is out of bounds"),
        (slo(RATIO + CALENDAR + TARGET), "UTC", "Europe/Bremen", "timeZone: 'Europe/Bremen' is no time zone of the I"),
        (slo(RATIO + CALENDAR + TARGET), "UTC", "../etc/passwd", "is no time zone"),
        (slo(RATIO + CALENDAR + TARGET), "UTC", "Europe", "is no time zone"),
        (slo(RATIO + CALENDAR + TARGET), "UTC", "localtime", "is no time zone"),
        (slo(RATIO + CALENDAR + TARGET), "1M", "14M", "duration: 14M is out of bounds; write 5m to 366d"),
        (slo(RATIO + CALENDAR + TARGET), "1M", "5Q", "duration: 5Q is out of bounds; write 5m to 366d"),
        (slo(), "[{duration: 30d, isRolling: true}]", "[]", "spec.timeWindow: found a list; write at least 1 item"),
        (slo(), "isRolling: true}", "isRolling: true}, {duration: 7d}", "spec.timeWindow: found a list; write at mos"),
        # objectives
        (slo(), "[{target: 0.999}]", "[]", "spec.objectives: found a list; write at least 1 item"),
        (slo(), "target: 0.999", "target: yes", "target: 'yes' is no number"),
        (slo(), "target: 0.999", "target: true", "target: 'True' is no number"),
        (slo(RATIO + SLICES), "timeSliceTarget: 0.95", "timeSliceTarget: 0", "timeSliceTarget: 0 is no ratio of even"),
        (slo(RATIO + SLICES), "timeSliceTarget: 0.95", "timeSliceTarget: 95", "timeSliceTarget: 95 is no ratio of ev"),
        (slo(RATIO + SLICES), "timeSliceTarget: 0.95, ", "", "objectives[0]: timeSliceTarget is missing"),
        (slo(RATIO + SLICES), ", timeSliceWindow: 1m", "", "objectives[0]: timeSliceWindow is missing"),
        (slo(RATIO + SLICES), "timeSliceWindow: 1m", "timeSliceWindow: 0.5", "0.5 minutes are no whole number of the"),
        (slo(RATIO + SLICES), "timeSliceWindow: 1m", "timeSliceWindow: 30s", "is in seconds, which OpenSLO does not "),
        (slo(RATIO + SLICES), "timeSliceWindow: 1m", "timeSliceWindow: 2d", "2d is out of bounds; write 1m to 1d"),
        (slo(RATIO + SLICES + WINDOW), "duration: 30d", "duration: 5m", None),
        (slo(RATIO + SLICES + WINDOW.replace("30d", "5m")), "Window: 1m", "Window: 10m", "a slice of 10m is longer t"),
        (slo(RATIO + SLICES), "Timeslices", "RatioTimeslices", "timeSliceTarget: belongs to budgetingMethod: Timesli"),
        (slo(RATIO + SLICES), "Timeslices", "Occurrences", "timeSliceWindow: belongs to budgetingMethod: Timeslices "),
        (slo(RATIO + SLICES), "Timeslices", "TimeSlices", "did you mean 'Timeslices'?"),
        # composites
        (slo(COMPOSITE), "indicatorRef: a", "compositeWeight: 2, indicatorRef: a", None),
        (slo(COMPOSITE), "indicatorRef: a", "compositeWeight: 0, indicatorRef: a", "0 is no weight; write a number g"),
        (slo(COMPOSITE), "indicatorRef: a", "displayName: a", "objectives[0]: has no indicator, and the others have "),
        (slo(COMPOSITE), "service: shop", "service: shop\n  indicatorRef: c", "objectives[0].indicatorRef: the SLO h"),
        (slo(COMPOSITE), "indicatorRef: b", "displayName: '1', indicatorRef: b", "would have the name '1'"),
        (slo(COMPOSITE + "composite: {allOf: true}\n"), "indicatorRef: a", "indicatorRef: a, compositeWeight: 2",
         "objectives[0].compositeWeight: weighs nothing where all parts must be good"),
        (slo(COMPOSITE + "groupBy: [a]\n"), "[a]", "[b]", None),
        (slo(RATIO + TARGET), "{target", "{compositeWeight: 2, target", "compositeWeight: weighs the parts of a comp"),
        (slo(RATIO + TARGET + "composite: {}\n"), "composite", "composite", "spec.composite: a composite has several"),
        # groups, silence, traffic
        (slo(RATIO + TARGET + "groupBy: [a]\n"), "[a]", "[a, a]", "spec.groupBy: a label is given twice"),
        (slo(RATIO + TARGET + "groupBy: [a]\n"), "[a]", "[]", "spec.groupBy: found a list; write at least 1 item"),
        (slo(RATIO + TARGET + "groupBy: [a]\n"), "[a]", "[http.route]", "spec.groupBy[0]: 'http.route' is no label o"),
        (slo(RATIO + TARGET + "groupBy: [a]\n"), "[a]", "[__name__]", "spec.groupBy[0]: '__name__' is no label"),
        (slo(SPANS + TARGET + "groupBy: [a]\n"), "[a]", "[http.route, service, resource.region]", None),
        (slo(SPANS + TARGET + "groupBy: [a]\n"), "[a]", "[status]", "spec.groupBy[0]: the status of a span says whe"),
        (slo(SQL + OVER + "groupBy: [a]\n"), "[a]", "[region]", None),
        (slo(SQL + OVER + "groupBy: [a]\n"), "[a]", "[zone]", "spec.groupBy[0]: the SQL returns no column 'zone'; w"),
        (slo(SQL + OVER + "groupBy: [a]\n"), "[a]", "[minute]", "spec.groupBy[0]: 'minute' is what is counted, and"),
        (slo(SQL + OVER + "groupBy: [a]\n"), "[a]", "[http.route]", "spec.groupBy[0]: 'http.route' is no column of"),
        (slo(SPANS + TARGET + "groupBy: [a]\n"), "[a]", "['']", "spec.groupBy[0]: '' is no label"),
        (slo(RATIO + TARGET + "noData: {action: bad}\n"), "bad}", "good}", "noData.action: the text \"good\" is not "),
        (slo(RATIO + TARGET + "noData: {action: bad}\n"), "bad}", "bad, after: 5}", "noData.after: expected text"),
        (slo(RATIO + TARGET + "lowTraffic: {minBad: 2}\n"), "2}", "-2}", "lowTraffic.minBad: found the number -2; wr"),
        # alerts
        (slo(RATIO + TARGET + POLICY), "severity: page, ", "", "severity: is missing"),
        (slo(RATIO + TARGET + POLICY), "severity: page", "severity: ''", "severity: found the text \"\"; write at le"),
        (slo(RATIO + TARGET + POLICY), "op: gt, ", "", "condition.op: is missing"),
        (slo(RATIO + TARGET + POLICY), "threshold: 2, ", "", "condition.threshold: is missing"),
        (slo(RATIO + TARGET + POLICY), "threshold: 2", "threshold: 2h", "threshold: '2h' is no number; write one, su"),
        (slo(RATIO + TARGET + POLICY), "threshold: 2", "threshold: -1", "threshold: -1 is out of bounds; write more "),
        (slo(RATIO + TARGET + POLICY), "threshold: 2", "threshold: [2]", "threshold: '[2]' is no number"),
        (slo(RATIO + TARGET + POLICY), "threshold: 2", "threshold: null", "threshold: is empty; write a number"),
        (slo(RATIO + TARGET + POLICY), "lookbackWindow: 1h", "alertAfter: 1m", "lookbackWindow is missing; write the"),
        (slo(RATIO + TARGET + POLICY), "{op: gt", "{kind: budgetDrop, op: gt", "threshold: 2 is out of bounds"),
        (slo(RATIO + TARGET + POLICY), "{op: gt", "{kind: timeToExhaustion, op: lt", "threshold: 2 is no duration; w"),
        (slo(RATIO + TARGET + POLICY), "{op: gt", "{kind: remainingBudget, op: lt", "lookbackWindow: what is left is"),
        (slo(RATIO + TARGET + POLICY), "{op: gt", "{kind: burnRate, op: gt", "did you mean 'burnrate'?"),
        (slo(RATIO + TARGET + POLICY), "{conditions", "{alertWhenBreaching: false, conditions", "never fires; write "),
        (slo(RATIO + TARGET + POLICY), "[{spec: {conditions", "[{alertPolicyRef: a, spec: {conditions",
         "alertPolicies[0]: alertPolicyRef and one that is written here exclude each other"),
        (POLICY_DOCUMENT, "  conditions:\n    - conditionRef: fast\n", "", "slo.yaml:5: spec.conditions: is missing"),
        (POLICY_DOCUMENT, "- conditionRef: fast", "- condition: fast", "did you mean 'conditionRef'?"),
        (POLICY_DOCUMENT, "conditionRef: fast", "conditionRef: The Fast One", "conditionRef: 'The Fast One' is no na"),
        (POLICY_DOCUMENT, "  notificationTargets:\n    - targetRef: mail\n", "", None),
        (CONDITION, "alertAfter: 5m", "alertAfter: 0m", None),
        (CONDITION, "alertAfter: 5m", "alertAfter: soon", "slo.yaml:12: spec.condition.alertAfter: 'soon' is no dura"),
        (CONDITION, "  severity: page", f"  description: {'x' * 1051}\n  severity: page", "spec.description: found t"),
        (HOOK, "  url: https://hooks.example.com/a\n", "", "slo.yaml:6: spec.target: a webhook needs its address"),
        (HOOK, "https://hooks.example.com/a", "hooks", "slo.yaml:7: spec.url: is no URL of a server"),
        (HOOK, "https://hooks", "https://me:pass@hooks", "spec.url: a secret does not belong into a resource"),
        (HOOK, "https://hooks", "ftp://hooks", "spec.url: is no URL of a server"),
        (HOOK, "url: https", "secret: abc\n  url: https", "spec.secret: a secret does not belong into a resource"),
        (HOOK, "url: https", "secretFile: ../../etc/passwd\n  url: https", "secretFile: '../../etc/passwd' is no fil"),
        (HOOK, "target: webhook", "target: slack", "slo.yaml:7: spec.url: belongs to target: webhook, and this is sl"),
        (slo("target: slack\n", kind="AlertNotificationTarget"), "target: slack", "description: none", "target: is m"),
        # names
        (slo(), "name: shop", "name: a_b", "slo.yaml:4: metadata.name: 'a_b' is no name"),
        (slo(), "name: shop", f"name: {'a' * 64}", "slo.yaml:4: metadata.name: "),
        (slo(), "name: shop", "name: -a", "slo.yaml:4: metadata.name: "),
        (slo(), "kind: SLO", "kind: Slo", "slo.yaml:2: kind: the kind 'Slo' is not known; did you mean 'SLO'?"),
        (slo(), "openslo/v1", "openslo/v2", "apiVersion: 'openslo/v2' is not known for the kind SLO; write openslo/v"),
    ],
)  # fmt: skip
def test_what_is_forbidden_says_where_and_what_to_write(
    text: str, old: str, new: str, problem: str | None
) -> None:
    assert text.count(old) == 1, f"'{old}' must stand once"
    changed = text.replace(old, new)
    if problem is None:
        assert documents(changed)
        return
    problems = _refused(changed)
    assert any(problem in one for one in problems), problems
    assert all(one.startswith("slo.yaml:") for one in problems)


def test_two_documents_of_one_name() -> None:
    (problem,) = _refused(slo() + "---\n" + slo())
    assert problem.startswith("slo.yaml:19: metadata.name: SLO 'shop' is declared twice, first at slo.yaml:4")
    assert documents(slo() + "---\n" + slo(name="shop-2"))


def test_two_objectives_cannot_share_one_name_across_documents() -> None:
    """`shop.eu` cannot be a document's name, so no document can take the name of another one's objective."""
    (problem,) = _refused(slo(name="shop.eu"))
    assert "metadata.name: 'shop.eu' is no name" in problem
