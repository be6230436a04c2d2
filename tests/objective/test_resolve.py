"""From documents to objectives: what each way to write one means."""

from __future__ import annotations

import re

import pytest

from setpoint.errors import InvalidInput
from setpoint.objective.duration import parse_duration
from setpoint.objective.model import (
    AlertPolicy,
    Calendar,
    Condition,
    LowTraffic,
    NoData,
    Objective,
    Part,
    Target,
)
from setpoint.objective.resolve import GROUPS_MAX
from setpoint.objective.spec.source import read_spans
from tests.objective.openslo import RATIO, TARGET, WINDOW, objectives, slo

DAY_S = 86_400
SLI = slo(
    """\
description: How quickly it answers.
thresholdMetric: {metricSource: {metricSourceRef: far, spec: {query: max(latency_seconds)}}}
""",
    name="speed",
    kind="SLI",
)
GOOD_TOTAL = """\
indicator:
  spec:
    ratioMetric:
      counter: true
      good: {metricSource: {type: prometheus, spec: {query: 'sum(ok_total)'}}}
      total: {metricSource: {type: MIMIR, metricSourceRef: far, spec: {query: sum(all_total)}}}
"""


def _one(*texts: str) -> Objective:
    (objective,) = objectives(*texts)
    return objective


def test_an_indicator_by_name() -> None:
    text = slo("indicatorRef: speed\n" + WINDOW + "objectives: [{target: 0.9, op: lt, value: 0.25}]\n")
    assert _one(text, SLI) == Objective(
        name="shop",
        slo="shop",
        service="shop",
        target=0.9,
        window_s=30 * DAY_S,
        total_query="max(latency_seconds)",
        is_counter=False,
        kind="threshold",
        op="lt",
        value=0.25,
        source="far",
    )


def test_a_ready_made_ratio() -> None:
    text = RATIO.split("ratioMetric")[0] + (
        "ratioMetric: {rawType: failure, raw: {metricSource: {spec: {query: 'avg(rate(a[5m])) / 2'}}}}\n"
    )
    objective = _one(slo(text + WINDOW + TARGET))
    assert (objective.kind, objective.raw_is_failure, objective.is_counter) == ("raw", True, False)
    assert objective.total_query == "avg(rate(a[5m])) / 2"


def test_sql() -> None:
    query = "SELECT a AS minute, 1 AS value FROM t WHERE a >= {from_s:Int64} AND a < {to_s:Int64}"
    metric = f"{{metricSource: {{type: SQL, spec: {{query: '{query}'}}}}}}"
    text = f"indicator: {{spec: {{ratioMetric: {{good: {metric}, total: {metric}}}}}}}\n"
    objective = _one(slo(text + WINDOW + TARGET))
    assert (objective.engine, objective.is_counter, objective.total_query) == ("sql", False, query)


def test_spans() -> None:
    text = """\
indicator:
  spec:
    ratioMetric:
      good:
        metricSource:
          type: spans
          spec: {service: shop, operation: ["GET /", "POST /pay*"], kind: SERVER, status: [ok, unset],
                 maxDurationMs: 250, attributes: {http.response.status_code: 200, cached: true}}
      total: {metricSource: {type: Spans, spec: {service: shop, kind: server}}}
"""
    objective = _one(slo(text + WINDOW + TARGET))
    assert (objective.engine, objective.is_counter) == ("spans", False)
    assert objective.total_query == '{"kind":["server"],"service":["shop"]}'
    selection = read_spans(objective.good_query or "")
    assert selection.operation == ["GET /", "POST /pay*"]
    assert selection.attributes == {"http.response.status_code": ["200"], "cached": ["true"]}
    assert (selection.max_duration_ms, selection.min_duration_ms, selection.status) == (
        250,
        None,
        ["ok", "unset"],
    )


@pytest.mark.parametrize(
    ("entry", "slice_s", "slice_target"),
    [
        ("timeSliceTarget: 0.95, timeSliceWindow: 5", 300, 0.95),
        ("timeSliceTarget: 1, timeSliceWindow: 1m", 60, 1.0),
        ("timeSliceTarget: 1.0, timeSliceWindow: 2h", 7200, 1.0),
        ("timeSliceTarget: 0.5, timeSliceWindow: 1d", DAY_S, 0.5),
        ("timeSliceTarget: 0.5, timeSliceWindow: 10.0", 600, 0.5),
    ],
)
def test_slices(entry: str, slice_s: int, slice_target: float) -> None:
    text = f"budgetingMethod: Timeslices\nobjectives: [{{target: 0.99, {entry}}}]\n"
    objective = _one(slo(RATIO + WINDOW + text))
    assert (objective.method, objective.slice_s, objective.slice_target) == (
        "Timeslices",
        slice_s,
        slice_target,
    )


