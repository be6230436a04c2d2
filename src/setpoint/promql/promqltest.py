"""Reads Prometheus's promqltest scripts: `load`, `clear` and `eval` with its expectations.

`setpoint test` runs such files for users, `tests/conformance` Prometheus's own. The format is described in
prometheus/prometheus, promql/promqltest/README.md.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, cast

from setpoint.errors import InvalidInput, Problem
from setpoint.promql.from_telemetry import NativeHistogram
from setpoint.promql.native_notation import same_histogram
from setpoint.promql.notation import milliseconds, number, sequence, split_series, unquote

__all__ = ["Case", "Clear", "Command", "Expectation", "Load", "read", "same"]

Outcome = Literal["fail", "warn", "info", "no_warn", "no_info"]

_EVAL = re.compile(
    r"eval(?:_(?P<flavour>fail|warn|info|ordered))?\s+"
    r"(?:instant\s+(?:at\s+)?(?P<at>\S+)|range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))"
    r"\s+(?P<query>\S.*)"
)
_LOAD = re.compile(r"load(?P<nhcb>_with_nhcb)?\s+(?P<step>\S+)(?:\s.*)?")
_EXPECT = re.compile(
    r"expect\s+(?P<outcome>fail|warn|info|no_warn|no_info|ordered)(?:\s+(?P<form>msg|regex)\s*:\s*(?P<text>.+))?"
)
_EXPECT_STRING = re.compile(r"""expect\s+string\s+(?P<text>"(?:[^"\\]|\\.)*"|`[^`]*`|'(?:[^'\\]|\\.)*')""")
_EXPECT_RANGE = re.compile(
    r"expect\s+range\s+vector\s+(?:from\s+)?(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+)"
)
_EXPECTED_FAIL = re.compile(r"expected_fail_(?P<form>message|regexp)\s+(?P<text>.+)")
_SCALAR = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf|nan|0x[0-9a-f]+)", re.IGNORECASE)
_SMALLEST_NORMAL = 2.2250738585072014e-308
_LARGEST = 1.7976931348623157e308

LabelPairs = tuple[tuple[str, str], ...]
Value = float | NativeHistogram


@dataclass(frozen=True, slots=True)
class Expectation:
    """One `expect` line on the error or the annotations; `form` is empty where any text will do."""

    outcome: Outcome
    form: Literal["", "msg", "regex"] = ""
    text: str = ""


@dataclass(slots=True)
class Case:
    """One `eval`. `expected` has per series its sorted label pairs and the values per step (None: no value).

    `vector_times_ms` are the timestamps that a range vector must have.
    """

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    is_range: bool
    expectations: list[Expectation] = field(default_factory=list)
    ordered: bool = False
    text: str | None = None
    scalar: float | None = None
    vector_times_ms: range | None = None
    expected: list[tuple[LabelPairs, list[Value | None]]] = field(default_factory=list)

    @property
    def fails(self) -> bool:
        """True if the query must end in an error."""
        return any(expectation.outcome == "fail" for expectation in self.expectations)


@dataclass(slots=True)
class Load:
    """One `load`: per series its labels and its (t in ms, value).

    `with_nhcb`: the classic histograms among them are to be loaded as native ones with custom buckets, too.
    """

    line: int
    series: list[tuple[dict[str, str], list[tuple[int, Value]]]]
    with_nhcb: bool = False


@dataclass(frozen=True, slots=True)
class Clear:
    """`clear`: forget what was loaded."""

    line: int


Command = Load | Clear | Case


def read(text: str, file: str | None = None) -> Iterator[Command]:
    """The commands of a script in order. Raises InvalidInput with `file` and the line."""
    lines = ["" if line.strip().startswith("#") else line.strip() for line in text.splitlines()]
    i = 0
    while i < len(lines):
        header, first = lines[i], i + 1
        i += 1
        if not header:
            continue
        block = []
        while header != "clear" and i < len(lines) and lines[i]:
            block.append((i + 1, lines[i]))
            i += 1
        place = [first]
        try:
            yield _command(header, block, place)
        except InvalidInput as error:
            problem = Problem(error.message, file, place[0])
            raise InvalidInput(str(problem), (problem,)) from error


