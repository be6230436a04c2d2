"""What became of a test: passed, or what was expected and what came, as lines that can be compared.

Both kinds of test files (`script` runs promqltest's, `alert.unit_test` those of promtool) report in these words, and
`setpoint test` prints them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, field

from setpoint.promql.from_telemetry import Labels, NativeHistogram
from setpoint.promql.memory import Value

__all__ = ["Failure", "FileVerdict", "TestVerdict", "difference", "shown_labels", "shown_value"]


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
        return str(value)
    if value == int(value) if abs(value) < 1e15 else False:
        return str(int(value))
    return {"inf": "+Inf", "-inf": "-Inf", "nan": "NaN"}.get(repr(value), repr(value))
