"""Sloth's documents as OpenSLO: what is carried over, what is listed, what is refused with its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from setpoint.errors import InvalidInput
from setpoint.objective.alerting.policy import policies_of
from setpoint.objective.convert import Options
from tests.objective.convert.documents import ERRORS, TOTAL, objectives, only_slo, read, slo_with, sloth

EXAMPLES = Path(__file__).parents[3] / "examples" / "import"
BOTH_OFF = {"page_alert": {"disable": True}, "ticket_alert": {"disable": True}}


def refused(text: str, **more: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        read(text, **more)
    return caught.value.message


def test_an_slo_has_sloths_id_as_its_name_and_the_labels_of_both() -> None:
    one = slo_with(description="Answers.", labels={"tier": 1, "team": "b"})
    found = read(sloth(one, labels={"team": "a", "repo": "x/y"}))
    assert [body.key for body in found.documents] == [("Service", "shop"), ("SLO", "shop-answers")]
    body = only_slo(found)
    assert body["metadata"]["labels"] == {"team": "b", "repo": "x/y", "tier": "1"}
    assert body["spec"]["service"] == "shop"
    assert body["spec"]["description"] == "Answers."
    assert body["spec"]["timeWindow"] == [{"duration": "30d", "isRolling": True}]
    assert body["spec"]["objectives"] == [{"targetPercent": 99.9}]
    assert "alertPolicies" not in body["spec"]
    assert not found.notes


@pytest.mark.parametrize(
    ("period", "duration"), [("28d", "28d"), ("4w", "4w"), ("1w3d", "10d"), ("36h", "36h")]
)
def test_the_period_is_an_option(period: str, duration: str) -> None:
    body = only_slo(read(sloth(slo_with()), options=Options(period)))
    assert body["spec"]["timeWindow"] == [{"duration": duration, "isRolling": True}]


@pytest.mark.parametrize("period", ["", "x", "1m", "2y", "90s", "30"])
def test_a_period_that_is_none_is_refused(period: str) -> None:
    assert refused(sloth(slo_with()), options=Options(period)).startswith("--period '")


def test_queries_are_read_from_a_data_source_when_it_is_named() -> None:
    metric = only_slo(read(sloth(slo_with()), options=Options(source="main")))["spec"]["indicator"]["spec"]
    assert metric["ratioMetric"]["total"]["metricSource"]["metricSourceRef"] == "main"


def test_services_can_be_left_out_but_for_those_that_were_openslo() -> None:
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: other}\nspec: {}\n"
    found = read(sloth(slo_with()), service, options=Options(has_services=False))
    assert [one.key for one in found.documents] == [("Service", "other"), ("SLO", "shop-answers")]


def test_a_service_that_somebody_wrote_is_not_replaced_by_one_that_is_made() -> None:
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: shop}\nspec: {description: Sells.}\n"
    for texts in ((service, sloth(slo_with())), (sloth(slo_with()), service)):
        (made,) = [one.body for one in read(*texts).documents if one.key == ("Service", "shop")]
        assert made["spec"] == {"description": "Sells."}


def test_default_alerts_are_setpoints_because_they_are_the_same() -> None:
    """Sloth's rows for 30 days: 14.4, 6, 3 and 1 (facts/objectives.md section 2)."""
    (objective,) = objectives(read(sloth(slo_with())))
    found = [(one.severity, one.conditions[0].threshold) for one in policies_of(objective)]
    assert found == [("page", 14.4), ("page", 6.0), ("ticket", 3.0), ("ticket", 1.0)]


def test_an_alert_that_is_disabled_stays_away() -> None:
    (objective,) = objectives(read(sloth(slo_with(alerting={"page_alert": {"disable": True}}))))
    assert [(one.severity, one.conditions[0].threshold) for one in policies_of(objective)] == [
        ("ticket", 3.0),
        ("ticket", 1.0),
    ]
    (objective,) = objectives(read(sloth(slo_with(alerting=BOTH_OFF))))
    assert objective.policies == ()


def test_windows_of_ones_own_are_used_for_their_period() -> None:
    text = (EXAMPLES / "sloth-kubernetes.yml").read_text()
    (objective,) = objectives(read(text, options=Options("7d")))
    assert [
        (
            one.severity,
            one.conditions[0].threshold,
            one.conditions[0].lookback_s,
            one.conditions[1].lookback_s,
        )
        for one in policies_of(objective)
    ] == [("page", 16.8, 3600, 300), ("page", 5.6, 21_600, 1800)]
    found = read(text)
    (lost,) = found.of_kind("lost")
    assert lost.path == "spec.sloPeriod"
    assert (
        "alertPolicies" in only_slo(found)["spec"]
    )  # the ticket is disabled, the page has Setpoint's windows


