"""The kind `Retention` as users meet it: through the registry, with the line of what has to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.errors import InvalidInput
from setpoint.promql.selector import read_selector
from setpoint.resource import Document, Registry, load_paths, load_text
from setpoint.telemetry import Matcher
from setpoint.telemetry.register import register
from setpoint.telemetry.retention import Policy, Rule, policy_of
from setpoint.telemetry.spec import days_of

EXAMPLES = Path(__file__).parents[2] / "examples" / "telemetry"


def _load(text: str) -> list[Document]:
    registry = Registry()
    register(registry, read_selector)
    return load_text([("retention.yaml", text)], registry)


def _retention(*rules: str, name: str = "thin") -> str:
    lines = ["apiVersion: setpoint/v1", "kind: Retention", f"metadata: {{name: {name}}}", "spec:", "  rules:"]
    return "\n".join([*lines, *(f"    - {{{rule}}}" for rule in rules), ""])


def test_rules_become_a_policy() -> None:
    documents = _load(
        _retention("match: 'debug_*', keep: 7d", "match: 'up{job=\"api\"}', keep: 2y")
        + "---\n"
        + _retention("match: '{__name__=~\"debug_.*\"}', keep: 1w", name="another")
    )
    assert policy_of(documents, 35, read_selector) == Policy(
        35,
        (
            Rule((Matcher("__name__", "=~", "debug_.*"),), 7),  # of `another`, which comes first by name
            Rule((Matcher("__name__", "=~", "debug_.*"),), 7),
            Rule((Matcher("__name__", "=", "up"), Matcher("job", "=", "api")), 730),
        ),
    )
    assert policy_of([], 35, read_selector) == Policy(35)


@pytest.mark.parametrize(
    ("rule", "line", "path", "advice"),
    [
        ("match: 'rate(up[5m])', keep: 7d", 6, "spec.rules[0].match", "this is no selector"),
        ("match: 'up offset 5m', keep: 7d", 6, "spec.rules[0].match", "this is no selector"),
        ("match: 'up{', keep: 7d", 6, "spec.rules[0].match", ""),
        ("match: '{job=~\"a(?=b)\"}', keep: 7d", 6, "spec.rules[0].match", "illegal regex"),
        ("match: '', keep: 7d", 6, "spec.rules[0].match", "at least 1 character"),
        ("match: 'a-*', keep: 7d", 6, "spec.rules[0].match", ""),
        ("match: up, keep: 12h", 6, "spec.rules[0].keep", "such as 7d"),
        ("match: up, keep: 0d", 6, "spec.rules[0].keep", "such as 7d"),
        ("match: up, keep: 11y", 6, "spec.rules[0].keep", "longer than 10 years"),
        ("match: up", 6, "spec.rules[0].keep", "is missing"),
        ("match: up, keep: 7d, rollup: 1d", 6, "spec.rules[0].rollup", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_line(rule: str, line: int, path: str, advice: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _load(_retention(rule))
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.path) == ("retention.yaml", line, path)
    assert advice in problem.message


def test_the_first_rule_that_matches_counts() -> None:
    policy = policy_of(
        _load(_retention("match: 'debug_slow', keep: 60d", "match: 'debug_*', keep: 7d")), 35, read_selector
    )
    kept = {name: policy.keep_days({"__name__": name}) for name in ("debug_slow", "debug_x", "x")}
    assert kept == {"debug_slow": 60, "debug_x": 7, "x": 35}
    assert (policy.shortest_days, policy.longest_days) == (7, 60)


@pytest.mark.parametrize(("text", "days"), [("1d", 1), ("2w", 14), ("10y", 3650)])
def test_durations_are_whole_days(text: str, days: int) -> None:
    assert days_of(text) == days


def test_the_example_is_a_policy() -> None:
    registry = Registry()
    register(registry, read_selector)
    documents = load_text(load_paths([EXAMPLES / "retention.yaml"]), registry)
    policy = policy_of(documents, 35, read_selector)
    assert policy.keep_days({"__name__": "debug_allocations_total"}) < 35 < policy.longest_days
