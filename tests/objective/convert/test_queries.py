"""Sloth's queries as queries that count events: which are counted exactly, and which stay a ready-made ratio."""

from __future__ import annotations

from typing import Any

import pytest

from tests.objective.convert.documents import ERRORS, TOTAL, only_slo, read, slo_with, sloth

W = "[{{.window}}]"


def indicator(error: str, total: str) -> dict[str, Any]:
    spec: dict[str, Any] = only_slo(read(sloth(slo_with(error=error, total=total))))["spec"]
    return spec


def counted(spec: dict[str, Any]) -> tuple[bool, str, str, str]:
    """Whether counters are counted, the role of the part, its query and the total's."""
    metric = spec["indicator"]["spec"]["ratioMetric"]
    (role,) = {"good", "bad"} & metric.keys()
    part, total = (metric[name]["metricSource"]["spec"]["query"] for name in (role, "total"))
    return metric["counter"], role, part, total


def raw(error_ratio: str) -> dict[str, Any]:
    one = slo_with() | {"sli": {"raw": {"error_ratio_query": error_ratio}}}
    spec: dict[str, Any] = only_slo(read(sloth(one)))["spec"]
    return spec


@pytest.mark.parametrize(
    ("error", "total", "expected"),
    [
        (ERRORS, TOTAL, (True, "bad", 'sum(hits_total{code=~"5.."})', "sum(hits_total)")),
        (
            f"sum(increase(a{W})) OR on() vector(0)",
            f"sum(increase(b{W}))",
            (True, "bad", "sum(a)", "sum(b)"),
        ),
        (
            "sum(rate(a[{{ .window }}]))",
            "sum(rate(b[{{- .window -}}]))",
            (True, "bad", "sum(a)", "sum(b)"),
        ),
        (
            f"(sum(rate(c{W})) - sum(rate(q{W})))",
            f"sum(rate(c{W}))",
            (True, "good", "sum(q)", "sum(c)"),
        ),
        (
            f"sum(rate(a{W})) + 2 * sum(rate(b{W}))",
            f"sum(rate(c{W})) * 2",
            (True, "bad", "sum(a) + (2 * sum(b))", "sum(c) * 2"),
        ),
        (
            f"(sum(rate(a{W})) or vector(0)) + sum(rate(b{W}) or vector(0))",
            f"sum(rate(c{W}))",
            (True, "bad", "(sum(a) or vector(0.0)) + (sum(b) or vector(0.0))", "sum(c)"),
        ),
        (f"rate(a{W})", f"sum(rate(b{W}))", (True, "bad", "sum(a)", "sum(b)")),
        (
            f"sum(sum_over_time(low{W}))",
            f"sum(count_over_time(low{W}))",
            (False, "bad", "sum(sum_over_time(low[1m]))", "sum(count_over_time(low[1m]))"),
        ),
        (
            "sum_over_time((count(x < 0.7))[{{.window}}:])",
            "sum_over_time((count(x))[{{.window}}:1m])",
            (False, "bad", "count(x < 0.7)", "count(x)"),
        ),
        (
            "sum_over_time(sum(x)[{{.window}}:30s])",
            "sum_over_time(sum(y)[{{.window}}:30s])",
            (False, "bad", "sum_over_time(sum(x)[1m:30s])", "sum_over_time(sum(y)[1m:30s])"),
        ),
    ],
)
def test_what_adds_up_is_counted(error: str, total: str, expected: tuple[bool, str, str, str]) -> None:
    assert counted(indicator(error, total)) == expected


