"""The notation of series and their samples that Prometheus's test files share: `http_requests{job="shop"} 0+10x100`.

`promqltest` reads `load` and `eval` with it, the unit tests of rules their `input_series`. Described in
prometheus/prometheus, docs/configuration/unit_testing_rules.md.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from setpoint.errors import InvalidInput
from setpoint.promql.from_telemetry import NativeHistogram
from setpoint.promql.native_notation import histograms, tokens

__all__ = ["STALE", "milliseconds", "number", "sequence", "split_series", "unquote"]

STALE: float = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]
"""The NaN that says that a series has ended."""

_NAME = re.compile(r"[a-zA-Z_:][\w:]*")
_LABEL = re.compile(
    r"""\s*(?:(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`)|(?P<name>[\w:.]+))\s*
    (?:=\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`[^`]*`))?\s*(?:,\s*|(?=\}))""",
    re.VERBOSE,
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w|y)")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern})+")
_UNITS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_NUMBER = r"(?:inf|nan|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)"
_SEQUENCE = re.compile(
    rf"(?P<start>[+-]?{_NUMBER})(?:(?P<delta>[+-]{_NUMBER}))?x(?P<count>\d+)", re.IGNORECASE
)
_LONGEST_MS = 2**63 // 1_000_000
_LARGEST_REPEAT = 2_000_000
_SIMPLE_ESCAPES = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.))", re.DOTALL)


def milliseconds(text: str) -> int:
    """A duration such as `1m30s`, or a number of seconds. Raises InvalidInput."""
    sign = -1 if text.startswith("-") else 1
    magnitude = text.removeprefix("-")
    try:
        if _DURATIONS.fullmatch(magnitude):
            parts = _DURATION.findall(magnitude)
            found = round(sum(float(amount) * _UNITS[unit] for amount, unit in parts))
        else:
            found = round(float(magnitude) * 1000)
    except (ValueError, OverflowError):
        raise InvalidInput(f"'{text}' is not a duration; write one such as 5m or 1h30m") from None
    if abs(found) > _LONGEST_MS:
        raise InvalidInput(f"'{text}' is too long; durations end at 292 years")
    return sign * found


def number(text: str) -> float:
    """A number as PromQL writes it. Raises InvalidInput."""
    try:
        if text.lower().lstrip("+-").startswith("0x"):
            return float(int(text, 16))
        return float(text)
    except (ValueError, OverflowError):
        raise InvalidInput(
            f"'{text}' is not a value; write a number, _ , stale, or a sequence such as 1+2x10"
        ) from None


def unquote(text: str) -> str:
    """The content of a string literal of PromQL, which are those of Go and single quotes. Raises InvalidInput."""
    if len(text) < 2 or text[0] != text[-1] or text[0] not in "\"'`":
        raise InvalidInput(f"{text} is not a string; put it in quotes")
    return text[1:-1] if text[0] == "`" else _unescaped(text[1:-1])


def _unescaped(text: str) -> str:
    def replacement(found: re.Match[str]) -> str:
        byte, short, long, octal, simple = found.groups()
        if byte or octal:
            # Bytes stand for themselves in UTF-8; surrogates keep them apart until all are there.
            code = int(byte, 16) if byte else int(octal, 8)
            return chr(code) if code < 128 else bytes([code & 255]).decode("utf-8", "surrogateescape")
        if short or long:
            return chr(int(short or long, 16))
        return chr(_SIMPLE_ESCAPES[simple]) if simple in _SIMPLE_ESCAPES else str(simple)

    plain = _ESCAPE.sub(replacement, text)
    return plain.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def split_series(line: str) -> tuple[dict[str, str], str]:
    """`name{labels} values` as labels, the name under `__name__`, and the rest. Raises InvalidInput."""
    named = _NAME.match(line)
    labels: dict[str, str] = {"__name__": named[0]} if named else {}
    rest = line[named.end() :] if named else line
    after = rest.lstrip()
    if not after.startswith("{") or after.startswith("{{"):
        return labels, rest.strip()
    position = 1
    while position < len(after) and after[position].isspace():
        position += 1
    while position < len(after) and after[position] != "}":
        found = _LABEL.match(after, position)
        if found is None or (found["value"] is None and found["quoted"] is None):
            raise InvalidInput(f"the labels of this series are not well written: {line}")
        name = unquote(found["quoted"]) if found["quoted"] is not None else found["name"]
        if found["value"] is None:
            labels["__name__"] = name
        else:
            labels[name] = unquote(found["value"])
        position = found.end()
    if position >= len(after):
        raise InvalidInput(f"a }} is missing behind the labels of this series: {line}")
    return labels, after[position + 1 :].strip()


def sequence(text: str) -> Iterator[float | NativeHistogram | None]:
    """The values of a series: numbers, `a+bxn`, `_` (none), `_xn`, `stale`, and histograms, `{{…}}` or
    `{{…}}+{{…}}xn`. Raises InvalidInput.
    """
    for token in tokens(text):
        if token.startswith("{{"):
            yield from histograms(token, number)
            continue
        repeat = re.fullmatch(r"_x(\d+)", token)
        found = _SEQUENCE.fullmatch(token)
        count = int(repeat[1]) if repeat else int(found["count"]) if found else 0
        if count > _LARGEST_REPEAT:
            raise InvalidInput(f"{token} makes {count} samples; {_LARGEST_REPEAT} are the most")
        if token == "_":
            yield None
        elif repeat:
            yield from [None] * count
        elif token == "stale":
            yield STALE
        elif found:
            value, delta = number(found["start"]), number(found["delta"] or "0")
            for _ in range(count + 1):
                yield value
                value += delta
        else:
            yield number(token)
