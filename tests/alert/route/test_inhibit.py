"""Inhibition against the definition, asked of all pairs; and that a question does not look at all alerts."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.model import Alert
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.matcher import Matcher, matches_all
from setpoint.alert.route.model import InhibitRule

VALUES = st.sampled_from(["", "a", "b"])
LABELS = st.fixed_dictionaries({}, optional=dict.fromkeys(("x", "y", "z"), VALUES))
MATCHERS = st.lists(
    st.builds(
        Matcher,
        st.sampled_from(["x", "y", "z"]),
        st.sampled_from(["a", "b", ""]),
        st.sampled_from(["=", "!="]),
    ),
    max_size=2,
).map(tuple)
RULES = st.builds(
    InhibitRule,
    MATCHERS,
    MATCHERS,
    st.lists(st.sampled_from(["x", "y", "w"]), max_size=2, unique=True).map(tuple),
)


def definition(
    rules: Sequence[InhibitRule], alerts: Sequence[Alert], labels: Mapping[str, str], at_ms: int
) -> bool:
    for rule in rules:
        if not matches_all(rule.target, labels):
            continue
        for alert in alerts:
            is_two_sided = matches_all(rule.target, alert.labels) and matches_all(rule.source, labels)
            if (
                not alert.is_resolved(at_ms)
                and matches_all(rule.source, alert.labels)
                and all(alert.labels.get(name, "") == labels.get(name, "") for name in rule.equal)
                and not is_two_sided
            ):
                return True
    return False


def without_empty(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}


@given(
    rules=st.lists(RULES, max_size=3),
    told=st.lists(st.tuples(LABELS, st.sampled_from([None, 5, 15])), max_size=12),
    asked=st.lists(LABELS, min_size=1, max_size=6),
)
@settings(max_examples=300, deadline=None)
def test_what_is_inhibited_is_what_the_definition_says(
    rules: list[InhibitRule], told: list[tuple[dict[str, str], Any]], asked: list[dict[str, str]]
) -> None:
    inhibitor = Inhibitor(rules)
    known: dict[str, Alert] = {}
    for labels, ends_ms in told:
        alert = Alert(without_empty(labels), 0, 0, ends_ms)
        inhibitor.follow([alert])
        known[alert.fingerprint] = alert
    alerts = list(known.values())
    for at_ms in (0, 10, 20):
        for labels in asked:
            found = inhibitor.inhibited_by(without_empty(labels), at_ms)
            assert bool(found) == definition(rules, alerts, without_empty(labels), at_ms)
            assert all(not known[one].is_resolved(at_ms) for one in found)
    inhibitor.forget(alerts)
    assert not any(inhibitor.inhibited_by(without_empty(labels), 0) for labels in asked)


def test_an_alert_that_fires_again_inhibits_again() -> None:
    inhibitor = Inhibitor([InhibitRule((Matcher("a", "1"),), (Matcher("b", "1"),))])
    inhibitor.follow([Alert({"a": "1"}, 0, 0, 10)])
    assert inhibitor.inhibited_by({"b": "1"}, 9)
    assert not inhibitor.inhibited_by({"b": "1"}, 10)
    inhibitor.follow([Alert({"a": "1"}, 20, 20)])
    assert inhibitor.inhibited_by({"b": "1"}, 20)


def test_a_question_about_the_future_changes_nothing() -> None:
    inhibitor = Inhibitor([InhibitRule((Matcher("a", "1"),), (Matcher("b", "1"),))])
    inhibitor.follow([Alert({"a": "1"}, 0, 0, 10)])
    assert not inhibitor.inhibited_by({"b": "1"}, 10**12)
    assert inhibitor.inhibited_by({"b": "1"}, 5)


def test_ten_thousand_alerts_are_asked_about_quickly() -> None:
    rule = InhibitRule(
        (Matcher("severity", "critical"),), (Matcher("severity", "critical|warning", "=~"),), ("cluster",)
    )
    alerts = [
        Alert({"alertname": f"a{number}", "severity": "critical", "cluster": f"c{number % 3}"}, 0, 0, None)
        for number in range(10_000)
    ]
    inhibitor = Inhibitor([rule])
    inhibitor.follow(alerts)
    started = time.monotonic()
    assert not any(inhibitor.inhibited_by(one.labels, 1) for one in alerts)
    assert all(
        inhibitor.inhibited_by({"severity": "warning", "cluster": f"c{number % 3}"}, 1)
        for number in range(10_000)
    )
    assert time.monotonic() - started < 20  # looking at all pairs takes minutes
