"""Rules on a clock that a server would have: states of alerts with their instants, series, faults that pass."""

from __future__ import annotations

import pytest

from setpoint.alert.from_promql import MemoryStore, Options, VectorSample, instant_vector, parse
from setpoint.alert.rules.evaluate import External, GroupStates, recorded
from setpoint.alert.rules.read import read_rules
from setpoint.alert.rules.rule import AlertingRule, RecordingRule
from setpoint.alert.rules.state import AlertStates
from setpoint.errors import InvalidInput

MINUTE = 60_000
RULES = """
groups:
  - name: g
    limit: 2
    rules:
      - record: doubled
        expr: input * 2
        labels: {dropped: ""}
      - alert: High
        expr: doubled > 10
        for: 2m
        keep_firing_for: 1m
        annotations: {value: '{{ $value }}'}
"""


def group_over(store: MemoryStore, rules: str = RULES) -> GroupStates:
    (group,) = read_rules("rules.yml", rules)
    options = Options()
    return GroupStates(
        group, lambda node, at_ms: instant_vector(node, at_ms, store, options), store.append, External()
    )


def test_an_alert_has_its_instants() -> None:
    store = MemoryStore()
    values = [1, 9, 9, 8, 1, 1, 1]
    store.load(
        {"__name__": "input", "dropped": "x"},
        [(at * MINUTE, float(value)) for at, value in enumerate(values)],
    )
    states = group_over(store)
    seen = []
    for at in range(7):
        assert states.evaluate(at * MINUTE) == []
        seen.append([(alert.state, alert.annotations["value"]) for alert in states.alerts[0].active])
    assert seen == [
        [], [("pending", "18")], [("pending", "18")], [("firing", "16")], [("firing", "16")], [], [],
    ]  # fmt: skip
    (alert,) = states.alerts[0]._alerts.values()
    assert (alert.active_at_ms, alert.fired_at_ms, alert.resolved_at_ms) == (MINUTE, 3 * MINUTE, 5 * MINUTE)
    assert alert.labels == {"alertname": "High"}


def test_resolved_alerts_are_forgotten_after_a_quarter_of_an_hour() -> None:
    rule = AlertingRule("A", "a", parse("a"))
    states = AlertStates(rule)
    there = [VectorSample({"__name__": "a", "x": "1"}, 1.0)]
    states.advance(0, there, lambda template, sample: template.text)
    states.advance(MINUTE, [], lambda template, sample: template.text)
    assert states.active == []
    assert len(states._alerts) == 1
    states.advance(16 * MINUTE, [], lambda template, sample: template.text)
    assert len(states._alerts) == 1
    states.advance(17 * MINUTE, [], lambda template, sample: template.text)
    assert len(states._alerts) == 0


def test_a_rule_that_fails_is_named_and_the_next_one_goes_on() -> None:
    store = MemoryStore()
    for name in "abc":
        store.load({"__name__": "input", "x": name}, [(0, 1.0)])
    rules = (
        RULES.replace("doubled > 10", "input == 1")
        .replace("limit: 2", "limit: 3")
        .replace('labels: {dropped: ""}', 'labels: {x: ""}')
    )
    states = group_over(store, rules)
    (fault,) = states.evaluate(0)
    assert fault.rule.name == "doubled"
    assert "same labelset after applying rule labels" in fault.message
    assert len(states.alerts[0].active) == 3


def test_over_the_limit_a_rule_fails_and_forgets() -> None:
    store = MemoryStore()
    for name in "abc":
        store.load({"__name__": "input", "x": name}, [(0, 1.0)])
    states = group_over(store, RULES.replace("doubled > 10", "input == 1"))
    assert [fault.message for fault in states.evaluate(0)] == [
        "exceeded limit of 2 with 3 series",
        "exceeded limit of 2 with 3 alerts",
    ]
    assert states.alerts[0].active == []


def test_recorded_series_take_the_name_and_labels_of_the_rule() -> None:
    rule = RecordingRule("r", "a", parse("a"), {"team": "shop", "x": ""})
    vector = [VectorSample({"__name__": "a", "x": "1", "y": "2"}, 3.0)]
    assert recorded(rule, vector) == [({"__name__": "r", "team": "shop", "y": "2"}, 3.0)]
    with pytest.raises(InvalidInput, match="same labelset"):
        recorded(rule, [*vector, VectorSample({"__name__": "a", "x": "2", "y": "2"}, 3.0)])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("groups:\n  - name: g\n    rules:\n      - {alert: A, expr: up >}", "rules.yml:4: groups[0].rules[0].expr: "),
        ("groups:\n  - rules: []", "rules.yml:2: groups[0].name: the group has no name; write one"),
        (
            "groups:\n  - name: g\n    rules:\n      - alert: A\n        expr: up\n        annotations:\n"
            "          text: |\n            ok\n            {{ $nope }}\n",
            "rules.yml:7: groups[0].rules[0].annotations.text: the template is not valid: the variable $nope does not "
            "exist; declare it with $nope := … (line 2 of the template)",
        ),
        ("groups:\n  - name: g\n    rules: [{record: r, expr: 'up[5m]'}]", "must be an instant vector or a scalar"),
        ("groups: {}", "rules.yml:1: groups: a list is expected here; begin each item with -"),
        ("- a", "rules.yml:1: a mapping is expected; begin with 'groups:' or 'tests:'"),
        ("groups:\n  - {name: g, limit: -1}", "a whole number from 0 is expected here"),
    ],
)  # fmt: skip
def test_faults_of_rule_files_have_their_line(text: str, problem: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_rules("rules.yml", text)
    assert any(problem in str(found) for found in raised.value.problems), raised.value.problems


def test_all_faults_of_a_file_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as raised:
        read_rules(
            "r.yml", "groups:\n  - name: g\n    rules: [{alert: A}, {record: r, expr: '('}]\n    labells: {}"
        )
    assert len(raised.value.problems) == 3
