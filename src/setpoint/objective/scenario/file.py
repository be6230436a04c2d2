"""Reads the scenario files of `setpoint test`: objectives, what comes in, and what must be known of them when.

`run` does what is read here. Every fault of a file is told with its line, all of them at once. The notation of
series and values is Prometheus's (its unit tests of rules), so that both kinds of files read alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput, Problem
from setpoint.objective.scenario.expect import NAMES, Wanted, read_wanted
from setpoint.objective.scenario.from_promql import NativeHistogram, sequence, split_series
from setpoint.resource import Document, Registry, load_paths, load_text
from setpoint.resource.fields import Fields, open_document
from setpoint.resource.model import Place

__all__ = [
    "Expectation",
    "InputEvents",
    "InputSeries",
    "Scenario",
    "ScenarioFile",
    "read_scenario",
]

_FILE = ("objectives", "evaluation_interval", "final_after", "no_data_after", "tests")
_TEST = ("name", "start", "apply_at", "interval", "input_series", "input_events", "down", "expect")
_SERIES = ("series", "values", "from", "late")
_EVENTS = ("objective", "total", "good", "bad", "from", "late")
_EXPECT = ("at", "objective", *NAMES)
_START = "2026-01-01T00:00:00Z"
_MINUTE_MS = 60_000
_LAST_INSTANT_S = 9e9
_MOST_TICKS = 200_000
_MOST_MINUTES = 1_100_000

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class InputSeries:
    """Samples of a series: `times_ms` int64[n] from the start on, `values` float64[n]; they arrive `late_ms` later."""

    labels: dict[str, str]
    times_ms: _Ints
    values: _Floats
    late_ms: int


@dataclass(frozen=True, slots=True)
class InputEvents:
    """Events of an objective per minute from minute `first` after the start: `good`, `total` float64[n], NaN where
    there is no data; a minute arrives `late_ms` after it ended.
    """

    objective: str
    first: int
    good: _Floats
    total: _Floats
    late_ms: int
    line: int


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must be known of an objective at `at_ms` after the start."""

    line: int
    at_ms: int
    objective: str
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One test. The objectives are applied `apply_ms` after the start; what came before is their history. Within
    `down` (from, to) Setpoint does not run; durations in ms.
    """

    name: str
    line: int
    start_ms: int
    apply_ms: int
    series: tuple[InputSeries, ...]
    events: tuple[InputEvents, ...]
    down: tuple[tuple[int, int], ...]
    expected: tuple[Expectation, ...]

    @property
    def last_ms(self) -> int:
        """The last instant that it asks for, from its start."""
        return max((one.at_ms for one in self.expected), default=self.apply_ms)


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    """A file of tests over the same objectives."""

    file: str
    documents: tuple[Document, ...]
    interval_ms: int
    final_after_s: int
    no_data_after_s: float
    tests: tuple[Scenario, ...]
    warnings: tuple[str, ...] = field(default=())


def read_scenario(file: str, text: str, folder: Path, registry: Registry) -> ScenarioFile:
    """The tests of a file in `folder`; `registry` knows the kinds of objectives. Raises InvalidInput."""
    document = open_document(file, text, begins="'objectives:'")
    document.only(_FILE)
    interval_ms = document.duration("evaluation_interval", _MINUTE_MS) or _MINUTE_MS
    documents = _documents(document, folder, registry)
    tests = [_test(fields, index, interval_ms) for index, fields in enumerate(document.items("tests"))]
    if not tests and not document.problems:
        document.report("there are no tests; add 'tests:'", "tests")
    final_after_ms = document.duration("final_after", 300_000)
    no_data_after_ms = document.duration("no_data_after", 90_000)
    if document.problems:
        raise InvalidInput(problems=tuple(document.problems))
    return ScenarioFile(
        file, documents, interval_ms, final_after_ms // 1000, no_data_after_ms / 1000, tuple(tests)
    )


def _documents(fields: Fields, folder: Path, registry: Registry) -> tuple[Document, ...]:
    """Documents of files and of the file itself, each checked as `setpoint validate` checks it."""
    found: list[Document] = []
    for index, value in enumerate(fields.values("objectives")):
        if isinstance(value, dict):
            document, problems = registry.parse(fields.source("objectives", index))
            fields.problems += problems
            found += [document] if document else []
        elif isinstance(value, str):
            found += _loaded(fields, ("objectives", index), folder / value, registry)
        else:
            fields.report("write the name of a file, or a document of OpenSLO", "objectives", index)
    if not found and not fields.problems:
        fields.report("names no documents; write files of OpenSLO, such as [checkout.yaml]", "objectives")
    catalogue = {(one.kind, one.name): one for one in found}
    if len(catalogue) < len(found):
        fields.report("two documents of one kind have the same name", "objectives")
    for document in found if not fields.problems else ():
        fields.problems += registry.references(document, catalogue)
    return tuple(found)


def _loaded(fields: Fields, place: Place, path: Path, registry: Registry) -> list[Document]:
    try:
        return load_text(load_paths([path]), registry)
    except InvalidInput as error:
        problems = error.problems or (Problem(error.message, fields.file, fields.line_of(*place)),)
        fields.problems.extend(problems)
        return []


def _test(fields: Fields, index: int, interval_ms: int) -> Scenario:
    fields.only(_TEST)
    start_ms = _start(fields)
    step_ms = fields.duration("interval", _MINUTE_MS) or _MINUTE_MS
    apply_ms = fields.duration("apply_at")
    test = Scenario(
        fields.text("name") or f"tests[{index}]",
        fields.line,
        start_ms,
        apply_ms,
        tuple(one for item in fields.items("input_series") if (one := _series(item, step_ms)) is not None),
        tuple(
            events for item in fields.items("input_events") if (events := _events(item, start_ms)) is not None
        ),
        tuple(_down(item) for item in fields.items("down")),
        tuple(sorted((_expectation(item) for item in fields.items("expect")), key=lambda one: one.at_ms)),
    )
    if not test.expected:
        fields.report("expects nothing; add 'expect:'", "expect")
    for expected in test.expected:
        if expected.at_ms < apply_ms:
            fields.problems.append(
                Problem("this is before the objectives are applied (apply_at)", fields.file, expected.line)
            )
    ticks = (test.last_ms - apply_ms) // interval_ms
    if ticks > _MOST_TICKS:
        fields.report(
            f"the test needs {ticks:,} evaluations up to its last 'at'; {_MOST_TICKS:,} are the most: apply the "
            "objectives later (apply_at; what comes before is their history), or make evaluation_interval larger"
        )
    return test


def _start(fields: Fields) -> int:
    text = fields.text("start", _START)
    try:
        when = datetime.fromisoformat(text)
        seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < _LAST_INSTANT_S:
        fields.report(f"write a time such as {_START}", "start")
        return 0
    return round(seconds * 1000)


def _values(fields: Fields, name: str) -> list[float | None]:
    """Values in promtool's notation, None for no sample."""
    found: list[float | None] = []
    try:
        for value in sequence(fields.text(name)):
            if isinstance(value, NativeHistogram):
                raise InvalidInput("native histograms cannot be counted here; write numbers")
            found.append(value)
    except InvalidInput as error:
        fields.report(error.message, name)
    return found


