"""The only door to `promql`: checks an objective's queries when they are applied, and counts events with
them.

For counters the exact increase per slot is taken (`as_increase`), so slots sum to minutes and minutes to
windows. For other queries (`counter: false`) the value at the end of a slot is that slot's number of events; a
sample may be one slot late, but not stand for five of them, as Prometheus's lookback would have it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.objective.from_telemetry import Labels, Matcher, Select
from setpoint.promql.context import Options
from setpoint.promql.errors import QueryError, Unsupported
from setpoint.promql.exact import PREVIOUS_SAMPLE_MS, as_increase
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    LabelMatcher,
    Matching,
    MatrixSelector,
    Node,
    NumberLiteral,
    StringLiteral,
    Subquery,
    Unary,
    VectorSelector,
    value_type,
    walk,
)
from setpoint.promql.parse import parse
from setpoint.promql.show import narrowed, selectors, show

__all__ = [
    "PREVIOUS_SAMPLE_MS",
    "EventQuery",
    "Events",
    "Expression",
    "Formula",
    "Grouped",
    "QueryError",
    "Unsupported",
    "of_group",
    "refuse_ranges",
    "refuse_unparsable",
    "selectors_of",
    "several_series",
]

_MINUTE_MS = 60_000
_NAME = "__name__"
_ARITHMETIC = frozenset("+-*/")
_MILDEST = 1e-9
_GROUPED_KEPT = 1024
"""Queries that are written for each of a thousand groups, every minute."""
_RANGED = frozenset({"rate", "increase", "irate", "delta", "idelta"})


def refuse_unparsable(query: str) -> None:
    """Raise QueryError or Unsupported when `query` cannot be a count of events."""
    node = parse(query)
    if value_type(node) != "vector":
        raise QueryError(
            f"this is a {value_type(node)}; write a query that counts events, such as sum(x_total)", query
        )


def refuse_ranges(query: str) -> None:
    """Raise InvalidInput when a counter's query takes a rate or range itself."""
    for node in walk(parse(query)):
        if isinstance(node, MatrixSelector | Subquery) or (isinstance(node, Call) and node.name in _RANGED):
            raise InvalidInput(
                "with counter: true Setpoint takes the increase itself; name the plain counter, such as "
                "sum(http_requests_total), or set counter: false where it gives the last minute's events"
            )


def of_group(query: str, labels: Mapping[str, str]) -> str:
    """`query` for the series with these labels only. Raises QueryError or Unsupported."""
    values = [show(StringLiteral(value)) for value in labels.values()]
    parts = _of_any_group(query, tuple(labels))
    return "".join(values[int(part)] if at % 2 else part for at, part in enumerate(parts))


