"""Evaluates a parsed query over samples: the entry that `objective`, the Prometheus API and the pages call.

One plan and one fetch per selector, then each node yields a whole matrix of series × steps (docs of `model`).
The kernels are compiled by `kernels.warm()` at install or start, never here for the first time.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from setpoint.errors import InvalidInput
from setpoint.promql.aggregate import aggregate
from setpoint.promql.binary import binary, negate
from setpoint.promql.context import TOO_MANY_SAMPLES, Budget, Context, Options, Shared, Value, size
from setpoint.promql.errors import ExecutionError, Unsupported
from setpoint.promql.from_telemetry import Select, SelectHistograms
from setpoint.promql.functions import FUNCTIONS
from setpoint.promql.literals import readable
from setpoint.promql.model import NAME, Matrix, Times, compact, merge_rows
from setpoint.promql.native_series import fetch
from setpoint.promql.nodes import (
    Aggregation,
    Binary,
    Call,
    ExactIncrease,
    Node,
    NumberLiteral,
    StringLiteral,
    Unary,
    VectorSelector,
    value_type,
)
from setpoint.promql.plan import make_plan
from setpoint.promql.selectors import exact_increase, instant, raw_samples

__all__ = ["Options", "evaluate", "evaluate_instant"]

_DEFAULTS = Options()


def evaluate(
    node: Node,
    start_ms: int,
    end_ms: int,
    step_ms: int,
    select: Select,
    *,
    options: Options = _DEFAULTS,
    budget: Budget | None = None,
    histograms: SelectHistograms | None = None,
) -> Matrix:
    """The value of `node` at `start_ms`, `start_ms + step_ms`, … up to `end_ms` (Unix milliseconds).

    Series without any value are left out. Raises InvalidInput for a range vector or a string, ExecutionError
    when the data contradict the query or are too many; with a `budget` of the caller's, QueryTimeout and
    QueryCanceled as it says. The number of steps is not limited here, because the ledger needs many: see
    `plan.check_resolution`. Native histograms take part when there is a function to fetch them, `histograms`.
    """
    if step_ms <= 0:
        raise ExecutionError("the step must be positive; give it in milliseconds")
    kind = value_type(node)
    if kind in ("matrix", "string"):
        raise InvalidInput(  # as Prometheus: nothing was executed
            f'invalid expression type "{"range vector" if kind == "matrix" else kind}" for range query, '
            "must be Scalar or instant Vector; take a function of it, such as rate(metric[5m])"
        )
    if (end_ms - start_ms) // step_ms > options.max_samples:
        raise ExecutionError(f"{TOO_MANY_SAMPLES}; ask for a shorter time or a larger step")
    times = np.arange(start_ms, end_ms + 1, step_ms, dtype=np.int64)
    return _run(node, times, (start_ms, end_ms, step_ms), select, options, budget, histograms)


def evaluate_instant(
    node: Node,
    at_ms: int,
    select: Select,
    *,
    options: Options = _DEFAULTS,
    budget: Budget | None = None,
    histograms: SelectHistograms | None = None,
) -> Matrix:
    """The value of `node` at one instant: a matrix with one step, or the raw samples of a range vector. Errors
    as `evaluate`.
    """
    if isinstance(node, StringLiteral):
        return replace(Matrix.empty(np.array([at_ms], np.int64)), kind="string", text=readable(node.value))
    return _run(node, np.array([at_ms], np.int64), (at_ms, at_ms, 0), select, options, budget, histograms)


def _run(  # noqa: PLR0917 - the query in parts
    node: Node,
    times: Times,
    grid_ms: tuple[int, int, int],
    select: Select,
    options: Options,
    budget: Budget | None,
    histograms: SelectHistograms | None,
) -> Matrix:
    start_ms, end_ms, step_ms = grid_ms
    budget = Budget(options.max_samples) if budget is None else budget
    last_ms = int(times[-1]) if len(times) else start_ms
    plan = make_plan(node, start_ms, last_ms, options, query_end_ms=end_ms, steps=len(times))
    columns, native = fetch(plan.fetches, plan.fetch(select, budget), histograms, budget)
    budget.fetched_s = budget.spent_s
    shared = Shared(plan.uses)
    context = Context(times, start_ms, end_ms, step_ms, columns, options, budget, _compute, shared, native)
    # Dividing by zero and the logarithm of it are ordinary in PromQL.
    with np.errstate(all="ignore"):
        result = _result(node, context)
    return replace(result, warnings=context.notes.warnings, infos=context.notes.infos)


def _result(node: Node, context: Context) -> Matrix:
    if value_type(node) == "matrix":
        return _named(raw_samples(context, node))
    value = _compute(node, context)
    if isinstance(value, Matrix):
        return _named(compact(value))
    values = value[np.newaxis, :]
    return Matrix(({},), context.times_ms, values, np.ones(values.shape, np.bool_), "scalar")


def _named(matrix: Matrix) -> Matrix:
    """Drop the names that were to go at the end."""
    if not matrix.drops_name.any():
        return matrix
    labels = tuple(
        {name: value for name, value in labels.items() if name != NAME} if drops else labels
        for labels, drops in zip(matrix.labels, matrix.drops_name, strict=True)
    )
    return merge_rows(replace(matrix, labels=labels))


def _compute(node: Node, context: Context) -> Value:
    """The value of one node on the steps of `context`; what it took to compute it is given back."""
    budget, shared = context.budget, context.shared
    budget.check()
    key = node, context.grid
    if not shared.is_shared(key) or context.reads == "stats":
        mark = budget.held
        value = _value(node, context)
        budget.settle(mark, size(value))
        return value
    known = shared.take(key, budget)
    if known is not None:
        return known
    mark = budget.held
    value = _value(node, context)
    budget.settle(mark, 0)
    shared.put(key, value, budget)
    return value


def _value(node: Node, context: Context) -> Value:  # noqa: PLR0911
    match node:
        case NumberLiteral():
            return np.full(context.steps, node.value)
        case VectorSelector():
            return instant(context, node)
        case ExactIncrease():
            return exact_increase(context, node)
        case Unary():
            return negate(context, context.compute(node.expr, context))
        case Binary():
            return binary(context, node)
        case Aggregation():
            return aggregate(context, node)
        case Call():
            if node.name not in FUNCTIONS:
                raise Unsupported(f"the function {node.name}() is not supported yet")
            return FUNCTIONS[node.name](context, node)
        case _:
            raise ExecutionError(f"a {value_type(node)} cannot stand here; take a function of it")
