"""Reads the unit-test files of promtool: input series, what rules make of them, what is expected at which time.

Described in prometheus/prometheus, docs/configuration/unit_testing_rules.md. `unit_test` runs what is read here.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from setpoint.alert.from_promql import NativeHistogram, Node, Value, parse, sequence, split_series
from setpoint.errors import InvalidInput
from setpoint.resource.fields import Fields, open_document

__all__ = [
    "AlertTest",
    "ExpectedAlert",
    "ExprTest",
    "InputSeries",
    "UnitTest",
    "UnitTestFile",
    "read_unit_tests",
]

_FILE = ("rule_files", "evaluation_interval", "group_eval_order", "fuzzy_compare", "tests")
_TEST = (
    "name", "interval", "input_series", "alert_rule_test", "promql_expr_test", "external_labels", "external_url",
    "start_timestamp",
)  # fmt: skip
_MINUTE_MS = 60_000
_LAST_INSTANT_S = 9e9
_MOST_EVALUATIONS = 2_000_000


@dataclass(frozen=True, slots=True)
class InputSeries:
    """A series and its values, one per interval of its test, None where there is no sample."""

    labels: dict[str, str]
    values: tuple[Value | None, ...]
    line: int


@dataclass(frozen=True, slots=True)
class ExpectedAlert:
    """A firing alert, without `alertname`."""

    labels: dict[str, str]
    annotations: dict[str, str]


@dataclass(frozen=True, slots=True)
class AlertTest:
    """The alerts of a name that must fire, and no others, at `at_ms` after the start."""

    line: int
    at_ms: int
    name: str
    expected: tuple[ExpectedAlert, ...]


@dataclass(frozen=True, slots=True)
class ExprTest:
    """The samples that an expression must answer, and no others, at `at_ms` after the start."""

    line: int
    at_ms: int
    expr: str
    node: Node
    expected: tuple[tuple[dict[str, str], Value], ...]


@dataclass(frozen=True, slots=True)
class UnitTest:
    """One test: it has input of its own, and the rules of the file begin anew."""

    name: str
    line: int
    interval_ms: int
    input: tuple[InputSeries, ...]
    alerts: tuple[AlertTest, ...]
    expressions: tuple[ExprTest, ...]
    external_labels: dict[str, str]
    external_url: str
    start_ms: int

    @property
    def last_ms(self) -> int:
        """The last instant that it asks for, from its start."""
        asked = [test.at_ms for test in self.alerts] + [test.at_ms for test in self.expressions]
        return max(asked, default=0)


@dataclass(frozen=True, slots=True)
class UnitTestFile:
    """A file of tests; `rule_files` are found already, patterns that found none are in `missing`."""

    file: str
    rule_files: tuple[Path, ...]
    missing: tuple[str, ...]
    interval_ms: int
    group_order: tuple[str, ...]
    is_fuzzy: bool
    tests: tuple[UnitTest, ...]


def read_unit_tests(file: str, text: str, folder: Path, *, ignores_unknown: bool = False) -> UnitTestFile:
    """The tests of a file in `folder`. Raises InvalidInput as `read.read_rules`."""
    document = open_document(file, text, ignores_unknown=ignores_unknown)
    document.only(_FILE)
    interval_ms = document.duration("evaluation_interval") or _MINUTE_MS
    order = document.texts("group_eval_order")
    for index, name in enumerate(order):
        if name in order[:index]:
            document.report(f"the group '{name}' is there twice; remove one", "group_eval_order", index)
    found, missing = _rule_files(document.texts("rule_files"), folder)
    tests = [_test(fields, index, interval_ms) for index, fields in enumerate(document.items("tests"))]
    if document.problems:
        raise InvalidInput(problems=tuple(document.problems))
    is_fuzzy = document.flag("fuzzy_compare")
    return UnitTestFile(file, found, missing, interval_ms, tuple(order), is_fuzzy, tuple(tests))


def _rule_files(patterns: Sequence[str], folder: Path) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    found: list[Path] = []
    missing = []
    for pattern in patterns:
        files = sorted(glob.glob(str(folder / pattern)))
        if not files:
            missing.append(pattern)
        found += [Path(file) for file in files]
    return tuple(dict.fromkeys(found)), tuple(missing)


def _test(fields: Fields, index: int, interval_ms: int) -> UnitTest:
    fields.only(_TEST)
    test = UnitTest(
        fields.text("name") or f"unnamed#{index}",
        fields.line,
        fields.duration("interval") or interval_ms,
        tuple(_series(item) for item in fields.items("input_series")),
        tuple(_alert_test(item) for item in fields.items("alert_rule_test")),
        tuple(test for item in fields.items("promql_expr_test") if (test := _expr_test(item)) is not None),
        fields.pairs("external_labels"),
        fields.text("external_url"),
        _start(fields),
    )
    evaluations = test.last_ms // interval_ms + 1
    if evaluations > _MOST_EVALUATIONS:
        fields.report(
            f"the test needs {evaluations:,} evaluations up to its last eval_time; {_MOST_EVALUATIONS:,} are the most: "
            "make evaluation_interval larger"
        )
    return test


def _start(fields: Fields) -> int:
    text = fields.text("start_timestamp")
    if not text:
        return 0
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds(text)
    if not abs(seconds) < _LAST_INSTANT_S:
        fields.report("write Unix seconds, or a time such as 2026-01-31T00:00:00Z", "start_timestamp")
        return 0
    return round(seconds * 1000)


def _seconds(text: str) -> float:
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return math.nan


def _series(fields: Fields) -> InputSeries:
    fields.only(("series", "values"))
    labels: dict[str, str] = {}
    values: tuple[Value | None, ...] = ()
    try:
        labels, rest = split_series(fields.text("series").strip())
        if rest or not labels:
            raise InvalidInput('write a series such as http_requests_total{job="shop"}')
    except InvalidInput as error:
        fields.report(error.message, "series")
    try:
        values = tuple(sequence(fields.text("values")))
    except InvalidInput as error:
        fields.report(error.message, "values")
    return InputSeries(labels, values, fields.line_of("series"))


def _alert_test(fields: Fields) -> AlertTest:
    fields.only(("eval_time", "alertname", "exp_alerts"))
    name = fields.text("alertname")
    if not name:
        fields.report("the test names no alert; write its 'alertname'", "alertname")
    expected = []
    for item in fields.items("exp_alerts"):
        item.only(("exp_labels", "exp_annotations"))
        labels = {**item.pairs("exp_labels"), "alertname": name}
        expected.append(ExpectedAlert(labels, item.pairs("exp_annotations")))
    return AlertTest(fields.line, fields.duration("eval_time"), name, tuple(expected))


def _not_empty(labels: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if value}


def _expr_test(fields: Fields) -> ExprTest | None:
    fields.only(("expr", "eval_time", "exp_samples"))
    expected = tuple(sample for item in fields.items("exp_samples") if (sample := _sample(item)) is not None)
    at_ms, expr = fields.duration("eval_time"), fields.text("expr")
    try:
        return ExprTest(fields.line, at_ms, expr, parse(expr), expected)
    except InvalidInput as error:
        fields.report(error.message, "expr")
        return None


def _sample(fields: Fields) -> tuple[dict[str, str], Value] | None:
    fields.only(("labels", "value", "histogram"))
    try:
        labels, rest = split_series(fields.text("labels").strip())
        if rest:
            raise InvalidInput("write labels such as {job=\"shop\"}; the value stands under 'value'")
    except InvalidInput as error:
        fields.report(error.message, "labels")
        return None
    if not fields.has("histogram"):
        return _not_empty(labels), fields.number("value")
    try:
        values: list[Value | None] = list(sequence(fields.text("histogram")))
        if len(values) != 1 or not isinstance(values[0], NativeHistogram):
            raise InvalidInput("write one histogram, such as {{schema:0 sum:5 count:4 buckets:[1 2 1]}}")
    except InvalidInput as error:
        fields.report(error.message, "histogram")
        return None
    return _not_empty(labels), values[0]
