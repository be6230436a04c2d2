"""The only door to `promql`: checks an objective's queries when they are applied, and counts events with
them.

For counters the exact increase per slot is taken (`as_increase`), so slots sum to minutes and minutes to
windows. For other queries (`counter: false`) the value at the end of a slot is that slot's number of events; a
sample may be one slot late, but not stand for five of them, as Prometheus's lookback would have it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.objective.from_telemetry import Matcher, Select
from setpoint.promql.context import Options
from setpoint.promql.errors import QueryError, Unsupported
from setpoint.promql.exact import as_increase
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    LabelMatcher,
    MatrixSelector,
    Node,
    NumberLiteral,
    Subquery,
    VectorSelector,
    value_type,
    walk,
)
from setpoint.promql.parse import parse
from setpoint.promql.show import narrowed, selectors, show

__all__ = [
    "EventQuery",
    "Events",
    "QueryError",
    "Unsupported",
    "of_group",
    "refuse_ranges",
    "refuse_unparsable",
    "selectors_of",
]

_MINUTE_MS = 60_000
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
    matchers = [LabelMatcher(name, "=", value) for name, value in labels.items()]
    return show(narrowed(parse(query), matchers))


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
    def node(self) -> Node:
        """The parsed query, as it was written."""
        return self._node

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
            raise InvalidInput(
                f"the {self.role} query returns {most} series instead of one number; write sum(…) around it"
            )


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