@lru_cache(_GROUPED_KEPT)
def _of_any_group(query: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """What `of_group` has for every group: every second part is the number of the label whose value stands there."""
    stand_in = "group_"
    while stand_in in query:
        stand_in += "_"
    matchers = [LabelMatcher(label, "=", f"{stand_in}{number}") for number, label in enumerate(labels)]
    return tuple(re.split(f'"{stand_in}([0-9]+)"', show(narrowed(parse(query), matchers))))


def selectors_of(query: str) -> list[tuple[Matcher, ...]]:
    """What finds the series of `query`: the matchers of each of its selectors, each once. Raises QueryError or
    Unsupported.
    """
    found = dict.fromkeys(one.matchers for one in selectors(parse(query)))
    return [tuple(Matcher(one.name, one.op, one.value) for one in matchers) for matchers in found]


@dataclass(frozen=True, slots=True)
class Events:
    """Events of n slots: `values` float64[n], zero where nothing is known; `present` bool[n], where something
    is; `undefined` bool[n], where a series gives NaN or infinity.
    """

    values: npt.NDArray[np.float64]
    present: npt.NDArray[np.bool_]
    undefined: npt.NDArray[np.bool_]


class EventQuery:
    """One query that counts events, such as an objective's total."""

    def __init__(self, text: str, *, role: str, is_counter: bool) -> None:
        """`role` (good, bad, total) names the query in errors. Raises QueryError when it does not parse."""
        self.text = text
        self.role = role
        self.is_counter = is_counter
        self._node = parse(text)
        from setpoint.promql.evaluate import evaluate  # loads the kernels: only who counts waits for them

        self._evaluate = evaluate

    @property
    def is_additive(self) -> bool:
        """True when a minute's value is the sum of its slices', whatever series they hold."""
        return self.is_counter and _is_additive(self._node)

    @property
    def calls(self) -> bool:
        """Whether it calls functions, such as vector(), which may give values where there are no samples."""
        return any(isinstance(node, Call) for node in walk(self._node))

    @property
    def formula(self) -> Formula | None:
        """The query as arithmetic on sums of series; None when it is more than that."""
        return _formula(self._node)

    @property
    def selectors(self) -> tuple[tuple[Matcher, ...], ...] | None:
        """What the series satisfy that it reads; None when that cannot be told by its text."""
        if any(isinstance(node, Call) and node.name == "info" for node in walk(self._node)):
            return None
        return tuple(_matchers(node) for node in walk(self._node) if isinstance(node, VectorSelector))

    def count(
        self, first_slot: int, slots: int, slot_ms: int, select: Select, *, takes_infinity: bool = False
    ) -> Events:
        """Events of consecutive slots. `takes_infinity`: infinity is a value as others are.

        Raises InvalidInput when the query gives several series at once: it would be a guess to add them.
        """
        node = as_increase(self._node, slot_ms) if self.is_counter else self._node
        ends = first_slot + 1, first_slot + slots
        options = Options() if self.is_counter else Options(lookback_ms=2 * slot_ms)
        matrix = self._evaluate(node, ends[0] * slot_ms, ends[1] * slot_ms, slot_ms, select, options=options)
        finite = ~np.isnan(matrix.values) if takes_infinity else np.isfinite(matrix.values)
        values, present = matrix.values, matrix.present & finite
        if values.shape[0] == 0:
            return Events(np.zeros(slots), np.zeros(slots, np.bool_), np.zeros(slots, np.bool_))
        if values.shape[0] > 1:
            self._refuse_several(present, matrix.times_ms)
        counted: npt.NDArray[np.float64] = np.where(present, values, 0.0).sum(axis=0)
        return Events(counted, np.any(present, axis=0), np.any(matrix.present & ~finite, axis=0))

    def _refuse_several(self, present: npt.NDArray[np.bool_], times_ms: npt.NDArray[np.int64]) -> None:
        minutes = (times_ms - 1) // _MINUTE_MS
        starts = np.flatnonzero(np.diff(minutes, prepend=minutes[0] - 1))
        most = int(np.add.reduceat(present, starts, axis=1).astype(np.bool_).sum(axis=0).max())
        if most > 1:
            raise several_series(self.role, most)


def several_series(role: str, series: int) -> InvalidInput:
    """The error of a query that gives more than one number."""
    return InvalidInput(
        f"the {role} query returns {series} series instead of one number; write sum(…) around it"
    )


@dataclass(frozen=True, slots=True)
class Grouped:
    """The sum of the series that satisfy `matchers`, in groups by the values of `labels`, or (`is_without`) of all
    others but the metric's name. Without labels that is one number; otherwise one group at a time should have values.
    """

    matchers: tuple[Matcher, ...]
    labels: tuple[str, ...] = ()
    is_without: bool = False

    @property
    def is_one(self) -> bool:
        """Whether there can be no more than one group."""
        return not self.labels and not self.is_without

    @property
    def reduced(self) -> Grouped:
        """The same groups by no more labels than it takes: a label that a matcher fixes has one value in all series."""
        if self.is_without:
            return self
        fixed = {one.name for one in self.matchers if one.op == "="}
        return replace(self, labels=tuple(label for label in self.labels if label not in fixed))

    def group_of(self, labels: Labels) -> frozenset[tuple[str, str]]:
        """What the series of a group have in common."""
        if self.is_without:
            left_out = {*self.labels, _NAME}
            return frozenset(pair for pair in labels.items() if pair[0] not in left_out)
        return frozenset((name, labels[name]) for name in self.labels if name in labels)


Expression = tuple["Expression | str | float | int", ...]
"""`("sum", i)`: sum number i; `("number", x)`; `("-", a)`; `(op, a, b)` for + - * and /; `("or", a, x)`: a, and the
number x where there is no a.
"""


@dataclass(frozen=True, slots=True)
class Formula:
    """Arithmetic on `sums`."""

    sums: tuple[Grouped, ...]
    expression: Expression

    @property
    def speaks_in_silence(self) -> bool:
        """Whether there is a value also where no series has one."""
        return "or" in str(self.expression)


def _formula(node: Node) -> Formula | None:
    sums: list[Grouped] = []
    expression = _expression(node, sums)
    if expression is None or not sums:
        return None
    if len(sums) > 1 and not all(one.is_one for one in sums):
        return None  # which groups meet is for the query language
    if len(sums) == 1:  # nothing else that its labels would have to meet
        sums[0] = sums[0].reduced
    is_plain = expression[0] == "sum"
    if not is_plain and not sums[0].is_one and not _only_scales(expression):
        return None
    return Formula(tuple(sums), expression)


def _only_scales(expression: Expression) -> bool:
    """Whether an expression multiplies and divides a sum with numbers that leave it finite."""
    if expression[0] == "sum":
        return True
    numbers = [part for part in expression[1:] if isinstance(part, tuple) and part[0] == "number"]
    if expression[0] not in {"*", "/"} or len(numbers) != 1:
        return False
    number, other = numbers[0][1], next(part for part in expression[1:] if part is not numbers[0])
    is_mild = isinstance(number, float) and _MILDEST <= abs(number) <= 1 / _MILDEST
    return is_mild and isinstance(other, tuple) and _only_scales(other)


def _expression(node: Node, sums: list[Grouped]) -> Expression | None:  # noqa: PLR0911 - one per kind of node
    match node:
        case NumberLiteral():
            return ("number", node.value)
        case VectorSelector() | Aggregation():
            grouped = _grouped(node)
            if grouped is None:
                return None
            sums.append(grouped)
            return ("sum", len(sums) - 1)
        case Unary():
            inner = _expression(node.expr, sums)
            return None if inner is None else ("-", inner)
        case Binary(op="or", right=Call(name="vector", args=(NumberLiteral(value=value),))):
            inner = _expression(node.left, sums)
            is_sum = (
                inner is not None and value_type(node.left) == "vector" and all(one.is_one for one in sums)
            )
            return ("or", inner, value) if is_sum and inner is not None else None
        case Binary() if node.op in _ARITHMETIC and node.matching == Matching():
            left = _expression(node.left, sums)
            right = None if left is None else _expression(node.right, sums)
            return None if left is None or right is None else (node.op, left, right)
        case _:
            return None


def _grouped(node: VectorSelector | Aggregation) -> Grouped | None:
    selector = node if isinstance(node, VectorSelector) else node.expr
    if not isinstance(selector, VectorSelector) or selector.offset_ms or selector.at is not None:
        return None
    matchers = _matchers(selector)
    if not any(one.name == _NAME and one.op == "=" and one.value for one in matchers):
        return None
    if isinstance(node, VectorSelector):
        return Grouped(matchers, (), is_without=True)
    if node.op != "sum" or _NAME in node.grouping.labels:
        return None
    return Grouped(matchers, node.grouping.labels, node.grouping.without)


def _matchers(selector: VectorSelector) -> tuple[Matcher, ...]:
    return tuple(Matcher(one.name, one.op, one.value) for one in selector.matchers)


def _is_additive(node: Node) -> bool:
    match node:
        case VectorSelector():
            return True
        case Aggregation():
            return node.op == "sum" and _is_additive(node.expr)
        case Binary():
            scaled = (
                node.op in {"*", "/"} and isinstance(node.right, NumberLiteral) and _is_additive(node.left)
            )
            return scaled or (
                node.op == "*" and isinstance(node.left, NumberLiteral) and _is_additive(node.right)
            )
        case _:
            return False
