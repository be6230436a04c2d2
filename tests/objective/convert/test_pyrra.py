"""Pyrra's documents as OpenSLO: indicators, groups, alert windows and silence."""

from __future__ import annotations

import json
from typing import Any

import pytest

from setpoint.errors import InvalidInput
from setpoint.objective.convert import Options
from tests.objective.convert.documents import objectives, only_slo, pyrra, read

RATIO = {
    "ratio": {"errors": {"metric": 'hits{job="shop",code="500"}'}, "total": {"metric": 'hits{job="shop"}'}}
}


def queries(indicator: dict[str, Any]) -> tuple[bool, dict[str, str]]:
    metric = only_slo(read(pyrra(indicator)))["spec"]["indicator"]["spec"]["ratioMetric"]
    return metric["counter"], {
        role: metric[role]["metricSource"]["spec"]["query"] for role in metric if role != "counter"
    }


def test_errors_and_successes_are_counters() -> None:
    assert queries(RATIO) == (
        True,
        {"bad": 'sum(hits{job="shop", code="500"})', "total": 'sum(hits{job="shop"})'},
    )
    latency = {"success": {"metric": 'd_bucket{le="0.5"}'}, "total": {"metric": "d_count"}}
    assert queries({"latency": latency}) == (
        True,
        {"good": 'sum(d_bucket{le="0.5"})', "total": "sum(d_count)"},
    )


@pytest.mark.parametrize("name", ["bool_gauge", "boolGauge"])
def test_every_sample_of_a_gauge_is_an_event(name: str) -> None:
    assert queries({name: {"metric": "probe_success"}}) == (
        False,
        {
            "good": "sum(sum_over_time(probe_success[1m]))",
            "total": "sum(count_over_time(probe_success[1m]))",
        },
    )


def test_a_native_histogram_is_left_out_because_it_cannot_be_counted() -> None:
    native = {"latencyNative": {"latency": "200ms", "total": {"metric": "d"}}}
    found = read(pyrra(RATIO, name="kept"), pyrra(native))
    (lost,) = found.of_kind("lost")
    assert lost.path == "spec.indicator.latencyNative"
    assert "native histograms cannot be counted by objectives yet; have classic buckets sent" in lost.message
    assert only_slo(found)["metadata"]["name"] == "kept"


def test_grouping_labels_and_target() -> None:
    grouped = {"ratio": {**RATIO["ratio"], "grouping": ["route", "route", "zone"]}}
    text = json.loads(pyrra(grouped, target=99))
    text["metadata"]["labels"] = {"pyrra.dev/team": "a", "role": "rules"}
    text["metadata"]["annotations"] = {"pyrra.dev/runbook": "https://a.b", "kubectl": "x"}
    found = read(json.dumps(text))
    body = only_slo(found)
    assert body["spec"]["groupBy"] == ["route", "zone"]
    assert body["metadata"]["labels"] == {"team": "a", "namespace": "shops"}
    assert body["metadata"]["annotations"] == {"pyrra.dev/runbook": "https://a.b"}
    assert body["spec"]["objectives"] == [{"targetPercent": 99}]
    assert [one.path for one in found.of_kind("idle")] == [
        "metadata.labels.role",
        "metadata.annotations.kubectl",
    ]


@pytest.mark.parametrize(
    ("labels", "option", "service"),
    [
        ({"pyrra.dev/service": "Paying"}, "", "paying"),
        ({}, "", "shop"),
        ({"pyrra.dev/service": "paying"}, "said", "said"),
    ],
)
def test_the_service_is_looked_for(labels: dict[str, str], option: str, service: str) -> None:
    text = json.loads(pyrra(RATIO))
    text["metadata"]["labels"] = labels
    found = read(json.dumps(text), options=Options(service=option))
    assert only_slo(found)["spec"]["service"] == service
    assert bool(found.of_kind("changed")) is not bool(option)


def test_without_any_hint_the_service_has_the_slos_name() -> None:
    plain = {"ratio": {"errors": {"metric": "a"}, "total": {"metric": "b"}}}
    assert only_slo(read(pyrra(plain)))["spec"]["service"] == "answers"


