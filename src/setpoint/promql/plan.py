"""Decides what to fetch and what to compute once before anything is computed: one fetch per distinct selector,
with the union of its ranges, and how often each part of the expression is needed on which steps.

`evaluate` calls it once per query. `sum(a) / (sum(a) + sum(b))` fetches `a` once, also when one of the two
carries an offset; so what a query costs the store is visible here, and limits apply before the store is
asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from setpoint.errors import InvalidInput
from setpoint.promql.context import Budget, Grid, Options
from setpoint.promql.exact import PREVIOUS_SAMPLE_MS
from setpoint.promql.from_telemetry import Matcher, SampleColumns, Select
from setpoint.promql.info_selector import info_selector
from setpoint.promql.nodes import (
    At,
    Call,
    ExactIncrease,
    LabelMatcher,
    MatrixSelector,
    Node,
    NumberLiteral,
    StringLiteral,
    Subquery,
    VectorSelector,
    children,
)

__all__ = ["MAX_STEPS", "Plan", "check_resolution", "make_plan", "subquery_grid"]

MAX_STEPS = 11_000

Key = tuple[LabelMatcher, ...]


def check_resolution(start_ms: int, end_ms: int, step_ms: int) -> None:
    """Raise InvalidInput, with Prometheus's texts, for a range that its HTTP API refuses."""
    if step_ms <= 0:
        raise InvalidInput(
            "zero or negative query resolution step widths are not accepted. Try a positive integer"
        )
    if end_ms < start_ms:
        raise InvalidInput('invalid parameter "end": end timestamp must not be before start time')
    if (end_ms - start_ms) // step_ms > MAX_STEPS:
        raise InvalidInput(
            f"exceeded maximum resolution of {MAX_STEPS:,} points per timeseries. "
            "Try decreasing the query resolution (?step=XX)"
        )


@dataclass(slots=True)
class Plan:
    """Per selector the samples that it needs: those with start_ms < t <= end_ms."""

    fetches: dict[Key, tuple[int, int]] = field(default_factory=dict)
    uses: Counter[tuple[Node, Grid]] = field(default_factory=Counter)
    """How often each part is needed on which steps."""

    def need(self, key: Key, start_ms: int, end_ms: int) -> None:
        """Extend the range of `key`."""
        known = self.fetches.get(key)
        if known is not None:
            start_ms, end_ms = min(start_ms, known[0]), max(end_ms, known[1])
        self.fetches[key] = (start_ms, end_ms)

    def fetch(self, select: Select, budget: Budget) -> Mapping[Key, SampleColumns]:
        """Ask the store, once per selector."""
        columns = {}
        for key, (start_ms, end_ms) in self.fetches.items():
            matchers = [Matcher(matcher.name, matcher.op, matcher.value) for matcher in key]
            budget.check()
            columns[key] = select(matchers, start_ms, end_ms)
            budget.spend(columns[key].samples)
            budget.fetched += columns[key].samples
        return columns


def make_plan(
    node: Node, start_ms: int, last_ms: int, options: Options, *, query_end_ms: int, steps: int = 1
) -> Plan:
    """What `node` needs on `steps` steps from `start_ms` to `last_ms` of a query that ends at `query_end_ms`."""
    plan = Plan()
    bounds = {"start": start_ms, "end": query_end_ms}

    def shifted(at: At, offset_ms: int, first: int, last: int) -> tuple[int, int]:
        fixed = bounds[at] if isinstance(at, str) else at
        if fixed is not None:
            first = last = fixed
        return first - offset_ms, last - offset_ms

    def need(selector: VectorSelector, back_ms: int, first: int, last: int) -> None:
        first, last = shifted(selector.at, selector.offset_ms, first, last)
        plan.need(selector.matchers, first - back_ms, last)

    def visit(part: Node, grid: Grid) -> None:
        first, last, _ = grid
        if not isinstance(part, NumberLiteral | StringLiteral | MatrixSelector | Subquery):
            plan.uses[part, grid] += 1
            if plan.uses[part, grid] > 1:
                return  # what it is made of is not computed again
        match part:
            case VectorSelector():
                need(part, options.lookback_ms, first, last)
            case MatrixSelector():
                need(part.selector, part.range_ms, first, last)
            case ExactIncrease():
                need(part.selector, part.window_ms + PREVIOUS_SAMPLE_MS, first, last)
            case Call() if part.name == "info":
                visit(part.args[0], grid)
                need(info_selector(part), options.lookback_ms, first, last)
            case Subquery():
                inner_first, inner_last = shifted(part.at, part.offset_ms, first, last)
                inner_first, inner_last, step_ms = subquery_grid(part, inner_first, inner_last, options)
                # An empty grid is planned as one step, so that every selector has columns, if no samples.
                inner_steps = max(inner_last - inner_first, 0) // step_ms + 1
                visit(part.expr, (inner_first, inner_first + (inner_steps - 1) * step_ms, inner_steps))
            case _:
                for child in children(part):
                    visit(child, grid)

    visit(node, (start_ms, last_ms, steps))
    return plan


def subquery_grid(node: Subquery, first_ms: int, last_ms: int, options: Options) -> tuple[int, int, int]:
    """The steps of a subquery whose windows end between `first_ms` and `last_ms`: (first, last, step) in ms.

    They are the multiples of its step in (first_ms - range, last_ms], the same for every caller.
    """
    step_ms = node.step_ms or options.subquery_step_ms
    return ((first_ms - node.range_ms) // step_ms + 1) * step_ms, last_ms, step_ms