def test_what_sloth_adds_to_alerts_is_kept_as_annotations() -> None:
    alerting = {
        "name": "ShopFails",
        "labels": {"category": "x"},
        "annotations": {"runbook": "https://a.b/c"},
        "page_alert": {"labels": {"severity": "critical"}},
        "ticket_alert": {"annotations": {"note": "slow"}},
    }
    found = read(sloth(slo_with(alerting=alerting)))
    assert only_slo(found)["metadata"]["annotations"] == {
        "sloth.slok.dev/alert-name": "ShopFails",
        "sloth.slok.dev/alert-label.category": "x",
        "sloth.slok.dev/alert-annotation.runbook": "https://a.b/c",
        "sloth.slok.dev/page-label.severity": "critical",
        "sloth.slok.dev/ticket-annotation.note": "slow",
    }
    assert [one.path for one in found.of_kind("changed")] == ["slos[0].alerting"]


def test_names_that_openslo_does_not_have_are_rewritten_and_remembered() -> None:
    found = read(sloth(slo_with("Answers_2xx.all"), service="My.Shop"))
    body = only_slo(found)
    assert body["metadata"]["name"] == "my-shop-answers-2xx-all"
    assert body["metadata"]["annotations"] == {
        "sloth.slok.dev/service": "My.Shop",
        "sloth.slok.dev/slo": "Answers_2xx.all",
    }
    assert {one.path for one in found.of_kind("changed")} == {"service", "slos[0].name"}


def test_names_that_become_one_are_told_apart_and_two_of_one_name_are_refused() -> None:
    found = read(sloth(slo_with("a_b"), slo_with("a-b")))
    assert [one.key[1] for one in found.documents if one.key[0] == "SLO"] == ["shop-a-b", "shop-a-b-2"]
    message = refused(sloth(slo_with("a"), slo_with("a")))
    assert message == "1.yml:1: SLO 'shop-a' is declared twice, first at 1.yml:1; rename or remove one"


def test_what_a_plugin_would_have_made_is_listed() -> None:
    plugin = slo_with("made") | {"sli": {"plugin": {"id": "availability", "options": {"job": "x"}}}}
    chain = [
        {"id": "sloth.dev/contrib/denominator_corrected_rules/v1"},
        {"id": "sloth.dev/contrib/error_budget_exhausted_alert/v1", "config": {"threshold": 0.05}},
        {"id": "example.com/own/v1"},
    ]
    found = read(sloth(slo_with(), plugin, slo_plugins={"chain": chain}))
    assert [one.path for one in found.of_kind("lost")] == [
        "slo_plugins.chain[1]",
        "slo_plugins.chain[2]",
        "slos[1].sli.plugin",
    ]
    assert "remainingBudget" in found.of_kind("lost")[0].message
    assert [one.path for one in found.of_kind("idle")] == ["slo_plugins.chain[0]"]
    assert only_slo(found)["metadata"]["name"] == "shop-answers"


def test_a_target_of_100_percent_is_left_out_with_the_reason() -> None:
    found = read(sloth(slo_with(), slo_with("never", objective=100)))
    (lost,) = found.of_kind("lost")
    assert "leaves no error budget" in lost.message
    assert lost.path == "slos[1].objective"


def test_fields_that_sloth_ignores_without_a_word_are_listed() -> None:
    """Its own examples write pageAlert where it reads page_alert, and it takes no notice."""
    found = read(sloth(slo_with(alerting={"pageAlert": {"disable": True}}, objektive=1)))
    told = {one.path: one.message for one in found.of_kind("lost")}
    assert told == {
        "slos[0].objektive": "the field 'objektive' is not known here; did you mean 'objective'?",
        "slos[0].alerting.pageAlert": "the field 'pageAlert' is not known here; did you mean 'page_alert'?",
    }


def test_the_kubernetes_resource_says_the_same() -> None:
    camel = {
        "apiVersion": "sloth.slok.dev/v1",
        "kind": "PrometheusServiceLevel",
        "metadata": {"name": "x", "namespace": "y"},
        "spec": {
            "service": "shop",
            "slos": [
                slo_with(alerting={"pageAlert": {"disable": True}})
                | {"sli": {"events": {"errorQuery": ERRORS, "totalQuery": TOTAL}}}
            ],
        },
    }
    snake = read(sloth(slo_with(alerting={"page_alert": {"disable": True}})))
    assert [one.body for one in read(json.dumps(camel)).documents] == [one.body for one in snake.documents]
    spec: Any = camel["spec"]
    listed = {
        "apiVersion": "v1",
        "kind": "List",
        "items": [camel, camel | {"spec": {**spec, "service": "b"}}],
    }
    assert [one.key[1] for one in read(json.dumps(listed)).documents if one.key[0] == "SLO"] == [
        "shop-answers",
        "b-answers",
    ]


