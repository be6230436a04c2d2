"""Unit tests of rules, by Setpoint and by the real promtool: the same files must get the same verdicts, check by check.

The files are our own; `broken` has those that cannot be run at all. What Debian's promtool (2.42) does not know yet
stands in `data/new.yml` and is tested without it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from setpoint.alert.rules.check import RuleFiles, check_file
from setpoint.promql.notation import unquote

HERE = Path(__file__).parent
DATA, BROKEN = HERE / "data", HERE / "broken"
PROMTOOL = shutil.which("promtool")
FILES = sorted(
    file
    for file in (*DATA.glob("*.yml"), *DATA.glob("*.json"))
    if "_rules" not in file.name and file.stem != "new"
)
FAILING = {"clash", "limit", "wrong"}

_ALERT = re.compile(r"alertname: (.+), time: (\S+),")
_EXPRESSION = re.compile(r"expr: (\"(?:[^\"\\]|\\.)*\"), time: (\S+),")
_RULE = re.compile(r"rule: (.+), time: (\S+), err: (.+)")

needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


def _promtool(file: Path) -> tuple[bool, set[str]]:
    """Whether promtool is content with `file`, and what it finds wrong."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, timeout=30, check=False
    )
    text = done.stdout + done.stderr
    failures = {f"alert {name} at {at}" for name, at in _ALERT.findall(text)}
    failures |= {f"expr {' '.join(unquote(expr).split())} at {at}" for expr, at in _EXPRESSION.findall(text)}
    failures |= {
        f"rule {name} at {at.replace('m0s', 'm')}: {reason}" for name, at, reason in _RULE.findall(text)
    }
    return done.returncode == 0, failures


def _setpoint(file: Path) -> tuple[bool, set[str]]:
    verdict = check_file(file, RuleFiles())
    failures = [failure for test in verdict.tests for failure in test.failures]
    shown = {
        # Of an error, Prometheus's words; ours say what to do about it, too.
        f"{failure.title}: {failure.message.split(':')[0].split(';')[0]}" if failure.file else failure.title
        for failure in failures
    }
    return verdict.passed, shown


@needs_promtool
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_same_checks_fail(file: Path) -> None:
    passed, failures = _setpoint(file)
    promtool_passed, promtool_failures = _promtool(file)
    assert passed == promtool_passed
    assert failures == promtool_failures
    assert passed == (file.stem not in FAILING)
    assert bool(failures) != passed


@needs_promtool
@pytest.mark.parametrize("file", sorted(BROKEN.glob("*.yml")), ids=lambda file: file.name)
def test_files_that_promtool_refuses_are_refused_with_the_line(file: Path) -> None:
    promtool_passed, _ = _promtool(file)
    verdict = check_file(file, RuleFiles())
    assert not promtool_passed
    assert not verdict.passed
    assert not verdict.tests
    assert all(re.match(rf"{HERE}/broken/\S+\.yml:\d+: ", problem) for problem in verdict.problems), (
        verdict.problems
    )


def test_what_promtool_does_not_know_yet() -> None:
    verdict = check_file(DATA / "new.yml", RuleFiles())
    assert verdict.problems == []
    assert [test.failures for test in verdict.tests] == [(), (), ()]


def test_scripts_of_promqltest() -> None:
    passing = check_file(DATA / "queries.test", RuleFiles())
    assert [test.failures for test in passing.tests] == [()] * 10
    failing = check_file(DATA / "wrong.test", RuleFiles())
    assert all(len(test.failures) == 1 for test in failing.tests)
    assert [failure.line for test in failing.tests for failure in test.failures] == [4, 7, 10, 13, 16, 19, 22]


def test_a_rule_file_is_named_with_its_line_when_a_rule_fails() -> None:
    (test,) = [test for test in check_file(DATA / "limit.yml", RuleFiles()).tests if test.failures]
    (failure,) = test.failures
    assert failure.file == str(DATA / "failing_rules.yml")
    assert failure.line == 5
    assert failure.message == "exceeded limit of 1 with 2 series"


def test_patterns_without_a_file_are_warned_of() -> None:
    assert check_file(DATA / "plain.json", RuleFiles()).warnings == ["no file is named no_such_*.yml"]


def test_only_the_tests_that_are_asked_for() -> None:
    verdict = check_file(DATA / "alerts.yml", RuleFiles(), re.compile("gap|nothing"))
    assert [test.name for test in verdict.tests] == [
        "a gap is bridged while the alert is kept",
        "nothing at all",
    ]


@pytest.mark.parametrize("name", ["missing.yml", "data"])
def test_files_that_cannot_be_read(name: str) -> None:
    (problem,) = check_file(HERE / name, RuleFiles()).problems
    assert "cannot be read" in problem


def test_a_test_that_would_never_end_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "long_test.yml"
    file.write_text(
        "evaluation_interval: 1ms\ntests:\n"
        "  - promql_expr_test: [{expr: up, eval_time: 100y}]\n"
        "  - input_series: [{series: up, values: 1x99999999}]\n"
    )
    endless, large = check_file(file, RuleFiles()).problems
    assert endless.startswith(f"{file}:3: tests[0]: the test needs 3,153,600,000,001 evaluations")
    assert large.startswith(f"{file}:4: tests[1].input_series[0].values: 1x99999999 makes 99999999 samples")
