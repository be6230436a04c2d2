"""The scenarios of objectives: what comes in, and what must be known of them when, as users write them for theirs."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.alert.rules.check import RuleFiles, check_file

FILES = sorted((Path(__file__).parent / "objectives").glob("*.yaml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_scenarios(file: Path) -> None:
    verdict = check_file(file, RuleFiles())
    assert not verdict.problems
    assert verdict.tests
    told = [
        f"{file.name}:{failure.line}: {test.name}: {failure.title}: {failure.message}\n"
        f"  expected {failure.expected}\n  got      {failure.got}"
        for test in verdict.tests
        for failure in test.failures
    ]
    assert not told, "\n".join(told)


def test_there_are_scenarios() -> None:
    assert {"counters", "late", "no-data", "slices", "calendar", "composite", "alerts", "downtime"} <= {
        file.stem for file in FILES
    }
