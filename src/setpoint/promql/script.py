"""Runs promqltest scripts in memory: `setpoint test` for users, `tests/conformance` for Prometheus's own.

Each `eval` is a test of its own. Passing means that values, labels, order, error, warnings and infos are as
expected.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from setpoint.errors import InvalidInput
from setpoint.promql.context import Options
from setpoint.promql.errors import QueryError, Unsupported
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.memory import MemoryStore, Value
from setpoint.promql.model import Matrix
from setpoint.promql.native_from_classic import custom_bucket_series
from setpoint.promql.parse import parse
from setpoint.promql.promqltest import Case, Clear, Command, Expectation, LabelPairs, Load, read, same
from setpoint.promql.vector import cell
from setpoint.promql.verdict import Failure, TestVerdict, shown_labels, shown_value

__all__ = ["SCRIPT_OPTIONS", "Outcome", "check_script", "run_script"]

SCRIPT_OPTIONS = Options(delayed_name_removal=True)
"""As Prometheus's own runner, which turns its experiments on."""

Row = tuple[LabelPairs, list[Value | None]]
OutcomeKind = Literal["passed", "wrong", "error", "unsupported"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one `eval`; `reason` says what is not supported."""

    case: Case
    kind: OutcomeKind
    reason: str = ""
    failure: Failure | None = None


def run_script(commands: Iterator[Command], options: Options = SCRIPT_OPTIONS) -> Iterator[Outcome]:
    """Run commands one after another; an outcome for each `eval`."""
    store = MemoryStore()
    for command in commands:
        match command:
            case Clear():
                store = MemoryStore()
            case Load():
                for labels, samples in command.series:
                    store.load(labels, samples)
                if command.with_nhcb:
                    for labels, histograms in custom_bucket_series(command.series):
                        store.load(labels, histograms)
            case Case():
                yield _outcome(command, store, options)


def check_script(text: str, file: str, only: re.Pattern[str] | None = None) -> list[TestVerdict]:
    """The verdicts of a script's evaluations, those that `only` finds in. Raises InvalidInput with file and line."""
    verdicts = []
    for outcome in run_script(read(text, file)):
        query = outcome.case.query
        if only is None or only.search(query):
            failures = () if outcome.failure is None else (outcome.failure,)
            verdicts.append(TestVerdict(query, outcome.case.line, 1, failures))
    return verdicts


def _outcome(case: Case, store: MemoryStore, options: Options) -> Outcome:
    try:
        matrix = _answer(case, store, options)
    except Unsupported as error:
        return _unsupported(case, error.message.split("; in:")[0])
    except InvalidInput as error:
        if case.fails:
            return _refused(case, error.message)
        if isinstance(error, QueryError):
            return _unsupported(case, "does not parse", error.message)
        return Outcome(case, "error", failure=Failure(case.line, case.query, error.message))
    if case.fails:
        fault = "the query must fail, and gave an answer"
        failure = Failure(case.line, case.query, fault, got=_shown(case, matrix))
    elif not _agrees(case, matrix):
        failure = Failure(case.line, case.query, expected=_expected(case), got=_shown(case, matrix))
    elif (message := _note_fault(case.expectations, matrix)) is None:
        return Outcome(case, "passed")
    else:
        failure = Failure(
            case.line, case.query, message, _asked(case.expectations), (*matrix.warnings, *matrix.infos)
        )
    return Outcome(case, "wrong", failure=failure)


def _note_fault(expectations: Sequence[Expectation], matrix: Matrix) -> str | None:
    """What is wrong with the warnings and infos of an answer.

    Each expectation needs one that fits it, and where there are expectations each note must fit one.
    """
    for outcome, found in (("warn", matrix.warnings), ("info", matrix.infos)):
        word = "warning" if outcome == "warn" else "info"
        wanted = [expectation for expectation in expectations if expectation.outcome == outcome]
        if found and any(expectation.outcome == f"no_{outcome}" for expectation in expectations):
            return f"the answer must have no {word}, and has"
        for expectation in wanted:
            if not any(_fits(expectation, note) for note in found):
                return f"the answer has not the {word} that is expected"
        if wanted and not all(any(_fits(expectation, note) for expectation in wanted) for note in found):
            return f"the answer has another {word} than expected"
    return None


def _fits(expectation: Expectation, text: str) -> bool:
    if expectation.form == "regex":
        return re.search(expectation.text, text) is not None
    return expectation.form == "" or expectation.text == text


def _asked(expectations: Sequence[Expectation]) -> tuple[str, ...]:
    return tuple(
        expectation.text or f"expect {expectation.outcome}"
        for expectation in expectations
        if expectation.outcome != "fail"
    )


def _answer(case: Case, store: MemoryStore, options: Options) -> Matrix:
    node = parse(
        case.query, step_ms=case.step_ms if case.is_range else 0, range_ms=case.end_ms - case.start_ms
    )
    if case.is_range:
        return evaluate(
            node, case.start_ms, case.end_ms, case.step_ms, store.select, options=options,
            histograms=store.select_histograms,
        )  # fmt: skip
    return evaluate_instant(
        node, case.start_ms, store.select, options=options, histograms=store.select_histograms
    )


def _unsupported(case: Case, reason: str, message: str = "") -> Outcome:
    return Outcome(case, "unsupported", reason, Failure(case.line, case.query, message or reason))


def _refused(case: Case, message: str) -> Outcome:
    """The outcome of a query that failed, as it must: is it the right error?"""
    for expectation in case.expectations:
        if expectation.outcome != "fail":
            continue
        # Our messages say Prometheus's, and what to do about it.
        if not (expectation.text in message if expectation.form == "msg" else _fits(expectation, message)):
            failure = Failure(
                case.line, case.query, "", (f"error {expectation.text}",), (f"error {message}",)
            )
            return Outcome(case, "wrong", failure=failure)
    return Outcome(case, "passed")


def _rows(matrix: Matrix) -> list[Row]:
    steps = range(matrix.values.shape[1])
    return [
        (tuple(sorted(labels.items())), [cell(matrix, row, step) for step in steps])
        for row, labels in enumerate(matrix.labels)
    ]


def _agrees(case: Case, matrix: Matrix) -> bool:
    if case.text is not None:
        return matrix.kind == "string" and matrix.text == case.text
    if case.scalar is not None:
        return matrix.kind == "scalar" and same(float(matrix.values[0, 0]), case.scalar)
    steps = matrix.values.shape[1]
    if case.vector_times_ms is not None and not np.array_equal(matrix.times_ms, list(case.vector_times_ms)):
        return False
    found = _rows(matrix)
    expected = [
        (labels, (list(values) + [None] * steps)[: max(steps, len(values))])
        for labels, values in case.expected
    ]
    expected = [row for row in expected if any(value is not None for value in row[1])]
    if not case.ordered:
        found, expected = sorted(found, key=lambda row: row[0]), sorted(expected, key=lambda row: row[0])
    return len(found) == len(expected) and all(
        mine[0] == theirs[0]
        and len(mine[1]) == len(theirs[1])
        and all(same(b, a) for a, b in zip(mine[1], theirs[1], strict=True))
        for mine, theirs in zip(found, expected, strict=True)
    )


def _expected(case: Case) -> tuple[str, ...]:
    if case.text is not None:
        return (f'"{case.text}"',)
    if case.scalar is not None:
        return (shown_value(case.scalar),)
    lines = _lines([(labels, list(values)) for labels, values in case.expected], case.ordered)
    return lines if case.vector_times_ms is None else (_instants(case.vector_times_ms), *lines)


def _shown(case: Case, matrix: Matrix) -> tuple[str, ...]:
    if matrix.kind == "string":
        return (f'"{matrix.text}"',)
    if matrix.kind == "scalar" and not case.is_range:
        return (shown_value(float(matrix.values[0, 0])),)
    lines = _lines(_rows(matrix), case.ordered)
    return lines if case.vector_times_ms is None else (_instants(matrix.times_ms.tolist()), *lines)


def _instants(times_ms: Iterable[int]) -> str:
    return f"at {' '.join(f'{at_ms / 1000:g}s' for at_ms in times_ms)}"


def _lines(rows: Sequence[Row], ordered: bool) -> tuple[str, ...]:
    shown = rows if ordered else sorted(rows, key=lambda row: row[0])
    lines = (f"{shown_labels(dict(labels))} {' '.join(map(shown_value, values))}" for labels, values in shown)
    return tuple(lines) or ("nothing",)
