"""Objectives as rules for a Prometheus: promtool takes them, they have Sloth's names, and say what they leave out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from setpoint.objective.convert import Options
from setpoint.objective.convert.rule_file import Format, rule_file
from setpoint.objective.convert.rules import Exported, export_rules
from setpoint.objective.model import Objective
from setpoint.objective.resolve import resolve
from setpoint.resource import Document, load_text
from tests.conftest import require
from tests.objective.convert.documents import REGISTRY, TOTAL, pyrra, read, slo_with, sloth

EXAMPLES = Path(__file__).parents[3] / "examples"


def some_group(objective: Objective, labels: Sequence[str]) -> list[tuple[str, ...]]:
    del objective
    return [("a",) * len(labels), ("b",) * len(labels)]


def exported(text: str, *, as_sloth: bool = False) -> Exported:
    """The rules of OpenSLO documents; each group-by has the groups a and b."""
    documents: list[Document] = load_text([("made", text)], REGISTRY)
    annotations: dict[str, Mapping[str, str]] = {
        one.name: one.body["metadata"].get("annotations", {}) for one in documents
    }
    return export_rules(resolve(documents, some_group), annotations, as_sloth=as_sloth)


def rules_of(found: Exported, name: str) -> dict[str, str]:
    """The expressions of an objective's recordings, by name."""
    return {
        rule["record"]: rule["expr"]
        for group in found.groups
        for rule in group["rules"]
        if "record" in rule and rule["labels"]["sloth_id"] == name
    }


