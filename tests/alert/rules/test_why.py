"""Why a rule fires or does not; rules as resources, on data sources, and rules that mean harm."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.alert.from_promql import VectorSample, parse, show
from setpoint.alert.rules.compared import bare, conditions_of
from setpoint.app.kinds import default_registry
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.resource import Document
from setpoint.resource.read import read_yaml
from tests.alert.rules.office import Office

COMPARING = """
groups:
  - name: shop
    interval: 15s
    rules:
      - {alert: High, expr: 'input{kind="a"} > 10 and on() limits > 0', for: 1m}
      - {alert: Over, expr: 'input > on(kind) limits'}
      - {alert: Gone, expr: 'input{kind="z"} > 1'}
      - {record: made, expr: input}
"""
RULE = """
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: far
  namespace: monitoring
  creationTimestamp: null
  annotations: {setpoint/data-source: mimir}
spec:
  groups:
    - name: far
      interval: 15s
      partial_response_strategy: warn
      rules:
        - {record: total, expr: sum(requests)}
        - {alert: Many, expr: total > 10}
"""


@pytest.fixture
def office(sqlite_database: StateDatabase, tmp_path: Path) -> Office:
    found = Office(sqlite_database, tmp_path, COMPARING)
    for kind, value in (("a", 9.5), ("b", 3.0)):
        found.say(value, kind=kind)
    found.say(5, "limits", kind="a")
    found.go(1)
    return found


def test_the_values_stand_beside_the_thresholds(office: Office) -> None:
    (why,) = office.manager.why("shop", "High")
    first, second = why.conditions
    assert (first.left_text, first.op, first.right_text, first.join) == ('input{kind="a"}', ">", "10", "")
    assert [(row.left, row.right, row.holds) for row in first.series] == [(9.5, 10.0, False)]
    assert (second.join, second.holding) == ("and", 1)
    assert why.summary == "It does not fire: of 1 series none is > its threshold; the nearest is 9.5 > 10."
    office.say(11, kind="a")
    office.go(0.5)
    (why,) = office.manager.why("shop", "High")
    assert why.alerts[0].for_ms == 60_000
    assert why.alerts[0].fires_ms == why.alerts[0].alert.active_at_ms + 60_000
    assert why.summary.startswith("It does not fire yet: true for ")
    office.go(1.5)
    assert office.manager.why("shop", "High")[0].summary.startswith("It fires for 1 series: true for ")


def test_vectors_are_matched_as_in_the_expression(office: Office) -> None:
    (why,) = office.manager.why("shop", "Over")
    rows = {row.labels["kind"]: (row.left, row.right, row.holds) for row in why.conditions[0].series}
    assert rows == {"a": (9.5, 5.0, True), "b": (3.0, None, False)}


def test_what_finds_nothing_is_named_with_what_is_near(office: Office) -> None:
    (why,) = office.manager.why("shop", "Gone")
    assert why.missing == (
        'input{kind="z"} finds no series: kind="z" excludes all of it; there is kind a, b',
    )
    assert why.summary.startswith("It cannot fire: ")
    assert office.manager.why("shop", "made")[0].summary == "It records 2 series."


def test_a_query_that_fails_says_so(office: Office) -> None:
    office.fault = Unavailable("the engine is away")
    office.go(0.5)
    (why,) = office.manager.why("shop", "High")
    assert "the engine is away" in why.summary
    assert why.conditions == ()


@pytest.mark.parametrize(
    ("expression", "values", "conditions"),
    [
        ("a > 1", "a", 1),
        ("1 < a", "a", 1),
        ("a > 1 and b < 2", "a", 2),
        ("a > 1 or b < 2", "(a) or (b)", 2),
        ("a unless b > 1", "a", 2),
        ("absent(a)", "absent(a)", 1),
        ("a > bool 1", "a > bool 1", 1),
        ("count(a == 0) > 2", "count(a == 0)", 1),
    ],
)
def test_what_an_expression_compares(expression: str, values: str, conditions: int) -> None:
    assert show(bare(parse(expression))) == show(parse(values))
    assert len(conditions_of(parse(expression))) == conditions


# ---- resources -------------------------------------------------------------------------------------------


def document(text: str) -> Document:
    """The document of `text`. Raises InvalidInput."""
    sources, problems = read_yaml("rule.yaml", text)
    assert not problems
    found, problems = default_registry().parse(sources[0])
    if found is None:
        raise InvalidInput(problems=tuple(problems))
    return found


def test_a_manifest_of_a_cluster_is_evaluated_on_its_data_source(
    sqlite_database: StateDatabase, tmp_path: Path
) -> None:
    office = Office(sqlite_database, tmp_path)
    asked = []

    def ask(node: object, at_ms: int) -> list[VectorSample]:
        asked.append(show(node))  # type: ignore[arg-type]
        return [VectorSample({}, 12.0)]

    office.sources["mimir"] = ask
    office.manager.follow([document(RULE)])
    office.go(1)
    assert set(asked) == {"sum(requests)"}  # what is recorded here is asked here
    assert office.states == ["firing"]
    assert (office.group.file, office.group.data_source) == ("PrometheusRule/far", "mimir")
    office.manager.follow([])
    office.go(0.5)
    assert office.manager.groups() == []
    assert ("Many", "resolved") in office.take_told()


def test_a_rule_that_reads_from_two_servers_is_refused() -> None:
    with pytest.raises(InvalidInput, match="total is recorded here and requests is at the data source"):
        document(RULE.replace("total > 10", "total > requests"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("sum(requests)", "sum(requests"), "rule.yaml:15"),
        (("interval: 15s", "interval: soon"), "'soon' is not a duration"),
        (("record: total", "record: total, alert: total"), "either 'record' or 'alert'"),
        (("alert: Many", "alert: Many, annotations: {a: '{{ .Nope'}"), "the template is not valid"),
        (("interval: 15s", "intervall: 15s"), "intervall"),
    ],
)
def test_what_is_wrong_with_a_resource_is_told(change: tuple[str, str], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        document(RULE.replace(*change))
    assert message in str(caught.value)


# ---- harm ------------------------------------------------------------------------------------------------


def test_templates_that_loop_or_grow_fail_alone(sqlite_database: StateDatabase, tmp_path: Path) -> None:
    rules = """
