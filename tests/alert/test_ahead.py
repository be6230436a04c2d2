"""Rules evaluated over all of a test's time at once give what they give instant by instant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.from_promql import TestVerdict
from setpoint.alert.rules.ahead import can_run_ahead
from setpoint.alert.rules.evaluate import External, GroupStates
from setpoint.alert.rules.read import read_rules
from setpoint.alert.rules.unit_test import in_order, run_unit_test
from setpoint.alert.rules.unit_test_file import read_unit_tests

DATA = Path(__file__).parent / "data"
FILES = sorted(file for file in DATA.glob("*.yml") if "_rules" not in file.name)

EXPRESSIONS = (
    "a", "a + on (x) b", "sum(a)", "rate(a[3m])", "a > 3", "max_over_time(a[2m:30s])", "absent(b)", "r0 * 2",
    "r1 > 0", "r2 or a", "count_over_time(r0[5m])", "a unless r1", "topk(1, a)", 'ALERTS{alertstate="firing"}',
    "time()", "a offset 1m", "a * on (x) group_left b", "changes(r0[4m])", "1 / (a - 2)",
)  # fmt: skip
SHOWN = '{__name__=~"r.|ALERTS.*"}'


def verdicts(rules: str, tests: str, folder: Path, ahead: bool) -> list[TestVerdict]:
    file = read_unit_tests("test.yml", tests, folder)
    groups = list(read_rules("rules.yml", rules)) if rules else []
    groups += [group for path in file.rule_files for group in read_rules(str(path), path.read_text())]
    return [run_unit_test(file, test, in_order(groups, file.group_order), ahead=ahead) for test in file.tests]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_verdicts_are_the_same(file: Path) -> None:
    found = [verdicts("", file.read_text(), DATA, ahead) for ahead in (True, False)]
    assert found[0] == found[1]


samples = st.lists(st.sampled_from(("_", "1", "2", "5", "9.5", "stale", "NaN", "0+1x3", "_x6")), max_size=8)
rule = st.tuples(
    st.sampled_from(EXPRESSIONS), st.sampled_from(("record", "alert")), st.sampled_from(("0s", "1m", "3m"))
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(rule, min_size=1, max_size=4),
    st.lists(samples, min_size=3, max_size=3),
    st.sampled_from(("0s", "1m")),
)
def test_random_rules_over_random_series(
    chosen: list[tuple[str, str, str]], values: list[list[str]], query_offset: str
) -> None:
    made = [
        {"record": f"r{place}", "expr": expr}
        if kind == "record"
        else {
            "alert": f"A{place}",
            "expr": expr,
            "for": duration,
            "keep_firing_for": duration,
            "annotations": {"v": "{{ $value }}"},
        }
        for place, (expr, kind, duration) in enumerate(chosen)
    ]
    rules = json.dumps({"groups": [{"name": "g", "query_offset": query_offset, "rules": made}]})
    test = {
        "input_series": [
            {"series": series, "values": " ".join(given_values)}
            for series, given_values in zip(('a{x="1"}', 'a{x="2"}', 'b{x="1"}'), values, strict=True)
        ],
        # Expectations that cannot be met: the failures show what there is.
        "promql_expr_test": [{"expr": SHOWN, "eval_time": f"{at}m"} for at in (1, 2, 4, 7, 11, 15)],
        "alert_rule_test": [
            {"eval_time": f"{at}m", "alertname": f"A{place}", "exp_alerts": [{"exp_labels": {"no": "such"}}]}
            for at in (2, 5, 9)
            for place in range(len(made))
        ],
    }
    tests = json.dumps({"tests": [test]})
    wanted = verdicts(rules, tests, DATA, ahead=False)
    assert verdicts(rules, tests, DATA, ahead=True) == wanted
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("setpoint.alert.rules.ahead._STEPS_AT_ONCE", 3)
        assert verdicts(rules, tests, DATA, ahead=True) == wanted


@pytest.mark.parametrize(
    ("rules", "possible"),
    [
        ([("record", "r", "rate(a[5m])"), ("alert", "A", "r > 1")], True),
        ([("alert", "A", "r > 1"), ("record", "r", "rate(a[5m])")], False),
        ([("record", "r", "r + 1 or a")], False),
        ([("record", "r", '{__name__=~"a.*"}')], False),
        ([("record", "r", "a offset -1m")], False),
        ([("record", "r", "a @ 60")], False),
        ([("record", "r", "sum_over_time(a[5m:1m] @ end())")], False),
        ([("alert", "A", "a"), ("record", "r", "ALERTS")], True),
        ([("record", "r", "ALERTS"), ("alert", "A", "a")], False),
        ([("alert", "A", "a > 1", "{{ query `b` }}")], True),
        ([("alert", "A", "a > 1", "{{ query `b` }}"), ("record", "r", "a")], False),
        ([("alert", "A", "a > 1", "{{ query `ALERTS` }}")], False),
    ],
)
def test_which_rules_can_run_ahead(rules: list[tuple[str, ...]], possible: bool) -> None:
    made = [
        {kind: name, "expr": expr, **({"annotations": {"x": texts[0]}} if texts else {})}
        for kind, name, expr, *texts in rules
    ]
    (group,) = read_rules("r.yml", json.dumps({"groups": [{"name": "g", "rules": made}]}))
    states = GroupStates(group, lambda node, at_ms: [], lambda labels, at_ms, value: None, External())
    assert can_run_ahead([states]) == possible