@pytest.mark.parametrize(
    ("text", "line", "path", "words"),
    [
        ("version: prometheus/v1\nslos: []\n", 1, "service", "is missing"),
        ("version: prometheus/v2\nservice: a\n", 1, "version", "write prometheus/v1"),
        ("service: a\nslos: []\n", 1, "version", "--from sloth"),
        ("version: prometheus/v1\nservice: a\nslos:\n  - objective: 9\n", 4, "slos[0].name", "is missing"),
        (
            "version: prometheus/v1\nservice: a\nslos:\n  - name: b\n    objective: x\n",
            5,
            "slos[0].objective",
            "'x' is no",
        ),
        ("version: prometheus/v1\nservice: a\nslos: 5\n", 3, "slos", "a list is expected"),
        (
            "version: prometheus/v1\nservice: a\nslos:\n  - name: b\n    sli: {}\n",
            5,
            "slos[0].sli",
            "write one of",
        ),
        ("version: prometheus/v1\nservice: a\nlabels: [\n", 4, None, "bracket"),
        ("version: prometheus/v1\nservice: a\nservice: b\n", 3, None, "written twice"),
        ("- 5\n", 1, "items[0]", "a mapping is expected"),
        ("apiVersion: sloth.slok.dev/v9\nkind: X\n", 1, "apiVersion", "is not read"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, path: str | None, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(text)
    problem = next(one for one in caught.value.problems if words in one.message)
    assert (problem.file, problem.line, problem.path) == ("1.yml", line, path)


def test_a_document_without_a_version_can_be_said_to_be_sloths() -> None:
    text = sloth(slo_with()).replace('"version": "prometheus/v1", ', "")
    assert only_slo(read(text, origin="sloth"))["metadata"]["name"] == "shop-answers"


def test_openslo_stays_and_other_kinds_are_left_out() -> None:
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: other}\nspec: {}\n"
    found = read(sloth(slo_with()), service, "apiVersion: v1\nkind: ConfigMap\n")
    assert [one.key for one in found.documents][:2] == [("Service", "shop"), ("Service", "other")]
    (idle,) = found.of_kind("idle")
    assert "v1 ConfigMap is none of Sloth, Pyrra or OpenSLO" in idle.message
    assert "name files with SLOs" in refused("apiVersion: v1\nkind: ConfigMap\n")


def test_objectives_of_v1alpha_that_count_different_things_are_slos_of_their_own() -> None:
    """v1 would make a composite of them, and Sloth makes two SLOs."""
    ratio = {"good": {"source": "prometheus", "queryType": "promql", "query": "sum(rate(a[{{.window}}]))"}}
    ratio["total"] = ratio["good"] | {"query": "sum(rate(b[{{.window}}]))"}
    other = {**ratio, "total": ratio["good"] | {"query": "sum(rate(c[{{.window}}]))"}}
    spec = {
        "service": "shop",
        "budgetingMethod": "Occurrences",
        "timeWindows": [{"unit": "Day", "count": 30, "isRolling": True}],
        "objectives": [
            {"displayName": "Two nines", "target": 0.99, "value": 1, "ratioMetrics": ratio},
            {"target": 0.9, "value": 1, "ratioMetrics": other},
        ],
    }
    whole = {"apiVersion": "openslo/v1alpha", "kind": "SLO", "metadata": {"name": "shop"}, "spec": spec}
    found = read(json.dumps(whole))
    assert [one.key[1] for one in found.documents] == ["shop-two-nines", "shop-2"]
    assert [one.total_query for one in objectives(found)] == ["sum(b)", "sum(c)"]
    assert [one.path for one in found.of_kind("changed")] == ["spec.objectives"]
    same = {**whole, "spec": {**spec, "objectives": [spec["objectives"][0]] * 2}}
    assert "two objectives would have the name" in refused(json.dumps(same))


def test_comments_say_where_it_came_from_and_what_is_different() -> None:
    found = read(sloth(slo_with(error="max(rate(a[{{.window}}]))")))
    lines = found.text.splitlines()
    assert lines[0] == "# from 1.yml:1"
    assert sum(line.startswith("# changed: slos[0].sli.events: does not add up") for line in lines) == 1
    wild = read(sloth(slo_with("a\n# b\x1b[31m"), service="x\u2028y"))
    assert all(line.isprintable() for line in wild.text.splitlines())


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yml")), ids=lambda path: path.name)
def test_the_examples_lose_nothing(path: Path) -> None:
    period = "7d" if "kubernetes" in path.name else "30d"
    assert not read(path.read_text(), options=Options(period)).of_kind("lost")
