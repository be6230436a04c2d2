"""Arithmetic in durations, such as `rate(x[2 * step()])` and `x offset (1h / 2)`: computed before the query is parsed,
because promql-parser takes plain durations only.

`parse` calls it with the step and the range of the query. The rules are those of Prometheus's promql/durations.go:
numbers are seconds, ranges and steps must be above zero, an offset takes one operand unless it stands in parentheses.
"""

from __future__ import annotations

import math
import re

from setpoint.promql.errors import QueryError
from setpoint.promql.places import TOKEN

__all__ = ["fold_durations"]

_PART = re.compile(r"(?:\s|#[^\n]*)*(\d[\w.]*|\.\d\w*|[A-Za-z_]\w*|[-+*/%^(),:\]]|$)")
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_UNIT = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_FUNCTIONS = ("step", "range", "min_of", "max_of")
_LARGEST_S = 2**63 / 1e9
_DEEPEST = 50


def fold_durations(query: str, step_ms: int = 0, range_ms: int = 0) -> str:
    """`query` with plain durations only; what has none but those is left as it is.

    `step_ms` and `range_ms` are those of the query, 0 for an instant one. Raises QueryError, with the position,
    for a duration that cannot be.
    """
    if "[" not in query and "offset" not in query.lower():
        return query
    made: list[str] = []
    done = 0
    for found in TOKEN.finditer(query):
        if found.start() < done or found[0].lower() not in ("[", "offset"):
            continue
        reader = _Reader(query, found.end(), step_ms / 1000, range_ms / 1000)
        text = reader.brackets() if found[0] == "[" else reader.offset()
        if text is not None:
            made += [query[done : found.start()], text]
            done = reader.at
    return "".join(made) + query[done:]


class _Reader:
    """Reads one duration, or those of one pair of brackets, from `at` on."""

    def __init__(self, query: str, at: int, step_s: float, range_s: float) -> None:
        self._query = query
        self.at = at
        self._known = {"step": step_s, "range": range_s}
        self._is_plain = True
        self._depth = 0

    def brackets(self) -> str | None:
        """`[…]` with plain durations; None when they are, or when this is no duration at all."""
        parts = [self._positive()]
        if self._peek() == ":":
            self._take()
            parts.append("" if self._peek() == "]" else self._positive())
        if self._peek() != "]" or self._is_plain:
            return None
        self._take()
        return f"[{':'.join(parts)}]"

    def offset(self) -> str | None:
        """`offset …` with a plain duration, or nothing for an offset of zero; None when it is plain."""
        sign = 1.0
        while self._peek() in ("+", "-"):
            sign = -sign if self._take() == "-" else sign
        begins = self._peek().lower()
        if begins != "(" and begins not in _FUNCTIONS:
            return None
        offset_ms = self._milliseconds(sign * self._operand())
        if not offset_ms:
            return ""
        return f"offset {'-' if offset_ms < 0 else ''}{abs(offset_ms)}ms"

    def _positive(self) -> str:
        place = self.at
        value_ms = self._milliseconds(self._sum())
        if value_ms <= 0 and not self._is_plain:
            raise QueryError(f"duration must be greater than 0; in: {self._query}", self._query, place)
        return f"{value_ms}ms"

    def _milliseconds(self, seconds: float) -> int:
        if not math.isfinite(seconds) or abs(seconds) > _LARGEST_S:
            raise QueryError(f"the duration is out of range; in: {self._query}", self._query, self.at)
        return int(seconds * 1000)

    def _peek(self) -> str:
        found = _PART.match(self._query, self.at)
        return found[1] if found else ""

    def _take(self) -> str:
        found = _PART.match(self._query, self.at)
        if found is None:
            return ""
        self.at = found.end()
        return found[1]

    def _sum(self) -> float:
        value = self._product()
        while self._peek() in ("+", "-"):
            self._is_plain = False
            value += self._product() if self._take() == "+" else -self._product()
        return value

    def _product(self) -> float:
        value = self._signed()
        while (operator := self._peek()) in ("*", "/", "%"):
            self._is_plain = False
            self._take()
            by = self._signed()
            if operator == "*":
                value *= by
                continue
            if not by:
                name = "division" if operator == "/" else "modulo"
                raise QueryError(f"{name} by zero in a duration; in: {self._query}", self._query, self.at)
            value = value / by if operator == "/" else math.fmod(value, by)
        return value

    def _signed(self) -> float:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise QueryError(f"a duration is nested more than {_DEEPEST} levels deep", self._query, self.at)
        value = self._powered()
        self._depth -= 1
        return value

    def _powered(self) -> float:
        if self._peek() in ("+", "-"):
            self._is_plain = False
            return self._signed() if self._take() == "+" else -self._signed()
        base = self._operand()
        if self._peek() != "^":
            return base
        self._is_plain = False
        self._take()
        try:
            return float(math.pow(base, self._signed()))
        except (ValueError, OverflowError):
            return math.nan

    def _operand(self) -> float:
        word = self._take()
        name = word.lower()
        if word == "(":
            self._is_plain = False
            value = self._sum()
            self._expect(")")
            return value
        if name in _FUNCTIONS:
            self._is_plain = False
            return self._call(name)
        if _DURATION.fullmatch(word):
            return math.fsum(int(number) * _UNIT_S[unit] for number, unit in _UNIT.findall(word))
        try:
            return float(word.replace("_", "?"))
        except ValueError:
            if self._is_plain:
                return 1.0  # the parser has its own word for it
            raise QueryError(f"'{word}' is no duration; in: {self._query}", self._query, self.at) from None

    def _call(self, name: str) -> float:
        self._expect("(")
        if name in self._known:
            self._expect(")")
            return self._known[name]
        first = self._sum()
        self._expect(",")
        second = self._sum()
        self._expect(")")
        return min(first, second) if name == "min_of" else max(first, second)

    def _expect(self, token: str) -> None:
        if self._peek() != token:
            raise QueryError(f"expected '{token}' in a duration; in: {self._query}", self._query, self.at)
        self._take()