def _command(header: str, block: list[tuple[int, str]], place: list[int]) -> Command:
    """One command; `place` is kept at the line being read, for errors."""
    line = place[0]
    if header == "clear":
        return Clear(line)
    if found := _LOAD.fullmatch(header):
        return _load(found, block, place)
    if found := _EVAL.fullmatch(header):
        return _eval(found, block, place)
    raise InvalidInput(
        f"'{header}' is no command; write load STEP, clear, eval instant at TIME QUERY, or "
        "eval range from TIME to TIME step STEP QUERY"
    )


def _load(header: re.Match[str], block: list[tuple[int, str]], place: list[int]) -> Load:
    load = Load(place[0], [], header["nhcb"] is not None)
    step_ms = milliseconds(header["step"])
    for place[0], line in block:
        labels, rest = split_series(line)
        if rest.startswith("@st"):
            raise InvalidInput("start timestamps (@st) are not supported yet; remove this line")
        values = [(i * step_ms, value) for i, value in enumerate(sequence(rest)) if value is not None]
        load.series.append((labels, values))
    return load


def _eval(header: re.Match[str], block: list[tuple[int, str]], place: list[int]) -> Case:
    query = header["query"]
    if header["at"] is not None:
        at_ms = milliseconds(header["at"])
        case = Case(place[0], query, at_ms, at_ms, 60_000, is_range=False)
    else:
        start, end, step = (milliseconds(header[name]) for name in ("start", "end", "step"))
        case = Case(place[0], query, start, end, step, is_range=True)
    if header["flavour"] == "ordered":
        case.ordered = True
    elif header["flavour"]:
        case.expectations.append(Expectation(cast(Outcome, header["flavour"])))
    for place[0], line in block:
        if re.match(r"expect(ed_fail_\w+)?\s", line):
            _expect(case, line)
        elif _SCALAR.fullmatch(line):
            case.scalar = number(line)
        else:
            labels, rest = split_series(line)
            case.expected.append((tuple(sorted(labels.items())), list(sequence(rest))))
    return case


def _expect(case: Case, line: str) -> None:
    if found := _EXPECT.fullmatch(line):
        if found["outcome"] == "ordered":
            case.ordered = True
        else:
            case.expectations.append(_expectation(found["outcome"], found["form"], found["text"]))
    elif found := _EXPECTED_FAIL.fullmatch(line):
        case.expectations.append(
            _expectation("fail", "msg" if found["form"] == "message" else "regex", found["text"])
        )
    elif found := _EXPECT_STRING.fullmatch(line):
        case.text = unquote(found["text"])
    elif found := _EXPECT_RANGE.fullmatch(line):
        start, end, step = (milliseconds(found[name]) for name in ("start", "end", "step"))
        if step <= 0:
            raise InvalidInput("the step must be positive")
        case.vector_times_ms = range(start, end + 1, step)
    else:
        raise InvalidInput(
            f"'{line}' is no expectation; write expect fail, warn, info, no_warn, no_info (each with "
            "msg: TEXT or regex: TEXT behind it, or nothing), ordered, string TEXT, or "
            "range vector from TIME to TIME step STEP"
        )


def _expectation(outcome: str, form: str | None, text: str | None) -> Expectation:
    text = (text or "").strip()
    if text[:1] in ('"', "`") and text[-1:] == text[:1] and len(text) > 1:
        text = unquote(text)
    if form == "regex":
        try:
            re.compile(text)
        except re.error as error:
            raise InvalidInput(f"'{text}' is no regular expression: {error}") from error
    return Expectation(cast(Outcome, outcome), cast(Literal["", "msg", "regex"], form or ""), text)


def same(a: Value | None, b: Value | None) -> bool:
    """Equal as promqltest compares: 1e-6 relative, NaN equals NaN; of histograms, `a` is the expected one."""
    if isinstance(a, NativeHistogram) and isinstance(b, NativeHistogram):
        return same_histogram(a, b, _same_number)
    return _same_number(a, b) if isinstance(a, float) and isinstance(b, float) else a is b


def _same_number(a: float, b: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < _SMALLEST_NORMAL:
        return difference < 1e-6 * _SMALLEST_NORMAL
    return difference / min(total, _LARGEST) < 1e-6