def _numbers(fields: Fields, name: str) -> _Floats:
    """Values in promtool's notation, NaN for none."""
    return np.array([math.nan if value is None else value for value in _values(fields, name)], np.float64)


def _series(fields: Fields, step_ms: int) -> InputSeries | None:
    fields.only(_SERIES)
    try:
        labels, rest = split_series(fields.text("series").strip())
        if rest or not labels:
            raise InvalidInput('write a series such as http_requests_total{code="200"}')
    except InvalidInput as error:
        fields.report(error.message, "series")
        return None
    samples = [(index, value) for index, value in enumerate(_values(fields, "values")) if value is not None]
    times = fields.duration("from") + np.array([index for index, _ in samples], np.int64) * step_ms
    values = np.array([value for _, value in samples], np.float64)
    return InputSeries(labels, times, values, fields.duration("late"))


def _events(fields: Fields, start_ms: int) -> InputEvents | None:
    fields.only(_EVENTS)
    total = _numbers(fields, "total")
    roles = [role for role in ("good", "bad") if fields.has(role)]
    if len(roles) != 1:
        fields.report("write good or bad beside total, as one value for each minute", "total")
        return None
    part = _numbers(fields, roles[0])
    if len(part) not in (1, len(total)):
        fields.report(
            f"has {len(part):,} minutes and total {len(total):,}; write as many, or one value for all",
            roles[0],
        )
        return None
    if len(total) > _MOST_MINUTES:
        fields.report(f"has {len(total):,} minutes; {_MOST_MINUTES:,} are the most", "total")
        return None
    from_ms = fields.duration("from")
    if start_ms % _MINUTE_MS or from_ms % _MINUTE_MS:
        fields.report("events are given for minutes; let 'start' and 'from' be whole minutes", "from")
    good = total - part if roles[0] == "bad" else part + 0 * total
    return InputEvents(
        fields.text("objective"), from_ms // _MINUTE_MS, good, total, fields.duration("late"), fields.line
    )


def _down(fields: Fields) -> tuple[int, int]:
    fields.only(("from", "to"))
    start_ms, end_ms = fields.duration("from"), fields.duration("to")
    if end_ms <= start_ms:
        fields.report("ends before it begins; write 'to' after 'from'", "to")
    return start_ms, end_ms


def _expectation(fields: Fields) -> Expectation:
    fields.only(_EXPECT)
    if not fields.has("at"):
        fields.report("when? add 'at:', the time from the start, such as 30m", "at")
    wanted: list[Wanted] = []
    for name in NAMES:
        if fields.has(name):
            wanted += read_wanted(fields, name)
    if not wanted:
        fields.report(f"expects nothing; add one of {', '.join(NAMES)}")
    return Expectation(fields.line, fields.duration("at"), fields.text("objective"), tuple(wanted))
