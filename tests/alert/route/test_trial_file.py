"""Tests of routing that users write: the example passes, and a failure says what came and why."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from setpoint.alert.from_promql import TestVerdict
from setpoint.alert.route.trial_file import check_routing
from setpoint.errors import InvalidInput

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "routing" / "bookshop_test.yml"
SETPOINT = str(Path(sys.executable).with_name("setpoint"))
CONFIG = """\
route:
  receiver: a
  routes:
    - matchers: [severity=page]
      receiver: b
      continue: true
    - matchers: [team=x]
      receiver: c
receivers: [{name: a}, {name: b}, {name: c}]
inhibit_rules:
  - source_matchers: [alertname=Down]
    target_matchers: [alertname=Slow]
    equal: [service]
"""


def check(tests: str, folder: Path, only: re.Pattern[str] | None = None) -> list[TestVerdict]:
    (folder / "am.yml").write_text(CONFIG)
    return check_routing("t.yml", f"alertmanager_config: am.yml\ntests:\n{tests}", folder, only)


def test_the_example_passes_as_a_command() -> None:
    done = subprocess.run([SETPOINT, "test", str(EXAMPLE)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 tests" in done.stdout


def test_what_is_expected_is_checked(tmp_path: Path) -> None:
    verdicts = check(
        """\
- {labels: {severity: page, team: x}, receivers: [c, b]}
- {labels: {alertname: Slow, service: s}, firing: [{alertname: Down, service: s}], receivers: [], inhibited: yes}
- {labels: {alertname: Slow, service: s}, firing: [{alertname: Down, service: t}], receivers: [a], inhibited: no}
- {labels: {team: x}, silences: ['team=~"x|y"'], receivers: [], routed_to: [c], silenced: yes}
""",
        tmp_path,
    )
    assert [one.failures for one in verdicts] == [(), (), (), ()]
    assert sum(one.checks for one in verdicts) == 8


def test_a_failure_says_what_came_and_why(tmp_path: Path) -> None:
    (verdict,) = check("- {name: pages, labels: {severity: page}, receivers: [c]}\n", tmp_path)
    (failure,) = verdict.failures
    assert (failure.expected, failure.got, failure.line) == (("c",), ("b",), 3)
    assert 'team="x", and the label team is missing' in failure.message


def test_only_some_are_run(tmp_path: Path) -> None:
    tests = "- {name: one, labels: {a: b}, receivers: [a]}\n- {name: two, labels: {a: b}, receivers: [a]}\n"
    assert [one.name for one in check(tests, tmp_path, re.compile("two"))] == ["two"]


@pytest.mark.parametrize(
    ("tests", "told"),
    [
        ("", "there are no tests"),
        ("- {receivers: [a]}", "has no labels"),
        ("- {labels: {a: b}}", "expects nothing"),
        ("- {labels: {a: b}, recievers: [a]}", "does not exist here"),
        ("- {labels: {a: b}, receivers: [a], at: noon}", "no instant"),
        ("- {labels: {a: b}, receivers: [a], at: '2026-11-23T03:00:00'}", "no offset"),
        ("- {labels: {a: b}, receivers: [a], silences: ['x']}", "bad matcher format"),
    ],
)
def test_a_file_that_is_wrong_says_where(tests: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as error:
        check(tests, tmp_path)
    assert any(told in str(one) for one in error.value.problems), error.value.problems


def test_a_configuration_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        check_routing(
            "t.yml", "alertmanager_config: x.yml\ntests: [{labels: {a: b}, receivers: [a]}]", tmp_path
        )