@pytest.mark.parametrize(
    ("error", "total"),
    [
        (f"sum(rate(a{W}))", f"sum(increase(b{W}))"),  # their quotient depends on the window
        (f"sum(rate(a{W} offset 5m))", f"sum(rate(b{W}))"),
        (f"sum without (pod) (rate(a{W}))", f"sum(rate(b{W}))"),
        (f"max(rate(a{W}))", f"sum(rate(b{W}))"),
        (f"sum(rate(a{W})) * sum(rate(b{W}))", f"sum(rate(b{W}))"),
        (f"sum(rate(a{W})) + 1", f"sum(rate(b{W}))"),
        (f"clamp_max(sum(rate(a{W})), 5)", f"sum(rate(b{W}))"),
        (f"sum(irate(a{W}))", f"sum(rate(b{W}))"),
        (f"sum(sum_over_time(a{W}))", f"sum(rate(b{W}))"),
        ("sum_over_time(sum(x)[{{.window}}:7s])", "sum_over_time(sum(y)[{{.window}}:7s])"),
    ],
)
def test_what_does_not_add_up_is_a_ready_made_ratio_over_five_minutes(error: str, total: str) -> None:
    found = read(sloth(slo_with(error=error, total=total)))
    metric = only_slo(found)["spec"]["indicator"]["spec"]["ratioMetric"]
    assert metric["rawType"] == "failure"
    assert "{{" not in metric["raw"]["metricSource"]["spec"]["query"]
    assert any("every minute counts the same" in one.message for one in found.of_kind("changed"))


def test_the_window_of_a_ready_made_ratio_is_five_minutes_for_rates_and_one_for_gauges() -> None:
    rates, gauges = f"max(rate(a{W})) / max(rate(b{W}))", f"avg(avg_over_time(x{W}))"
    queries = [raw(one)["indicator"]["spec"]["ratioMetric"]["raw"] for one in (rates, gauges)]
    assert [one["metricSource"]["spec"]["query"] for one in queries] == [
        "max(rate(a[5m])) / max(rate(b[5m]))",
        "avg(avg_over_time(x[1m]))",
    ]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (f"sum(rate(a{W})) / sum(rate(b{W}))", (True, "bad", "sum(a)", "sum(b)")),
        (f"1 - sum(rate(a{W})) / sum(rate(b{W}))", (True, "good", "sum(a)", "sum(b)")),
        (f"1 - (1 - sum(rate(a{W})) / sum(rate(b{W})))", (True, "bad", "sum(a)", "sum(b)")),
        (f"(sum(rate(b{W})) - sum(rate(a{W}))) / sum(rate(b{W}))", (True, "good", "sum(a)", "sum(b)")),
        (f"(sum(rate(a{W})) or vector(0)) / sum(rate(b{W}))", (True, "bad", "sum(a)", "sum(b)")),
        (f"sum(rate(a{W})) / sum(rate(b{W})) or vector(0)", (True, "bad", "sum(a)", "sum(b)")),
    ],
)
def test_a_ratio_that_is_a_quotient_of_counts_is_counted(
    query: str, expected: tuple[bool, str, str, str]
) -> None:
    assert counted(raw(query)) == expected


def test_a_ratio_of_native_histograms_is_left_out() -> None:
    ratio = f"1 - histogram_fraction(0, 0.2, sum(rate(d{W})))"
    one = slo_with("gone") | {"sli": {"raw": {"error_ratio_query": ratio}}}
    (lost,) = read(sloth(slo_with(), one)).of_kind("lost")
    assert "native histograms cannot be counted" in lost.message


def test_series_of_a_sum_by_labels_are_objectives_of_their_own() -> None:
    spec = indicator(f"sum by (region, zone) (rate(a{W}))", f"sum(rate(b{W})) by (zone, region)")
    assert spec["groupBy"] == ["zone", "region"]
    assert counted(spec) == (True, "bad", "sum(a)", "sum(b)")
    assert raw(f"max by (region) (rate(a{W})) / max by (region) (rate(b{W}))")["groupBy"] == ["region"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("sum(rate(a[5m]))", "names no {{.window}}"),
        (f"sum(rate(a{W}", "is no PromQL"),
        (f"histogram_share(0.2, rate(a{W}))", "is no PromQL"),
        (f"sum(rate(a{{job='{{{{.job}}}}'}}{W}))", "is a template that is not known"),
        ("vector(1)[{{.window}}]", "is no PromQL"),
        ("{{.window}}", "a scalar"),
    ],
)
def test_a_query_that_cannot_be_read_leaves_its_slo_out(error: str, words: str) -> None:
    found = read(sloth(slo_with("kept"), slo_with("gone", error=error)))
    (lost,) = found.of_kind("lost")
    assert words in lost.message
    assert "'shop-gone' is left out" in lost.message
    assert lost.path == "slos[1].sli.events.error_query"
    assert only_slo(found)["metadata"]["name"] == "shop-kept"
