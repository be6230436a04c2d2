"""Runs test files of all kinds, promtool's unit tests of rules, promqltest's scripts, tests of routing and scenarios of
objectives: the heart of `setpoint test`.

No server, no database and no real time: a file is read, its series are put into memory, rules and queries are
evaluated at the instants that it names.
"""

from __future__ import annotations

import re
from pathlib import Path

from setpoint.alert.from_promql import FileVerdict, check_script
from setpoint.alert.route.trial_file import check_routing
from setpoint.alert.rules.read import read_rules
from setpoint.alert.rules.rule import RuleGroup
from setpoint.alert.rules.unit_test import in_order, run_unit_test
from setpoint.alert.rules.unit_test_file import UnitTestFile, read_unit_tests
from setpoint.errors import InvalidInput, Problem

__all__ = ["RuleFiles", "check_file"]

_COMMAND = re.compile(r"\s*(?:#.*\n\s*)*(?:load(?:_with_nhcb)?|eval\w*|clear)\s")
_SCENARIO = re.compile(r"^objectives\s*:", re.MULTILINE)
_ROUTING = re.compile(r"^alertmanager_config\s*:", re.MULTILINE)
_YAML = (".yml", ".yaml", ".json")


class RuleFiles:
    """Rule files that were read, so that many test files can share them.

    With `ignores_unknown`, fields that Prometheus does not know are no fault, in the test files neither.
    """

    def __init__(self, *, ignores_unknown: bool = False) -> None:
        self.ignores_unknown = ignores_unknown
        self._groups: dict[Path, tuple[RuleGroup, ...]] = {}

    def groups(self, file: Path) -> tuple[RuleGroup, ...]:
        """The groups of a rule file. Raises InvalidInput."""
        found = self._groups.get(file)
        if found is None:
            found = self._groups[file] = read_rules(
                str(file), _text(file), ignores_unknown=self.ignores_unknown
            )
        return found


def check_file(file: Path, rules: RuleFiles, only: re.Pattern[str] | None = None) -> FileVerdict:
    """The verdict of one file; `only` chooses tests by name. Faults of the file are in the verdict."""
    verdict = FileVerdict(str(file))
    try:
        text = _text(file)
        if file.suffix not in _YAML and _COMMAND.match(text):
            verdict.tests = check_script(text, str(file), only)
        elif _SCENARIO.search(text):
            from setpoint.alert.from_objective import check_scenarios  # loads the engine of objectives

            verdict.tests = check_scenarios(str(file), text, file.parent, only)
        elif _ROUTING.search(text):
            verdict.tests = check_routing(str(file), text, file.parent, only)
        else:
            _check_rules(file, text, rules, only, verdict)
    except InvalidInput as error:
        verdict.problems += [str(problem) for problem in error.problems] or [f"{file}: {error.message}"]
    return verdict


def _check_rules(
    file: Path, text: str, rules: RuleFiles, only: re.Pattern[str] | None, verdict: FileVerdict
) -> None:
    wanted = read_unit_tests(str(file), text, file.parent, ignores_unknown=rules.ignores_unknown)
    verdict.warnings += [f"no file is named {pattern}" for pattern in wanted.missing]
    groups = _groups(wanted, rules)
    for test in wanted.tests:
        if only is None or only.search(test.name):
            verdict.tests.append(run_unit_test(wanted, test, groups))


def _groups(wanted: UnitTestFile, rules: RuleFiles) -> list[RuleGroup]:
    """The groups of all rule files in order. Raises InvalidInput with the problems of all of them."""
    groups: list[RuleGroup] = []
    problems: list[Problem] = []
    for file in wanted.rule_files:
        try:
            groups += rules.groups(file)
        except InvalidInput as error:
            problems += error.problems or (Problem(error.message, str(file)),)
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return in_order(groups, wanted.group_order)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        problem = Problem(f"cannot be read: {error.strerror}", str(file))
    except UnicodeDecodeError as error:
        problem = Problem(f"is not UTF-8 text (byte {error.start})", str(file))
    raise InvalidInput(problems=(problem,))
