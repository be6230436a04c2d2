"""What became of a test: passed, or what was expected and what came, as lines that can be compared.

Both kinds of test files (`script` runs promqltest's, `alert.unit_test` those of promtool) report in these words, and
`setpoint test` prints them.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from setpoint.promql.from_telemetry import Labels, NativeHistogram, Span
from setpoint.promql.memory import Value

__all__ = ["Failure", "FileVerdict", "TestVerdict", "difference", "shown_labels", "shown_value"]

_LARGEST_PLAIN = 1e15


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that is not as expected; `message` says it all where there is nothing to compare."""

    line: int
    title: str
    message: str = ""
    expected: tuple[str, ...] = ()
    got: tuple[str, ...] = ()
    file: str | None = None
    """The file of `line` where it is not the test file."""


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """One test: how many things it checked, and those that failed."""

    __test__ = False  # for pytest: this is none of its classes

    name: str
    line: int
    checks: int
    failures: tuple[Failure, ...] = ()


@dataclass(slots=True)
class FileVerdict:
    """One test file; `problems` kept it from being run at all, `warnings` did not."""

    file: str
    tests: list[TestVerdict] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    duration_s: float = 0.0

    @property
    def passed(self) -> bool:
        """True if everything is as expected."""
        return not self.problems and not any(test.failures for test in self.tests)


def difference(expected: Sequence[str], got: Sequence[str]) -> list[str]:
    """Both as one list: `- ` before what was expected only, `+ ` before what came only."""
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, list(expected), list(got), autojunk=False)
    for operation, low, high, from_got, to_got in matcher.get_opcodes():
        if operation == "equal":
            lines += [f"  {line}" for line in expected[low:high]]
        else:
            lines += [f"- {line}" for line in expected[low:high]]
            lines += [f"+ {line}" for line in got[from_got:to_got]]
    return lines


def shown_labels(labels: Labels) -> str:
    """Labels as PromQL writes them."""
    name = labels.get("__name__", "")
    pairs = ", ".join(
        f'{key}="{value}"'
        for key, value in sorted((key, _escaped(value)) for key, value in labels.items() if key != "__name__")
    )
    return f"{name}{{{pairs}}}" if pairs or not name else name


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def shown_value(value: Value | None) -> str:
    """A value as the test files write it; `_` for none."""
    if value is None:
        return "_"
    if isinstance(value, NativeHistogram):
        return _shown_histogram(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value.is_integer() and abs(value) < _LARGEST_PLAIN else repr(value)


def _shown_histogram(histogram: NativeHistogram) -> str:
    """A histogram in the notation of the test files; a counter's hint is not shown, which tests rarely mean."""
    numbers = {
        "schema": histogram.schema,
        "count": histogram.count,
        "sum": histogram.sum,
        "z_bucket": histogram.zero_count,
        "z_bucket_w": histogram.zero_threshold,
    }
    parts = [
        f"{name}:{shown_value(float(number))}"
        for name, number in numbers.items()
        if number or name == "schema"
    ]
    for prefix, spans, counts in (
        ("", histogram.positive_spans, histogram.positive_counts),
        ("n_", histogram.negative_spans, histogram.negative_counts),
    ):
        offset, dense = _dense(spans, counts)
        if dense:
            parts += [f"{prefix}offset:{offset}"] if offset else []
            parts.append(f"{prefix}buckets:[{' '.join(map(shown_value, dense))}]")
    if histogram.custom_bounds:
        parts.append(f"custom_values:[{' '.join(map(shown_value, histogram.custom_bounds))}]")
    if histogram.reset_hint == "gauge":
        parts.append("counter_reset_hint:gauge")
    return f"{{{{{' '.join(parts)}}}}}"


def _dense(spans: Sequence[Span], counts: Sequence[float]) -> tuple[int, list[float]]:
    """Index of the first bucket that is not empty, and the counts from there on, gaps filled."""
    filled: list[float] = []
    taken, first = 0, spans[0][0] if spans else 0
    for number, (gap, length) in enumerate(spans):
        filled += [0.0] * (gap if number else 0)
        filled += counts[taken : taken + length]
        taken += length
    while filled and not filled[-1]:
        filled.pop()
    while filled and not filled[0]:
        filled.pop(0)
        first += 1
    return first, filled