def test_ratios_of_slices() -> None:
    text = "budgetingMethod: RatioTimeslices\nobjectives: [{target: 0.99, timeSliceWindow: 5m}]\n"
    objective = _one(slo(RATIO + WINDOW + text))
    assert (objective.method, objective.slice_s, objective.slice_target) == ("RatioTimeslices", 300, None)


@pytest.mark.parametrize(
    ("duration", "zone", "longest_d"),
    [
        ("1d", "UTC", 1),
        ("2w", "Europe/Berlin", 14 + 1 / 24),
        ("1M", "UTC", 31),
        ("2M", "UTC", 62),
        ("3M", "UTC", 92),
        ("1Q", "America/New_York", 92 + 1 / 24),
        ("12M", "UTC", 366),
        ("1Y", "Asia/Kolkata", 366 + 1 / 24),
    ],
)
def test_calendar_windows(duration: str, zone: str, longest_d: float) -> None:
    window = f"timeWindow: [{{duration: {duration}, calendar: {{startTime: 2026-01-31 12:30:00, timeZone: {zone}}}}}]\n"
    objective = _one(slo(RATIO + window + TARGET))
    count, unit = re.fullmatch(r"(\d+)(.)", duration).groups()  # type: ignore[union-attr]
    assert objective.calendar == Calendar("2026-01-31T12:30:00", zone, int(count), unit)  # type: ignore[arg-type]
    assert not objective.is_rolling
    assert objective.window_s == round(longest_d * DAY_S)
    assert objective.window_s >= parse_duration(duration)


def test_no_window_is_thirty_days() -> None:
    assert _one(slo(RATIO + TARGET)).window_s == 30 * DAY_S


def test_several_objectives_have_the_document_s_name_and_theirs() -> None:
    text = "objectives: [{displayName: Three nines!, target: 0.999}, {targetPercent: 99}]\n"
    found = objectives(slo(RATIO + WINDOW + text, metadata="displayName: Shop answers"))
    assert [(one.name, one.slo, one.target, one.display_name) for one in found] == [
        ("shop.three-nines", "shop", 0.999, "Shop answers: Three nines!"),
        ("shop.2", "shop", 0.99, "Shop answers: 2"),
    ]
    assert found[0].total_query == found[1].total_query


PARTS = """\
objectives:
  - displayName: pay
    target: 0.99
    compositeWeight: 3
    indicatorRef: pays
  - displayName: look
    target: 0.95
    indicator: {spec: {thresholdMetric: {metricSource: {spec: {query: max(latency_seconds)}}}}}
    op: lte
    value: 0.5
"""


def _sli(name: str) -> str:
    lines = RATIO.splitlines()[2:]
    return slo("\n".join(line[4:] for line in lines), name=name, kind="SLI")


def test_a_composite_and_its_parts() -> None:
    whole, pay, look = objectives(
        slo(PARTS + WINDOW + "alertPolicies: []\nnoData: {action: alert}\n"), _sli("pays")
    )
    assert (whole.name, whole.kind, whole.all_of, whole.total_query) == ("shop", "composite", False, "")
    assert whole.parts == (Part("shop.pay", 3.0), Part("shop.look", 1.0))
    assert whole.target == 0.98  # (3 × 0.99 + 0.95) / 4
    assert (pay.name, pay.kind, pay.target) == ("shop.pay", "ratio", 0.99)
    assert (look.name, look.kind, look.op, look.value) == ("shop.look", "threshold", "lte", 0.5)
    assert (whole.no_data, pay.no_data) == (NoData("alert"), NoData("ignore"))
    assert pay.policies == look.policies == ()


def test_all_of_and_a_target_of_its_own() -> None:
    text = PARTS.replace("    compositeWeight: 3\n", "") + "composite: {allOf: true, targetPercent: 97}\n"
    whole, *_ = objectives(slo(text), _sli("pays"))
    assert (whole.all_of, whole.target) == (True, 0.97)
    whole, *_ = objectives(slo(text.replace(", targetPercent: 97", "")), _sli("pays"))
    assert whole.target == 0.95