groups:
  - name: hostile
    interval: 15s
    rules:
      - alert: Asking
        expr: input > 0
        annotations: {text: '{{ range query "input" }}{{ range query "input +" }}{{ end }}{{ end }}'}
      - alert: Huge
        expr: input > 0
        annotations: {text: '{{ printf "%1000000000d" 1 }}'}
      - alert: Fine
        expr: input > 0
        annotations: {text: fine}
"""
    office = Office(sqlite_database, tmp_path, rules)
    office.say(1)
    office.go(0.5)
    texts = {alert.labels["alertname"]: alert.annotations["text"] for alert in office.alerts}
    assert texts["Fine"] == "fine"
    assert all(len(text) < 1_000_000 for text in texts.values())


def test_ten_thousand_alerts_fire_and_resolve(sqlite_database: StateDatabase, tmp_path: Path) -> None:
    rules = "groups: [{name: many, interval: 15s, rules: [{alert: Many, expr: input > 0}]}]"
    office = Office(sqlite_database, tmp_path, rules)
    for number in range(10_000):
        office.say(1, x=str(number))
    office.go(0.25)
    assert len(office.alerts) == 10_000
    assert len({alert.fingerprint for alert in office.alerts}) == 10_000
    office.take_told()
    office.start()
    assert len(office.take_told()) == 10_000
    office.go(0.25)
    office.saying.clear()
    office.clock.advance(301)
    office.go(0.25)
    assert office.alerts == []
    assert [state for _, state in office.take_told()].count("resolved") == 10_000
