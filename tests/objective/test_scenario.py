"""Scenario files: what they say when something is not as expected, and what is wrong in one with its line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from setpoint.alert.rules.check import RuleFiles, check_file
from setpoint.promql.verdict import FileVerdict

SLO = """
apiVersion: openslo/v1
kind: SLO
metadata: {name: NAME}
spec:
  service: checkout
  indicator:
    spec:
      ratioMetric:
        counter: true
        bad: {metricSource: {spec: {query: 'sum(requests_total{code="500"})'}}}
        total: {metricSource: {spec: {query: sum(requests_total)}}}
  timeWindow: [{duration: 30d, isRolling: true}]
  budgetingMethod: Occurrences
  objectives: [{target: 0.99}]
"""
HEAD = "objectives: [slo.yaml]\ntests:\n  - name: one\n"
EVENTS = "    input_events:\n      - {total: 100x59, bad: 1}\n"


def check(folder: Path, text: str, *, only: str | None = None, slos: str = SLO) -> FileVerdict:
    (folder / "slo.yaml").write_text(slos.replace("NAME", "checkout"))
    file = folder / "test.yaml"
    file.write_text(text)
    return check_file(file, RuleFiles(), None if only is None else re.compile(only))


def test_what_is_not_as_expected_is_told_beside_what_is(tmp_path: Path) -> None:
    text = (
        HEAD
        + EVENTS
        + (
            "    expect:\n"
            "      - {at: 1h, total: 6000}\n"
            "      - at: 1h\n"
            "        total: 6000\n"
            "        sli: 99.5 %\n"
            "        burn: {1h: 2.0, 7h: 1}\n"
            "        alerts: {page-1h: firing}\n"
            "        state: healthy\n"
        )
    )
    verdict = check(tmp_path, text)
    assert not verdict.problems
    (test,) = verdict.tests
    assert (test.name, test.line, test.checks) == ("one", 3, 7)
    (failure,) = test.failures
    assert failure.line == 10  # of the first field that differs
    assert failure.title == "checkout at 1h"
    assert "bad events" in failure.message
    pairs = dict(zip(failure.expected, failure.got, strict=True))
    assert pairs["state: healthy"] == "state: exhausted"
    assert pairs["total: 6000"] == "total: 6000"
    assert pairs["sli: 99.5 %"] == "sli: 99 %"
    assert pairs["burn over 1h: 2.0"] == "burn over 1h: 1"
    assert pairs["burn over 7h: 1"].startswith("burn over 7h: not measured; the alerts look at ")
    assert pairs["alerts: page-1h firing"] == "alerts: none"


@pytest.mark.parametrize(
    "written, holds",
    [
        ("98.6 %", False),
        ("98.7 %", True),
        ("99 %", True),
        ("98.67 %", True),
        ("98.66 %", False),
        ("0.987", True),
        ("0.98", False),
        ("98 % ± 1 %", True),
        ("98 % ± 0.5 %", False),
        ("0.98 +/- 0.01", True),
        ("9.867e-1", True),
        ("none", False),
    ],
)
def test_a_number_is_as_exact_as_it_is_written(tmp_path: Path, written: str, holds: bool) -> None:
    text = (
        HEAD + "    input_events: [{total: 75x59, bad: 1}]\n" + f"    expect: [{{at: 1h, sli: {written}}}]\n"
    )
    (test,) = check(tmp_path, text).tests
    assert (not test.failures) == holds


def test_counts_are_met_exactly(tmp_path: Path) -> None:
    text = (
        HEAD + EVENTS + "    expect: [{at: 1h, total: 6001}, {at: 1h, total: 6001 ± 1}, {at: 1h, bad: 60}]\n"
    )
    (test,) = check(tmp_path, text).tests
    assert [failure.got for failure in test.failures] == [("total: 6000",)]


@pytest.mark.parametrize(
    "text, told",
    [
        (HEAD, "test.yaml:3: tests[0].expect: expects nothing"),
        ("objectives: []\ntests: []\n", "test.yaml:1: objectives: names no documents"),
        ("objectives: [gone.yaml]\ntests: []\n", "gone.yaml"),
        ("objectives: [7]\ntests: []\n", "test.yaml:1: objectives[0]: write the name of a file"),
        ("objectives: [slo.yaml]\n", "test.yaml:1: tests: there are no tests"),
        ("objectives: [slo.yaml, slo.yaml]\ntests: []\n", "two documents of one kind have the same name"),
        (
            "objectives:\n  - {apiVersion: openslo/v1, kind: SLO, metadata: {name: x}}\n",
            "test.yaml:2: spec: is missing",
        ),
        (
            HEAD + "    start: soon\n    expect: [{at: 1h, total: 1}]\n",
            "test.yaml:4: tests[0].start: write a time",
        ),
        (HEAD + "    expect: [{total: 1}]\n", "test.yaml:4: tests[0].expect[0].at: when? add 'at:'"),
        (
            HEAD + "    expect: [{at: 1h}]\n",
            "test.yaml:4: tests[0].expect[0]: expects nothing; add one of state",
        ),
        (HEAD + "    expect: [{at: 1h, sli: good}]\n", "'good' is no number"),
        (HEAD + "    expect: [{at: 1h, state: bad}]\n", "'bad' is no state; write one of healthy, burning"),
        (HEAD + "    expect: [{at: 1h, burn: {fast: 1}}]\n", "'fast' is not a duration"),
        (HEAD + "    expect: [{at: 1h, alerts: {page: on}}]\n", "write pending or firing"),
        (
            HEAD + "    expect: [{at: 1h, budget: 1}]\n",
            "the field 'budget' does not exist here; there are at,",
        ),
        (
            HEAD + "    apply_at: 2h\n    expect: [{at: 1h, total: 1}]\n",
            "test.yaml:5: this is before the objectives",
        ),
        (HEAD + "    expect: [{at: 1000d, total: 1}]\n", "the test needs 1,440,000 evaluations"),
        (
            HEAD + "    down: [{from: 2h, to: 1h}]\n    expect: [{at: 1h, total: 1}]\n",
            "ends before it begins",
        ),
        (
            HEAD + "    input_events: [{total: 1x5, good: 1x4}]\n    expect: [{at: 1h, total: 1}]\n",
            "test.yaml:4: tests[0].input_events[0].good: has 5 minutes and total 6",
        ),
        (
            HEAD + "    input_events: [{total: 1x5}]\n    expect: [{at: 1h, total: 1}]\n",
            "write good or bad beside total",
        ),
        (
            HEAD + "    input_events: [{total: many, bad: 0}]\n    expect: [{at: 1h, total: 1}]\n",
            "'many' is not a value",
        ),
        (
            HEAD + "    input_series: [{series: 'x{', values: 1}]\n    expect: [{at: 1h, total: 1}]\n",
            "test.yaml:4: tests[0].input_series[0].series",
        ),
        (
            HEAD + "    input_events: [{total: 1, bad: 0, from: 30s}]\n    expect: [{at: 1h, total: 1}]\n",
            "whole minutes",
        ),
    ],
)
def test_what_is_wrong_in_a_file_is_told_with_its_line(tmp_path: Path, text: str, told: str) -> None:
    verdict = check(tmp_path, text)
    assert not verdict.tests
    assert any(told in problem for problem in verdict.problems), verdict.problems


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = (
        HEAD
        + "    start: soon\n    interval: often\n    expect: [{at: late, sli: good}, {at: 1h}]\n    other: 1\n"
    )
    assert len(check(tmp_path, text).problems) == 6


@pytest.mark.parametrize(
    "text, told",
    [
        (
            EVENTS + "    expect: [{at: 1h, objective: other, total: 1}]\n",
            "no objective 'other'; there are checkout",
        ),
        (
            "    input_events: [{objective: other, total: 1, bad: 0}]\n    expect: [{at: 1h, total: 1}]\n",
            "line 4: there is no objective 'other'",
        ),
        ("    down: [{from: 30m, to: 2h}]\n    expect: [{at: 1h, total: 1}]\n", "Setpoint is down then"),
    ],
)
def test_what_only_the_run_finds(tmp_path: Path, text: str, told: str) -> None:
    (test,) = check(tmp_path, HEAD + text).tests
    (failure,) = test.failures
    assert told in failure.message


def test_one_of_several_objectives_must_be_named(tmp_path: Path) -> None:
    two = SLO + "---" + SLO.replace("NAME", "second")
    text = HEAD + EVENTS + "    expect: [{at: 1h, total: 6000}, {at: 1h, objective: second, total: 6000}]\n"
    (test,) = check(tmp_path, text, slos=two).tests
    (failure,) = test.failures
    assert "which objective? add 'objective:'; there are checkout, second" in failure.message


def test_tests_are_chosen_by_name(tmp_path: Path) -> None:
    text = (
        HEAD + EVENTS + "    expect: [{at: 1h, total: 1}]\n  - name: two\n    expect: [{at: 1h, total: 0}]\n"
    )
    assert [test.name for test in check(tmp_path, text, only="tw").tests] == ["two"]


def test_an_objective_over_a_data_source_reads_the_same_series(tmp_path: Path) -> None:
    source = """
apiVersion: openslo/v1
kind: DataSource
metadata: {name: elsewhere}
spec: {type: Prometheus, connectionDetails: {url: http://prometheus.example}}
"""
    slo = SLO.replace("{metricSource: {spec", "{metricSource: {metricSourceRef: elsewhere, spec")
    text = HEAD + (
        "    input_series: [{series: requests_total, values: 0+10x60}]\n    expect: [{at: 1h, total: 600, bad: 0}]\n"
    )
    (test,) = check(tmp_path, text, slos=slo + "---" + source).tests
    assert not test.failures
