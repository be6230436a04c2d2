# ruff: noqa: E501 - tables of hostile input
"""Test files and rule files that nobody would write: refused with a line or run, never an accident."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.rules.check import RuleFiles, check_file
from setpoint.errors import InvalidInput

KEYS = (
    "groups", "name", "interval", "query_offset", "limit", "labels", "rules", "record", "alert", "expr", "for",
    "keep_firing_for", "annotations", "rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests",
    "input_series", "series", "values", "alert_rule_test", "alertname", "eval_time", "exp_alerts", "exp_labels",
    "exp_annotations", "promql_expr_test", "exp_samples", "value", "histogram", "external_labels", "external_url",
    "start_timestamp",
)  # fmt: skip
TEXTS = (
    "", "r", "up", "up > 0", "sum(up", "rate(up[5m])", "5m", "0", "1x5", "1 _ stale NaN", "{{schema:0 count:1}}",
    "{{ $value }}", "{{ if }}", "up{a='b'}", "{}", "r.yml", "*", "\0", "é", "2026-01-01T00:00:00Z", "-1", "1e400",
    "true", "x" * 300,
)  # fmt: skip
BLOCKS = (
    "load 1m\n  up 1+1x3\n  h{a='b'} {{schema:0 sum:1 count:1 buckets:[1]}}x3", "load_with_nhcb 1m\n  b_bucket{le='1'} 1x5",
    "clear", "# x", "load 1m\n  up {{", "eval instant at 1m up", "eval instant at 1m sum(\n  expect fail", "eval instant at 1m h",
    "eval instant at 1m up\n  up 2", "eval range from 0 to 5m step 1m up", "eval range from 5m to 0 step 1m up\n  up 1",
    "eval range from 0 to 1m step 0 up", "eval instant at 1m up[5m]\n  expect range vector from 0 to 1m step 1m",
    "eval instant at 1m up[5m]", "eval instant at 1m up + on () h\n  expect warn\n  expect info regex: x", "eval instant at 1m 'x'",
    "eval instant at 1m 1\n  expect fail regex: (", "eval instant at 1m 1\n  expect string 'x'", "eval range from 0 to 1m step 1m 1\n  5",
    "eval instant at 1m up\n  5", "eval instant at 1m 1\n  up 5", "eval instant at 99999999999999y up", "load 1m\n  up 5",
)  # fmt: skip
scalars = st.one_of(
    st.sampled_from(TEXTS), st.none(), st.booleans(), st.integers(-5, 10**20), st.floats(allow_nan=False)
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)
    ),
    max_leaves=12,
)


def mapping(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping of fields that belong there; now and then one is missing, or is anything."""
    whole = st.fixed_dictionaries(fields)
    partial = st.fixed_dictionaries({}, optional={name: value | anything for name, value in fields.items()})
    return st.integers(0, 15).flatmap(lambda chance: whole if chance else partial)


names = st.sampled_from(("r", "up", "A"))
exprs = st.sampled_from(
    ("up", "r", "up > 0", "rate(up[5m])", "up + on () up", "absent(r)", "1", "sum_over_time(up[1m:0s])")
)
times = st.sampled_from(("0", "1m", "90s", "1h"))
series = st.sampled_from(("up", "up{a='b'}", "{}", "r"))
values = st.sampled_from(("1x5", "1 _ stale NaN", "{{schema:0 count:1}}", "Inf -Inf", "0+1e308x3", ""))
shown = st.sampled_from(("{{ $value }}", "{{ query `up` }}", "{{ $labels.a | toTime }}", "", "x"))
labels = st.dictionaries(st.sampled_from(("a", "b")), shown, max_size=2)
recording = mapping(record=names, expr=exprs, labels=labels)
alerting = mapping(
    alert=names, expr=exprs, labels=labels, annotations=labels, **{"for": times, "keep_firing_for": times}
)
group = mapping(
    name=names,
    interval=times,
    query_offset=times,
    limit=st.integers(0, 2),
    rules=st.lists(recording | alerting, max_size=4),
)
test = mapping(
    name=names,
    interval=st.just("1m"),
    input_series=st.lists(mapping(series=series, values=values), max_size=2),
    alert_rule_test=st.lists(
        mapping(
            eval_time=times, alertname=names, exp_alerts=st.lists(mapping(exp_labels=labels), max_size=1)
        ),
        max_size=2,
    ),
    promql_expr_test=st.lists(
        mapping(
            expr=exprs,
            eval_time=times,
            exp_samples=st.lists(mapping(labels=series, value=scalars), max_size=1),
        ),
        max_size=2,
    ),
    external_labels=labels,
    start_timestamp=st.sampled_from((0, "1970-01-02T00:00:00Z", -5, 1e300, "noon")),
)
rule_files = mapping(groups=st.lists(group, max_size=1))
test_files = mapping(
    rule_files=st.just(["r.yml"]), tests=st.lists(test, max_size=2), evaluation_interval=st.just("1m")
)


@settings(max_examples=300, deadline=None)
@given(rule_files, test_files)
def test_any_structure_is_run_or_refused(rule_file: Any, test_file: Any) -> None:
    with TemporaryDirectory() as folder:
        (Path(folder) / "r.yml").write_text(json.dumps(rule_file))
        file = Path(folder) / "t.yml"
        file.write_text(json.dumps(test_file))
        verdict = check_file(file, RuleFiles())
    assert all(problem.startswith(folder) for problem in verdict.problems), verdict.problems


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(BLOCKS), max_size=8))
def test_any_script_is_run_or_refused(blocks: list[str]) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "s.test"
        file.write_text("load 1m\n\n" + "\n\n".join(blocks))
        verdict = check_file(file, RuleFiles())
    assert all(problem.startswith(folder) for problem in verdict.problems), verdict.problems


def test_a_duration_of_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    rule = {"alert": "A", "expr": "up", "for": "9" * 5000 + "s"}
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    with pytest.raises(InvalidInput, match="is not a duration"):
        RuleFiles().groups(file)