def checked(text: str, tmp_path: Path) -> None:
    require("promtool", shutil.which("promtool") is not None, "prometheus")
    file = tmp_path / "rules.yml"
    file.write_text(text)
    command = ["promtool", "check", "rules", "--lint-fatal", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.parametrize("as_sloth", [False, True], ids=["right", "as-sloth"])
@pytest.mark.parametrize("name", ["sloth", "pyrra"])
def test_promtool_takes_the_rules_of_imported_objectives(name: str, as_sloth: bool, tmp_path: Path) -> None:
    made = read((EXAMPLES / f"import/{name}.yml").read_text()).text
    found = exported(made, as_sloth=as_sloth)
    assert not found.left_out
    checked(rule_file(found, "prometheus"), tmp_path)


@pytest.mark.parametrize("path", sorted((EXAMPLES / "objectives").glob("*.yaml")), ids=lambda path: path.name)
def test_promtool_takes_the_rules_of_every_objective_that_rules_can_express(
    path: Path, tmp_path: Path
) -> None:
    found = exported(path.read_text())
    assert found.groups or found.left_out or "kind: SLO\n" not in path.read_text()
    checked(rule_file(found, "prometheus"), tmp_path)


def test_names_and_labels_are_sloths() -> None:
    one = slo_with("answers", labels={"tier": 2, "team-name": "x"})
    found = exported(read(sloth(one)).text)
    assert [group["name"] for group in found.groups] == [
        "sloth-slo-sli-recordings-shop-answers",
        "sloth-slo-meta-recordings-shop-answers",
        "sloth-slo-alerts-shop-answers",
    ]
    assert {
        one for one in rules_of(found, "shop-answers") if "sli_bad" not in one and "sli_total" not in one
    } == {
        *(
            f"slo:sli_error:ratio_rate{window}"
            for window in ("5m", "30m", "1h", "2h", "6h", "1d", "3d", "30d")
        ),
        "slo:objective:ratio",
        "slo:error_budget:ratio",
        "slo:time_period:days",
        "slo:current_burn_rate:ratio",
        "slo:period_burn_rate:ratio",
        "slo:period_error_budget_remaining:ratio",
        "sloth_slo_info",
    }
    labels = found.groups[0]["rules"][0]["labels"]
    assert labels == {
        "sloth_id": "shop-answers",
        "sloth_service": "shop",
        "sloth_slo": "answers",
        "sloth_window": "5m",
        "team_name": "x",
        "tier": "2",
    }


def test_a_name_that_was_rewritten_comes_back() -> None:
    found = exported(read(sloth(slo_with("Answers_2xx"), service="My.Shop")).text)
    assert found.groups[0]["rules"][0]["labels"]["sloth_id"] == "My.Shop-Answers_2xx"


def test_a_period_of_whole_weeks_is_called_as_prometheus_prints_it() -> None:
    """28 days are `4w` for Sloth, because Prometheus prints them so."""
    found = exported(read(sloth(slo_with()), options=Options("28d")).text)
    assert "slo:sli_error:ratio_rate4w" in rules_of(found, "shop-answers")


def test_the_expressions_as_sloth_has_them() -> None:
    found = rules_of(exported(read(sloth(slo_with())).text, as_sloth=True), "shop-answers")
    assert found["slo:sli_error:ratio_rate5m"] == (
        '(sum(rate(hits_total{code=~"5.."}[5m])))\n/\n(sum(rate(hits_total[5m])))'
    )
    who = '{sloth_id="shop-answers", sloth_service="shop", sloth_slo="answers"}'
    assert found["slo:sli_error:ratio_rate30d"] == (
        f"sum_over_time(slo:sli_error:ratio_rate5m{who}[30d])\n/ ignoring (sloth_window)\n"
        f"count_over_time(slo:sli_error:ratio_rate5m{who}[30d])"
    )
    assert found["slo:error_budget:ratio"] == "vector(0.001)"
    assert "slo:sli_bad:rate5m" not in found


def test_samples_that_add_up_are_asked_for_over_the_window_itself() -> None:
    bad, total = (f"sum({name}_over_time(up[{{{{.window}}}}]))" for name in ("sum", "count"))
    found = rules_of(
        exported(read(sloth(slo_with(error=bad, total=total))).text, as_sloth=True), "shop-answers"
    )
    assert found["slo:sli_error:ratio_rate1h"] == (
        "(sum(sum_over_time(up[1h])))\n/\n(sum(count_over_time(up[1h])))"
    )
    plain = slo_with(
        error="sum_over_time(count(x < 1)[{{.window}}:])", total="sum_over_time(count(x)[{{.window}}:])"
    )
    found = rules_of(exported(read(sloth(plain)).text, as_sloth=True), "shop-answers")
    assert found["slo:sli_error:ratio_rate1h"] == (
        "(sum_over_time(count(x < 1)[1h:1m]))\n/\n(sum_over_time(count(x)[1h:1m]))"
    )


def test_comments_in_a_query_do_not_swallow_what_follows() -> None:
    raw = slo_with() | {"sli": {"raw": {"error_ratio_query": "max(irate(a[{{.window}}])) # of all\n / 100"}}}
    made = read(sloth(raw)).text.replace("max(", "max( # x\\n")
    assert "#" in made
    rule = rules_of(exported(made), "shop-answers")["slo:sli_error:ratio_rate1h"]
    assert rule == "avg_over_time((max(irate(a[5m])) / 100)[1h:1m])"


def test_every_window_is_recorded_also_without_alerts() -> None:
    silent = slo_with(alerting={"page_alert": {"disable": True}, "ticket_alert": {"disable": True}})
    found = exported(read(sloth(silent)).text)
    assert len(found.groups) == 2
    assert "slo:sli_error:ratio_rate3d" in rules_of(found, "shop-answers")


def test_without_a_series_of_bad_events_none_was_bad_and_without_one_of_good_all_were() -> None:
    assert rules_of(exported(read(sloth(slo_with())).text), "shop-answers")["slo:sli_bad:rate5m"] == (
        '(sum(rate(hits_total{code=~"5.."}[5m]))) or 0 * (sum(rate(hits_total[5m])))'
    )
    latency = slo_with(error=f"{TOTAL} - sum(rate(quick_total[{{{{.window}}}}]))")
    assert rules_of(exported(read(sloth(latency)).text), "shop-answers")["slo:sli_bad:rate5m"] == (
        "(sum(rate(hits_total[5m]))) - ((sum(rate(quick_total[5m]))) or 0 * (sum(rate(hits_total[5m]))))"
    )


def test_alerts_have_what_sloth_added_and_wait_for_as_many_bad_events_as_setpoints() -> None:
    alerting = {
        "name": "ShopFails",
        "labels": {"category": "x"},
        "page_alert": {"labels": {"severity": "critical"}, "annotations": {"runbook": "https://a.b"}},
        "ticket_alert": {"disable": True},
    }
    made = read(sloth(slo_with(alerting=alerting))).text
    (alert,) = exported(made).groups[2]["rules"]
    assert alert["alert"] == "ShopFails"
    assert alert["labels"] == {
        "category": "x",
        "severity": "critical",
        "sloth_id": "shop-answers",
        "sloth_severity": "page",
    }
    assert alert["annotations"]["runbook"] == "https://a.b"
    assert alert["expr"].count("max(slo:sli_error:ratio_rate") == 4
    assert alert["expr"].count(">= 3)") == 2
    (plain,) = exported(made, as_sloth=True).groups[2]["rules"]
    assert ">= 3)" not in plain["expr"]
    assert "(14.4 * 0.001)" in plain["expr"]


def test_groups_have_rules_of_their_own() -> None:
    by = slo_with(
        error="sum by (region) (rate(a[{{.window}}]))", total="sum by (region) (rate(b[{{.window}}]))"
    )
    found = exported(read(sloth(by)).text)
    rule = rules_of(found, "shop-answers.b")["slo:sli_total:rate5m"]
    assert rule == 'sum(rate(b{region="b"}[5m]))'
    assert found.groups[-1]["rules"][0]["labels"]["sloth_id"] == "shop-answers.b"


@pytest.mark.parametrize("form", ["prometheus", "operator"])
def test_what_cannot_be_expressed_is_left_out_with_the_reason(form: Format) -> None:
    names = ("calendar-month", "composite", "spans", "sql", "time-slices")
    text = "\n---\n".join((EXAMPLES / f"objectives/{name}.yaml").read_text() for name in names)
    found = exported(text)
    reasons = {one.reason.split(",")[0].split(";")[0] for one in found.left_out}
    assert {
        "its window is of the calendar",
        "it is made of other objectives",
        "its events are counted from spans",
        "its events are counted from SQL",
        "budgetingMethod Timeslices counts slices of time",
    } <= reasons
    text = rule_file(found, form)
    assert text.count("# left out: ") == len(found.left_out)


def test_a_policy_that_rules_cannot_express_is_named() -> None:
    found = exported((EXAMPLES / "objectives/alerts.yaml").read_text())
    assert any("has a condition of kind budgetDrop" in one.reason for one in found.left_out)


def test_the_operators_resource_holds_the_same_groups() -> None:
    made = exported(read(sloth(slo_with()), pyrra({"bool_gauge": {"metric": 'up{job="b"}'}})).text)
    yaml = YAML(typ="safe", pure=True)
    plain: Any = yaml.load(rule_file(made, "prometheus"))
    resources: list[Any] = list(yaml.load_all(rule_file(made, "operator")))
    assert [one["metadata"]["name"] for one in resources] == ["setpoint-shop", "setpoint-b"]
    assert [group for one in resources for group in one["spec"]["groups"]] == plain["groups"]
    assert plain["groups"] == made.groups
    empty: Any = yaml.load(rule_file(Exported(), "prometheus"))
    assert empty == {"groups": []}


def test_texts_that_yaml_could_misread_are_quoted() -> None:
    odd = slo_with(labels={"on": "yes", "no": "1e3"}, alerting={"name": 'a\\ "b": c\n#\t\u2028é\x7f'})
    made = exported(read(sloth(odd)).text)
    plain: Any = YAML(typ="safe", pure=True).load(rule_file(made, "prometheus"))
    assert plain["groups"] == made.groups
