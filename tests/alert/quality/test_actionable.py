"""What a page must say, and that a rule that does not say it is refused with its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from setpoint import objective
from setpoint.alert.from_promql import parse
from setpoint.alert.quality.actionable import Owners, labels_given, missing
from setpoint.alert.quality.found import found_rules
from setpoint.alert.quality.require import register
from setpoint.alert.rules.spec import register as register_rules
from setpoint.errors import Problem
from setpoint.resource import Document, Registry, load_text

RUNBOOK = {"runbook_url": "https://runbooks.example.com/checkout"}
TEAMS = Owners(True, {"checkout": "payments"})


@pytest.fixture
def registry() -> Registry:
    made = Registry()
    objective.register(made)
    register_rules(made)
    register(made)
    return made


def gaps(
    labels: dict[str, str], annotations: dict[str, str], owners: Owners, given: Sequence[str] = ()
) -> list[str]:
    return [one.what for one in missing(labels, annotations, "up == 0", owners, frozenset(given))]


@pytest.mark.parametrize(
    ("labels", "annotations", "owners", "expected"),
    [
        ({"severity": "page", "team": "payments"}, RUNBOOK, TEAMS, []),
        ({"severity": "page", "service": "checkout"}, RUNBOOK, TEAMS, []),
        ({"severity": "page", "service": "cart"}, RUNBOOK, TEAMS, ["owner"]),
        ({"severity": "page", "service": "cart"}, RUNBOOK, Owners(), []),
        ({"severity": "page", "service": "{{ $labels.job }}"}, RUNBOOK, TEAMS, []),
        ({"severity": "page"}, RUNBOOK, TEAMS, ["owner"]),
        ({"team": "payments"}, RUNBOOK, TEAMS, ["severity"]),
        ({"severity": "page", "team": "a"}, {"runbook": "https://r.example.com/x"}, TEAMS, []),
        ({"severity": "page", "team": "a"}, {"runbook_url": "{{ $labels.runbook }}"}, TEAMS, []),
        ({"severity": "page", "team": "a"}, {"runbook_url": "https://r/{{ $labels.job }}"}, TEAMS, []),
        ({"severity": "page", "team": "a"}, {"runbook_url": "ask Ada"}, TEAMS, ["runbook"]),
        ({"severity": "page", "team": "a"}, {"runbook_url": "javascript:alert(1)"}, TEAMS, ["runbook"]),
        ({"severity": "page", "team": "a"}, {"runbook_url": " "}, TEAMS, ["runbook"]),
        ({}, {}, TEAMS, ["severity", "owner", "runbook"]),
    ],
)
def test_what_is_missing(
    labels: dict[str, str], annotations: dict[str, str], owners: Owners, expected: list[str]
) -> None:
    assert gaps(labels, annotations, owners) == expected


def test_what_an_expression_brings_need_not_be_written() -> None:
    assert gaps({"severity": "page"}, RUNBOOK, TEAMS, ["service"]) == []
    assert gaps({}, RUNBOOK, TEAMS, ["team", "severity"]) == []
    assert [one.what for one in missing({"severity": "page", "team": "a"}, RUNBOOK, " ", TEAMS)] == ["query"]


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        ('up{service="a", job=~".+"} == 0', {"service"}),
        ("sum by (service, job) (rate(errors_total[5m])) > 1", {"service", "job"}),
        ('sum without (job) (up{service="a", job="b"})', {"service"}),
        ('topk(3, up{service="a"})', {"service"}),
        ("sum(up)", set()),
        ('rate(errors_total{service="a"}[5m]) / on (job) rate(total[5m])', {"job"}),
        ('up{service="a"} * on (job) group_left (team) info', {"service", "team"}),
        ('up{service="a"} / ignoring (code) up', {"service"}),
        ('up{service="a"} and on (x) up', {"service"}),
        ('up{service="a"} or up{service="b", team="c"}', {"service"}),
        ('label_replace(up, "service", "$1", "job", "(.*)")', {"service"}),
        ('absent(up{service="a"})', {"service"}),
        ("vector(1)", set()),
        ("-max_over_time(sum by (team) (up)[5m:1m])", {"team"}),
    ],
)
def test_labels_that_an_expression_brings(expr: str, expected: set[str]) -> None:
    assert labels_given(parse(expr)) == expected


RULES = """\
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: shop}
spec:
  groups:
    - name: shop
      rules:
        - alert: Slow
          expr: latency > 1
          labels: {severity: page}
        - alert: Full
          expr: disk > 1
          labels: {severity: ticket}
        - alert: Fuller
          expr: disk > 2
        - record: x
          expr: up