def test_the_alert_windows_are_pyrras() -> None:
    """Of 28 days: 14, 7, 2 and 1 over 1h, 6h, 1d and 4d, for 2m, 15m, 1h and 3h (facts/objectives.md section 2)."""
    (objective,) = objectives(read(pyrra(RATIO)))
    assert objective.policies is not None
    assert [
        (
            one.severity,
            one.conditions[0].threshold,
            *(each.lookback_s // 60 for each in one.conditions),
            one.conditions[0].after_s // 60,
        )
        for one in objective.policies
    ] == [
        ("page", 14.0, 60, 5, 2),
        ("page", 7.0, 360, 30, 15),
        ("ticket", 2.0, 1440, 120, 60),
        ("ticket", 1.0, 5760, 360, 180),
    ]
    assert (objective.no_data.action, objective.no_data.after_s) == (
        "alert",
        6 * 60,
    )  # 14 × 0.5 % of 1h, and 2m


def test_severities_are_kept_and_a_window_that_rounds_to_nothing_is_left_out() -> None:
    """Of 12 hours, Pyrra makes a window of 0s (its issue 1028)."""
    found = read(pyrra(RATIO, window="12h", alerting={"severities": {"slowBurn": "P3!"}}))
    (objective,) = objectives(found)
    assert objective.policies is not None
    assert [(one.severity, one.conditions[0].threshold) for one in objective.policies] == [
        ("page", 7.0),
        ("P3!", 2.0),
        ("ticket", 1.0),
    ]
    assert any("14× is left out" in one.message for one in found.of_kind("changed"))


def test_an_alert_whose_severity_cannot_be_kept_is_left_out_of_its_slo() -> None:
    found = read(pyrra(RATIO, alerting={"severities": {"fastBurn": "x" * 64}}))
    (objective,) = objectives(found)
    assert objective.policies is not None
    assert len(objective.policies) == 3
    assert [one.document for one in found.of_kind("lost")][-1] == "answers"


@pytest.mark.parametrize(
    ("alerting", "policies", "silence"),
    [
        ({"disabled": True}, 0, "ignore"),
        ({"burnrates": False}, 0, "alert"),
        ({"absent": False}, 4, "ignore"),
        ({"disabled": False, "burnrates": True, "absent": True}, 4, "alert"),
    ],
)
def test_alerts_can_be_turned_off(alerting: dict[str, bool], policies: int, silence: str) -> None:
    (objective,) = objectives(read(pyrra(RATIO, alerting=alerting)))
    assert objective.policies is not None
    assert (len(objective.policies), objective.no_data.action) == (policies, silence)


def test_several_slos_share_their_policies() -> None:
    found = read(pyrra(RATIO), pyrra(RATIO, name="other"), pyrra(RATIO, name="third", window="2w"))
    assert sum(one.key[0] == "AlertPolicy" for one in found.documents) == 8
    assert sum(one.key[0] == "Service" for one in found.documents) == 1


def test_equal_names_of_two_namespaces_are_told_apart() -> None:
    other = pyrra(RATIO).replace('"shops"', '"stalls"')
    found = read(pyrra(RATIO), other)
    assert [one.key[1] for one in found.documents if one.key[0] == "SLO"] == ["answers", "answers-2"]
    with pytest.raises(InvalidInput, match=r"declared twice, first at 1\.yml"):
        read(pyrra(RATIO), pyrra(RATIO))


@pytest.mark.parametrize(
    ("indicator", "words"),
    [
        ({"ratio": {"errors": {"metric": "sum(a)"}, "total": {"metric": "b"}}}, "no plain selector"),
        ({"latency": {"success": {"metric": "a{"}, "total": {"metric": "b"}}}, "is no PromQL"),
        ({"bool_gauge": {"metric": "up offset 5m"}}, "no plain selector"),
    ],
)
def test_a_metric_that_is_no_selector_leaves_its_slo_out(indicator: dict[str, Any], words: str) -> None:
    found = read(pyrra(RATIO, name="kept"), pyrra(indicator, name="gone"))
    (lost,) = found.of_kind("lost")
    assert lost.file == "2.yml"
    assert words in lost.message
    assert only_slo(found)["metadata"]["name"] == "kept"


@pytest.mark.parametrize(
    ("fields", "path", "words"),
    [
        ({"target": "x"}, "spec.target", "no percentage"),
        ({"target": ""}, "spec.target", "is missing"),
        ({"window": "1s"}, "spec.window", "out of bounds"),
        ({"window": None}, "spec.window", "is missing"),
        ({"indicator": {}}, "spec.indicator", "write one of"),
        ({"indicator": {"ratio": {"total": {"metric": "a"}}}}, "spec.indicator.ratio.errors", "is missing"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(fields: dict[str, Any], path: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(pyrra(**{"indicator": RATIO, **fields}))
    assert any(one.path == path and words in one.message for one in caught.value.problems), (
        caught.value.problems
    )
