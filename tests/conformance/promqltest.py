"""Reads Prometheus's promqltest scripts: `load`, `clear` and `eval` with its expectations.

Only `test_promqltest` uses it. The format is described in prometheus/prometheus, promql/promqltest/README.md.
What cannot be represented here (native histograms) is read and marked, so that its cases are counted by
reason.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

_EVAL = re.compile(
    r"eval(?P<flavour>_fail|_warn|_info|_ordered)?\s+"
    r"(?:instant\s+at\s+(?P<at>\S+)|range\s+from\s+(?P<start>\S+)\s+to\s+(?P<end>\S+)\s+step\s+(?P<step>\S+))"
    r"\s+(?P<query>.+)"
)
_LABEL = re.compile(
    r"""\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<name>[\w:.]+))\s*(?:=\s*(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|`[^`]*`))?\s*,?"""
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_UNITS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_SEQUENCE = re.compile(
    r"(?P<start>[+-]?(?:inf|nan|[\d.]+(?:e[+-]?\d+)?))(?:(?P<delta>[+-](?:inf|nan|[\d.]+(?:e[+-]?\d+)?)))?x(?P<count>\d+)$",
    re.I,
)


class NotRepresentable(Exception):
    """The script uses something that Setpoint has no type for."""


@dataclass
class Case:
    """One `eval`; `expected` maps sorted label pairs to the values per step (None: no value)."""

    line: int
    query: str
    start_ms: int
    end_ms: int
    step_ms: int
    is_range: bool
    fails: bool = False
    ordered: bool = False
    annotated: bool = False
    text: str | None = None
    scalar: float | None = None
    range_vector: bool = False
    expected: list[tuple[tuple[tuple[str, str], ...], list[float | None]]] = field(default_factory=list)
    not_representable: str | None = None


@dataclass
class Load:
    """One `load`: per series its labels, and (t in ms, value); `histogram` series carry no floats."""

    series: list[tuple[dict[str, str], list[tuple[int, float]], bool]]


def milliseconds(text: str) -> int:
    """A duration such as `1m30s`, or a number of seconds."""
    sign = -1 if text.startswith("-") else 1
    text = text.lstrip("-")
    parts = _DURATION.findall(text)
    if parts:
        return sign * round(sum(float(number) * _UNITS[unit] for number, unit in parts))
    return sign * round(float(text) * 1000)


def number(text: str) -> float:
    """A number as the scripts write it."""
    if text.lower().startswith("0x"):
        return float(int(text, 16))
    return float(text)


def unquote(text: str) -> str:
    """The content of a Go string literal."""
    if text.startswith("`"):
        return text[1:-1]
    return text[1:-1].encode("latin-1", "backslashreplace").decode("unicode_escape")


def split_series(line: str) -> tuple[dict[str, str], str]:
    """`name{labels} values` as labels and the rest."""
    match = re.match(r"[a-zA-Z_:][\w:]*", line)
    labels: dict[str, str] = {}
    rest = line
    if match:
        labels["__name__"] = match[0]
        rest = (
            line[match.end() :].lstrip()
            if not line[match.end() :].startswith((" ", "\t"))
            else line[match.end() :]
        )
    if not rest.startswith("{") or rest.startswith("{{"):
        return labels, rest.strip()
    position = 1
    while rest[position] != "}":
        found = _LABEL.match(rest, position)
        if found is None or found.end() == position:
            raise NotRepresentable(f"labels: {line}")
        name = unquote(f'"{found["quoted"]}"') if found["quoted"] is not None else found["name"]
        if found["value"] is None:
            labels["__name__"] = name
        else:
            labels[name] = unquote(found["value"])
        position = found.end()
        while rest[position].isspace():
            position += 1
    return labels, rest[position + 1 :].strip()


def sequence(text: str) -> Iterator[float | None]:
    """The values of a series: numbers, `a+bxn`, `_`, `_xn`, `stale`."""
    if "{{" in text:
        raise NotRepresentable("native histograms")
    for token in text.split():
        repeat = re.fullmatch(r"_x(\d+)", token)
        found = _SEQUENCE.fullmatch(token)
        if token == "_":
            yield None
        elif repeat:
            yield from [None] * int(repeat[1])
        elif token == "stale":
            yield STALE
        elif found:
            value, delta = number(found["start"]), number(found["delta"] or "0")
            for _ in range(int(found["count"]) + 1):
                yield value
                value += delta
        else:
            yield number(token)


def _load(lines: list[str], step_ms: int) -> Load:
    series = []
    for line in lines:
        labels, rest = split_series(line)
        try:
            values = [(i * step_ms, value) for i, value in enumerate(sequence(rest)) if value is not None]
            series.append((labels, values, False))
        except NotRepresentable:
            series.append((labels, [], True))
    return Load(series)


def _expect(case: Case, line: str) -> None:
    words = line.split(None, 2)
    match words[1].rstrip(":"):
        case "fail":
            case.fails = True
        case "ordered":
            case.ordered = True
        case "warn" | "info":
            case.annotated = True
        case "string":
            case.text = unquote(line.split(None, 2)[2])
        case "range":
            case.range_vector = True
        case _:
            pass


def _eval(header: str, lines: list[str], number_of_line: int) -> Case:
    found = _EVAL.fullmatch(header)
    if found is None:
        raise ValueError(f"line {number_of_line}: {header}")
    if found["at"] is not None:
        at_ms = milliseconds(found["at"])
        case = Case(number_of_line, found["query"], at_ms, at_ms, 60_000, is_range=False)
    else:
        start, end, step = (milliseconds(found[name]) for name in ("start", "end", "step"))
        case = Case(number_of_line, found["query"], start, end, step, is_range=True)
    case.fails = found["flavour"] == "_fail"
    case.ordered = found["flavour"] == "_ordered"
    case.annotated = found["flavour"] in ("_warn", "_info")
    for line in lines:
        if line.startswith("expect "):
            _expect(case, line)
        elif re.match(r"expected_fail", line):
            continue
        elif "{{" in line:
            case.not_representable = "native histograms"
        elif re.fullmatch(r"[+-]?(?:[\d.]+(?:e[+-]?\d+)?|inf|nan|0x[0-9a-f]+)", line, re.I):
            case.scalar = number(line)
        else:
            labels, rest = split_series(line)
            case.expected.append((tuple(sorted(labels.items())), list(sequence(rest))))
    return case


def read(text: str) -> Iterator[Case | Load | None]:
    """The commands of a script in order; None is `clear`."""
    lines = ["" if line.strip().startswith("#") else line.strip() for line in text.splitlines()]
    i = 0
    while i < len(lines):
        header, first = lines[i], i + 1
        i += 1
        if not header:
            continue
        if header == "clear":
            yield None
            continue
        block = []
        while i < len(lines) and lines[i]:
            block.append(lines[i])
            i += 1
        if header.startswith("load"):
            yield _load(block, milliseconds(header.split()[1]))
        elif header.startswith("eval"):
            yield _eval(header, block, first)
        else:
            raise ValueError(f"line {first}: {header}")


def same(a: float | None, b: float | None) -> bool:
    """Equal as promqltest compares: 1e-6 relative, NaN equals NaN."""
    if a is None or b is None:
        return a is b
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    total, difference = abs(a) + abs(b), abs(a - b)
    if a == 0 or b == 0 or total < 2.2250738585072014e-308:
        return difference < 1e-6 * 2.2250738585072014e-308
    return difference / min(total, 1.7976931348623157e308) < 1e-6