"""
TEAM = "apiVersion: setpoint/v1\nkind: Team\nmetadata: {name: payments}\nspec: {services: [checkout]}\n"


def looked_at(registry: Registry, text: str, *others: str) -> tuple[list[Problem], list[Problem]]:
    documents = load_text(
        [("rules.yaml", text), *((f"{n}.yaml", one) for n, one in enumerate(others))], registry
    )
    catalogue: dict[tuple[str, str], Document] = {one.key: one for one in documents}
    return registry.references(documents[0], catalogue), registry.advice(documents[0], catalogue)


def test_a_rule_that_pages_without_owner_or_runbook_is_refused_with_its_line(registry: Registry) -> None:
    refused, warned = looked_at(registry, RULES)
    assert [(one.line, one.path) for one in refused] == [
        (10, "spec.groups[0].rules[0].labels.team"),
        (8, "spec.groups[0].rules[0].annotations.runbook_url"),
    ]
    assert refused[0].message == (
        "the alert Slow pages (severity page) and has no owner; add the label team: NAME, or service: NAME of a "
        "service that a Team answers for"
    )
    told = [one.message.partition(";")[0] for one in warned]
    assert told == [
        "the alert Full (and 1 more) has no owner",
        "the alert Full (and 1 more) has no runbook",
        "the alert Fuller has no severity: nobody can tell whether it pages",
    ]


def test_a_rule_that_says_it_all_is_taken(registry: Registry) -> None:
    text = RULES.replace(
        "labels: {severity: page}",
        "labels: {severity: page, service: checkout}\n          annotations: {runbook_url: 'https://r.example.com/slow'}",
    )
    refused, warned = looked_at(registry, text, TEAM)
    assert refused == []
    assert not any("Slow" in one.message for one in warned)
    refused, warned = looked_at(registry, text.replace("service: checkout", "service: cart"), TEAM)
    assert refused == []  # or the first Team could not be applied
    assert any("no team answers for the service cart" in one.message for one in warned)


def test_labels_of_the_group_and_of_the_expression_count(registry: Registry) -> None:
    text = RULES.replace("latency > 1", "max by (service) (latency) > 1").replace(
        "    - name: shop\n", "    - name: shop\n      labels: {severity: critical}\n"
    )
    refused, _ = looked_at(registry, text)
    assert [one.message.partition(";")[0] for one in refused] == [
        "the alert Slow pages (severity page) and has no runbook",
        "the alert Fuller pages (severity critical) and has no owner",
        "the alert Fuller pages (severity critical) and has no runbook",
    ]


POLICY = """\
apiVersion: openslo/v1
kind: AlertPolicy
metadata: {name: fast%s}
spec:
  conditions:
    - kind: AlertCondition
      metadata: {name: fast-burn}
      spec:
        severity: %s
        condition: {kind: burnrate, op: gte, threshold: 14.4, lookbackWindow: 1h}
"""


def test_a_policy_that_pages_without_a_runbook_is_warned_of(registry: Registry) -> None:
    refused, warned = looked_at(registry, POLICY % ("", "page"))
    assert refused == []
    assert [one.message for one in warned] == [
        "it pages and has no runbook; add metadata.annotations.runbook_url: https://…, the page that says what to look "
        "at and what to do first"
    ]
    assert looked_at(registry, POLICY % ("", "ticket")) == ([], [])
    assert looked_at(
        registry, POLICY % (", annotations: {runbook_url: 'https://r.example.com/x'}", "page")
    ) == ([], [])


@dataclass
class Rule:
    name: str
    labels: dict[str, str]
    annotations: dict[str, str] = field(default_factory=dict)
    kind: str = "alerting"
    file: str = "rules.yml"
    line: int = 7
    query: str = "up == 0"


def test_rules_of_files_are_found() -> None:
    rules = [
        Rule("Slow", {"severity": "page", "service": "cart"}),
        Rule("Good", {"severity": "page", "service": "checkout"}, dict(RUNBOOK)),
        Rule("ByExpression", {"severity": "critical"}, dict(RUNBOOK), query="sum by (team) (x) > 1"),
        Rule("Ticket", {"severity": "ticket"}),
        *(Rule(f"Unknown{number}", {}) for number in range(5)),
        Rule("x", {}, kind="recording"),
    ]
    found = found_rules(rules, TEAMS)
    assert [(one.gravity, one.service, one.message) for one in found] == [
        (
            "warning",
            "cart",
            "the alert Slow (rules.yml:7) pages (severity page) and has no owner: no team answers for the service cart",
        ),
        ("warning", "cart", "the alert Slow (rules.yml:7) pages (severity page) and has no runbook"),
        (
            "note",
            "",
            "nobody can tell whether these alerts page, they have no severity: Unknown0 (rules.yml:7), Unknown1 "
            "(rules.yml:7), Unknown2 (rules.yml:7) and 2 more",
        ),
    ]
    assert [one.message for one in found_rules(rules, TEAMS, service="checkout")] == []
    bad = [Rule("Bad", {"severity": "page", "service": "checkout"})]
    assert len(found_rules(bad, TEAMS, team="payments")) == 1
    assert found_rules(bad, TEAMS, team="search") == []
