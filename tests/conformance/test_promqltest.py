"""Runs Prometheus's own promqltest scripts that lie beside the repository, and says how many evaluations
pass.

The scripts are not part of the repository; without them the tests are skipped. Passing means that values, labels,
order, errors, warnings and infos are as expected. A floor per file makes a regression a failure; raise it when more
passes.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from setpoint.promql.promqltest import read
from setpoint.promql.script import run_script

SCRIPTS = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "promqltest"

FLOORS = {
    "aggregators": 160,
    "at_modifier": 78,
    "functions": 431,
    "literals": 25,
    "native_histograms": 522,
    "operators": 214,
    "selectors": 31,
    "subquery": 34,
}


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_conformance(name: str) -> None:
    script = SCRIPTS / f"{name}.test"
    if not script.exists():
        pytest.skip(f"{script.name} of promqltest is not there")
    outcomes = Counter[str]()
    wrong = []
    for outcome in run_script(read(script.read_text())):
        outcomes[outcome.reason or outcome.kind] += 1
        if outcome.kind in {"wrong", "error"}:
            wrong.append(f"{script.name}:{outcome.case.line}: {outcome.kind}: {outcome.case.query}")
    total = outcomes.total()
    reasons = "; ".join(f"{count} {reason}" for reason, count in outcomes.most_common() if reason != "passed")
    print(f"\n{script.name}: {outcomes['passed']}/{total} passed; {reasons}")
    if os.environ.get("PROMQLTEST_DETAILS"):
        print("\n".join(wrong))
    assert outcomes["passed"] >= FLOORS[name], "\n".join(wrong)