def test_a_composite_of_slices_is_good_where_all_parts_are() -> None:
    entry = "target: 0.99, timeSliceTarget: 0.9, timeSliceWindow: 5m, indicatorRef: pays"
    text = f"budgetingMethod: Timeslices\nobjectives: [{{{entry}}}, {{{entry}}}]\n"
    whole, first, second = objectives(slo(text), _sli("pays"))
    assert (whole.method, whole.slice_s, whole.slice_target, whole.all_of) == ("Timeslices", 300, 1.0, True)
    assert [first.name, second.name] == ["shop.1", "shop.2"]
    assert (first.method, first.slice_s, first.slice_target) == ("Timeslices", 300, 0.9)


def test_one_objective_with_an_indicator_of_its_own_is_no_composite() -> None:
    objective = _one(slo("objectives: [{target: 0.99, indicatorRef: pays}]\n"), _sli("pays"))
    assert (objective.name, objective.kind) == ("shop", "ratio")


def test_groups() -> None:
    text = slo(RATIO + WINDOW + TARGET + "groupBy: [region, tier]\n", metadata="displayName: Shop")
    found = objectives(text, groups=[("us", "Gold"), ("eu", "gold"), ("eu", "gold"), ("", "gold")])
    assert [(one.name, one.display_name, dict(one.group)) for one in found] == [
        ("shop.eu.gold", "Shop (eu, gold)", {"region": "eu", "tier": "gold"}),
        ("shop.us.gold", "Shop (us, Gold)", {"region": "us", "tier": "Gold"}),
    ]
    assert found[0].total_query == 'sum(requests_total{region="eu", tier="gold"})'
    assert found[0].bad_query == 'sum(requests_total{code=~"5..", region="eu", tier="gold"})'
    assert len({one.ledger_key for one in found}) == 2


def test_groups_whose_names_look_alike_are_told_apart() -> None:
    text = slo(RATIO + WINDOW + TARGET + "groupBy: [path]\n")
    found = objectives(text, groups=[("/pay",), ("pay",), ("PAY",), ("♥",), ("/look",)])
    names = [one.name for one in found]
    assert len(set(names)) == len(names) == 5
    assert {"shop.pay", "shop.look"} <= set(names)
    assert all(re.fullmatch(r"shop\.[a-z0-9-]+", name) for name in names)


def test_a_group_keeps_its_name_when_another_comes() -> None:
    """Its history and its alerts hang on it."""
    text = slo(RATIO + WINDOW + TARGET + "groupBy: [city]\n")
    for value, other in (("東京", "大阪"), ("/", "*"), ("x" * 70, "x" * 71), ("köln", "kyln")):
        alone = objectives(text, groups=[(value,)])
        both = objectives(text, groups=[(value,), (other,)])
        names = {one.group["city"]: one.name for one in both}
        assert len(set(names.values())) == 2
        assert names[value] == alone[0].name


def test_several_objectives_and_groups() -> None:
    text = "objectives: [{displayName: a, target: 0.9}, {displayName: b, target: 0.8}]\ngroupBy: [region]\n"
    found = objectives(slo(RATIO + text), groups=[("eu",), ("us",)])
    assert [one.name for one in found] == ["shop.a.eu", "shop.a.us", "shop.b.eu", "shop.b.us"]


def test_too_many_groups_and_none_are_told() -> None:
    text, warnings = slo(RATIO + TARGET + "groupBy: [user]\n"), list[str]()
    assert len(objectives(text, groups=[(f"u{i:05}",) for i in range(1500)], warnings=warnings)) == GROUPS_MAX
    assert warnings == [
        "shop: 1,500 groups by user, of which the first 1,000 are kept; group by labels with fewer values, or narrow "
        "the queries"
    ]
    warnings.clear()
    (waiting,) = objectives(text, warnings=warnings)
    assert (waiting.name, waiting.awaits) == ("shop", "no group yet: no series of its total query has user")
    assert warnings == ["shop: no group yet: no series of its total query has user"]


