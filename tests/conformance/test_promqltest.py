"""Runs Prometheus's own promqltest scripts that lie beside the repository, and says how many evaluations
pass.

The scripts are not part of the repository; without them the tests are skipped. Passing means that the values,
labels and order are right, or that a query that must fail does; warnings and infos are not compared, Setpoint
has none yet. A floor per file makes a regression a failure; raise it when more passes.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from setpoint.errors import SetpointError
from setpoint.promql import Unsupported, parse
from setpoint.promql.errors import QueryError
from setpoint.promql.evaluate import Options, evaluate, evaluate_instant
from setpoint.promql.from_telemetry import Matcher, SampleColumns
from setpoint.promql.model import Matrix
from setpoint.promql.notation import NotRepresentable
from setpoint.promql.promqltest import Case, Clear, Load, read, same
from setpoint.telemetry.columns import Piece, gather

SCRIPTS = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "promqltest"

# Upstream's runner turns delayed name removal on.
OPTIONS = Options(delayed_name_removal=True)

FLOORS = {
    "aggregators": 123,
    "at_modifier": 78,
    "functions": 320,
    "literals": 25,
    "native_histograms": 3,
    "operators": 144,
    "selectors": 31,
    "subquery": 32,
}


class Store:
    """The loaded series; its `select` is what the engine is given."""

    def __init__(self) -> None:
        self.series: dict[tuple[tuple[str, str], ...], dict[int, float]] = {}
        self.histograms: set[tuple[tuple[str, str], ...]] = set()

    def load(self, load: Load) -> None:
        for labels, samples, histogram in load.series:
            key = tuple(sorted((name, value) for name, value in labels.items() if value))
            self.series.setdefault(key, {}).update(samples)
            if histogram:
                self.histograms.add(key)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        found: list[Piece] = []
        for key in sorted(self.series):
            if not all(_matches(matcher, dict(key).get(matcher.name, "")) for matcher in matchers):
                continue
            if key in self.histograms:
                raise NotRepresentable("native histograms")
            samples = self.series[key]
            chosen = sorted(t for t in samples if start_ms < t <= end_ms)
            if chosen:
                values = np.array([samples[t] for t in chosen], np.float64)
                found.append((dict(key), np.array(chosen, np.int64), values))
        return gather(found)


def _matches(matcher: Matcher, value: str) -> bool:
    if matcher.op in ("=", "!="):
        return (value == matcher.value) == (matcher.op == "=")
    # RE2 takes flags anywhere in a group, Python only at its head.
    expression = re.sub(r"\(\(\?i\)([^()]*)\)", r"(?i:\1)", matcher.value)
    found = re.fullmatch(expression, value, re.DOTALL) is not None
    return found == (matcher.op == "=~")


def _rows(matrix: Matrix) -> list[tuple[tuple[tuple[str, str], ...], list[float | None]]]:
    return [
        (
            tuple(sorted(labels.items())),
            [float(v) if p else None for v, p in zip(matrix.values[i], matrix.present[i], strict=True)],
        )
        for i, labels in enumerate(matrix.labels)
    ]


def _agrees(case: Case, matrix: Matrix) -> bool:
    if case.text is not None:
        return matrix.kind == "string" and matrix.text == case.text
    if case.scalar is not None:
        return matrix.kind == "scalar" and same(float(matrix.values[0, 0]), case.scalar)
    found = _rows(matrix)
    steps = matrix.values.shape[1]
    expected = [
        (labels, (values + [None] * steps)[: max(steps, len(values))]) for labels, values in case.expected
    ]
    expected = [row for row in expected if any(value is not None for value in row[1])]
    if not case.ordered:
        found, expected = sorted(found, key=lambda row: row[0]), sorted(expected, key=lambda row: row[0])
    return len(found) == len(expected) and all(
        mine[0] == theirs[0]
        and len(mine[1]) == len(theirs[1])
        and all(same(a, b) for a, b in zip(mine[1], theirs[1], strict=True))
        for mine, theirs in zip(found, expected, strict=True)
    )


def _outcome(case: Case, store: Store) -> str:
    """`passed`, or the reason why not."""
    if case.not_representable:
        return case.not_representable
    try:
        node = parse(case.query)
        if case.is_range:
            matrix = evaluate(node, case.start_ms, case.end_ms, case.step_ms, store.select, options=OPTIONS)
        else:
            matrix = evaluate_instant(node, case.start_ms, store.select, options=OPTIONS)
    except NotRepresentable as reason:
        return str(reason)
    except Unsupported as reason:
        return str(reason).split("; in:")[0]
    except SetpointError as error:
        if case.fails:
            return "passed"
        return "does not parse" if isinstance(error, QueryError) else "error"
    return "passed" if not case.fails and _agrees(case, matrix) else "wrong"


@pytest.mark.parametrize("name", sorted(FLOORS))
def test_conformance(name: str) -> None:
    script = SCRIPTS / f"{name}.test"
    if not script.exists():
        pytest.skip(f"{script.name} of promqltest is not there")
    store, outcomes = Store(), Counter[str]()
    wrong = []
    for command in read(script.read_text()):
        if isinstance(command, Clear):
            store = Store()
        elif isinstance(command, Load):
            store.load(command)
        else:
            outcome = _outcome(command, store)
            outcomes[outcome] += 1
            if outcome in {"wrong", "error"}:
                wrong.append(f"{script.name}:{command.line}: {outcome}: {command.query}")
    total = outcomes.total()
    reasons = "; ".join(f"{count} {reason}" for reason, count in outcomes.most_common() if reason != "passed")
    print(f"\n{script.name}: {outcomes['passed']}/{total} passed; {reasons}")
    if os.environ.get("PROMQLTEST_DETAILS"):
        print("\n".join(wrong))
    assert outcomes["passed"] >= FLOORS[name], "\n".join(wrong)