POLICIES = """\
alertPolicies:
  - alertPolicyRef: wake
  - metadata: {name: note, displayName: Slow burn}
    spec:
      description: Look at it tomorrow.
      alertWhenResolved: false
      alertWhenNoData: true
      conditions:
        - spec: {severity: ticket, condition: {op: gte, threshold: 1, lookbackWindow: 3d, alertAfter: 1h}}
        - metadata: {name: left}
          spec: {severity: ticket, condition: {kind: remainingBudget, op: lt, threshold: 25%}}
      notificationTargets:
        - metadata: {name: mail}
          spec: {target: email}
        - spec: {target: Web-Hook, url: "https://hooks.example.com/x?y=1", secretFile: hook.key}
lowTraffic: {minEvents: 100, minBad: 2}
noData: {action: bad, after: 10m}
"""
WAKE = slo(
    """\
lowTraffic: {minBad: 5}
conditions:
  - conditionRef: fast
  - spec: {severity: page, condition: {kind: timeToExhaustion, op: lt, threshold: 4h, lookbackWindow: 1h}}
  - spec: {severity: page, condition: {kind: budgetDrop, op: gt, threshold: 0.1, lookbackWindow: 15m}}
notificationTargets: [{targetRef: pager}]
""",
    name="wake",
    kind="AlertPolicy",
    metadata="displayName: Wake somebody",
)
FAST = slo(
    "severity: page\ncondition: {kind: burnrate, op: gt, threshold: 14.4, lookbackWindow: 1h, alertAfter: 2m}\n",
    name="fast",
    kind="AlertCondition",
)
PAGER = slo("target: pagerduty\n", name="pager", kind="AlertNotificationTarget")


def test_alert_policies_by_name_and_written_in_place() -> None:
    objective = _one(slo(RATIO + WINDOW + TARGET + POLICIES), WAKE, FAST, PAGER)
    assert objective.policies is not None
    wake, note = objective.policies
    assert wake == AlertPolicy(
        name="wake",
        severity="page",
        display_name="Wake somebody",
        low_traffic=LowTraffic(min_bad=5),
        conditions=(
            Condition("burnrate", "gt", 14.4, 3600, 120, "fast"),
            Condition("timeToExhaustion", "lt", 14_400, 3600),
            Condition("budgetDrop", "gt", 0.1, 900),
        ),
        targets=(Target("pager", "pagerduty"),),
    )
    assert (note.name, note.severity, note.when_no_data, note.when_resolved) == (
        "note",
        "ticket",
        True,
        False,
    )
    assert note.conditions == (
        Condition("burnrate", "gte", 1, 3 * DAY_S, 3600),
        Condition("remainingBudget", "lt", 0.25, name="left"),
    )
    assert note.targets == (
        Target("mail", "email"),
        Target("target-2", "webhook", "https://hooks.example.com/x?y=1", "hook.key"),
    )
    assert "hook.key" not in repr(objective)
    assert (objective.low_traffic, objective.no_data) == (LowTraffic(100, 2), NoData("bad", 600))


def test_no_policies_are_the_default_and_an_empty_list_is_none() -> None:
    assert _one(slo()).policies is None
    assert _one(slo(RATIO + TARGET + "alertPolicies: []\n")).policies == ()


def test_policies_of_one_name_are_told_apart() -> None:
    one = "{spec: {conditions: [{spec: {severity: page, condition: {op: gt, threshold: 1, lookbackWindow: 1h}}}]}}"
    objective = _one(
        slo(RATIO + TARGET + f"alertPolicies: [{{alertPolicyRef: wake}}, {one}, {one}]\n"), WAKE, FAST, PAGER
    )
    assert [policy.name for policy in objective.policies or ()] == ["wake", "policy-2", "policy-3"]
    twice = "alertPolicies: [{alertPolicyRef: wake}, {alertPolicyRef: wake}]\n"
    assert [
        policy.name for policy in _one(slo(RATIO + TARGET + twice), WAKE, FAST, PAGER).policies or ()
    ] == [
        "wake",
        "wake-2",
    ]


def test_what_refers_to_nothing_is_left_out_and_told() -> None:
    warnings: list[str] = []
    kept = objectives(slo(), slo("indicatorRef: gone\n" + TARGET, name="broken"), warnings=warnings)
    assert [one.name for one in kept] == ["shop"]
    assert warnings == ["the SLO 'broken' is not kept: there is no SLI 'gone'; apply one of that name"]


def test_two_sources_are_refused() -> None:
    with pytest.raises(InvalidInput, match="must be read from one data source"):
        objectives(slo(GOOD_TOTAL + WINDOW + TARGET))
