"""The functions of instant vectors and scalars: arithmetic, clamping, sorting, absence, dates and labels."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.promql.context import Context, Value
from setpoint.promql.errors import ExecutionError
from setpoint.promql.from_telemetry import compile_expression, full_match
from setpoint.promql.histogram_functions import HISTOGRAM_FUNCTIONS
from setpoint.promql.info import info
from setpoint.promql.model import NAME, FloatGrid, Matrix, compact, merge_rows, without_name
from setpoint.promql.nodes import Call, VectorSelector
from setpoint.promql.ranges import RANGE_FUNCTIONS, absent_labels
from setpoint.promql.selectors import sample_times

__all__ = ["FUNCTIONS"]

_SORTED_RANGE = "sort is ineffective for range queries since results are always ordered by labels"
_MS_PER_DAY = 86_400_000

_ELEMENTWISE: dict[str, Callable[[FloatGrid], FloatGrid]] = {
    "abs": np.abs,
    "ceil": np.ceil,
    "floor": np.floor,
    "exp": np.exp,
    "sqrt": np.sqrt,
    "ln": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sgn": np.sign,
    "rad": lambda values: values * (np.pi / 180),
    "deg": lambda values: values * (180 / np.pi),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
}


def _mapped(context: Context, matrix: Matrix, values: FloatGrid) -> Matrix:
    return without_name(replace(matrix, values=values), context.options.delayed_name_removal)


def _elementwise(context: Context, call: Call) -> Matrix:
    matrix = context.vector(call.args[0])
    return _mapped(context, matrix, _ELEMENTWISE[call.name](matrix.values))


def _round(context: Context, call: Call) -> Matrix:
    """Ties go up; the inverse causes fewer inaccuracies (Prometheus, funcRound)."""
    matrix = context.vector(call.args[0])
    inverse = 1 / (context.scalar(call.args[1]) if len(call.args) > 1 else np.ones(context.steps))
    return _mapped(context, matrix, np.floor(matrix.values * inverse + 0.5) / inverse)


def _clamp(context: Context, call: Call) -> Matrix:
    matrix = context.vector(call.args[0])
    bounds = [context.scalar(arg) for arg in call.args[1:]]
    lowest = bounds[0] if call.name != "clamp_max" else np.full(context.steps, -np.inf)
    highest = bounds[-1] if call.name != "clamp_min" else np.full(context.steps, np.inf)
    # np.maximum and np.minimum pass NaN on, as Go's math.Max and math.Min.
    clamped = replace(matrix, present=matrix.present & ~(highest < lowest))
    return _mapped(context, clamped, np.maximum(lowest, np.minimum(highest, matrix.values)))


def _scalar(context: Context, call: Call) -> FloatGrid:
    matrix = context.vector(call.args[0])
    single = matrix.present.sum(axis=0) == 1
    total = np.where(matrix.present, matrix.values, 0.0).sum(axis=0)
    return np.where(single, total, np.nan)


def _vector(context: Context, call: Call) -> Matrix:
    values = context.scalar(call.args[0])[np.newaxis, :]
    return Matrix(({},), context.times_ms, values, np.ones(values.shape, np.bool_))


def _time(context: Context, call: Call) -> FloatGrid:
    return context.times_ms / 1000


def _constant(context: Context, call: Call) -> FloatGrid:
    """start(), end(), range() and step() of the whole query, in seconds; an instant query has no step."""
    length_ms = context.end_ms - context.start_ms
    value_ms = {
        "start": context.start_ms,
        "end": context.end_ms,
        "range": length_ms,
        "step": context.step_ms if length_ms else 0,
    }[call.name]
    return np.full(context.steps, value_ms / 1000)


def _larger_or_smaller(context: Context, call: Call) -> FloatGrid:
    pick = np.maximum if call.name == "max_of" else np.minimum
    result: FloatGrid = pick(context.scalar(call.args[0]), context.scalar(call.args[1]))
    return result


def _pi(context: Context, call: Call) -> FloatGrid:
    return np.full(context.steps, np.pi)


def _timestamp(context: Context, call: Call) -> Matrix:
    argument = call.args[0]
    if isinstance(argument, VectorSelector):
        matrix = sample_times(context, argument)
        return _mapped(context, matrix, matrix.values)
    matrix = replace(context.mixed(argument), histograms=None)
    return _mapped(context, matrix, np.broadcast_to(context.times_ms / 1000, matrix.values.shape).copy())


def _absent(context: Context, call: Call) -> Matrix:
    missing = ~context.mixed(call.args[0]).occupied[np.newaxis, :]
    return Matrix((absent_labels(call.args[0]),), context.times_ms, np.ones(missing.shape), missing)


def _sort(context: Context, call: Call) -> Matrix:
    """Sorts instant queries; a range query has no order of values."""
    matrix = compact(context.vector(call.args[0]))
    if context.steps != 1:
        context.notes.warn(call, _SORTED_RANGE)
        return matrix
    values = matrix.values[:, 0]
    keys = -values if call.name == "sort_desc" else values
    return matrix.rows(np.argsort(keys, kind="stable"))  # NaN last, either way


def _natural(text: str) -> list[tuple[int, int | str]]:
    """A sort key in which numbers within a text count as numbers."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", text) if part]


def _sort_by_label(context: Context, call: Call) -> Matrix:
    matrix = compact(context.mixed(call.args[0]))
    if context.steps != 1:
        context.notes.warn(call, _SORTED_RANGE)
        return matrix
    names = [context.text(arg) for arg in call.args[1:]]

    def key(i: int) -> tuple[object, ...]:
        labels = matrix.labels[i]
        return (*(_natural(labels.get(name, "")) for name in names), sorted(labels.items()))

    order = sorted(range(len(matrix.labels)), key=key, reverse=call.name.endswith("_desc"))
    return matrix.rows(order)


def _calendar(seconds: FloatGrid, part: str) -> FloatGrid:
    """One part of the UTC date of each instant; NaN stays NaN."""
    finite = np.isfinite(seconds)
    ms = np.where(finite, np.floor(np.where(finite, seconds, 0)), 0).astype(np.int64) * 1000
    day = ms // _MS_PER_DAY
    date = day.astype("datetime64[D]")
    month, year = date.astype("datetime64[M]"), date.astype("datetime64[Y]")
    one_day = np.timedelta64(1, "D")
    parts: dict[str, Callable[[], npt.NDArray[np.int64]]] = {
        "minute": lambda: ms // 60_000 % 60,
        "hour": lambda: ms // 3_600_000 % 24,
        "day_of_week": lambda: (day + 4) % 7,
        "day_of_month": lambda: (date - month.astype("datetime64[D]")) // one_day + 1,
        "day_of_year": lambda: (date - year.astype("datetime64[D]")) // one_day + 1,
        "days_in_month": lambda: (
            ((month + np.timedelta64(1, "M")).astype("datetime64[D]") - month.astype("datetime64[D]"))
            // one_day
        ),
        "month": lambda: month.astype(np.int64) % 12 + 1,
        "year": lambda: year.astype(np.int64) + 1970,
    }
    return np.where(finite, parts[part]().astype(np.float64), np.nan)


_DATES = ("minute", "hour", "day_of_week", "day_of_month", "day_of_year", "days_in_month", "month", "year")


def _date(context: Context, call: Call) -> Matrix:
    if call.args:
        matrix = context.vector(call.args[0])
    else:
        values = (context.times_ms / 1000)[np.newaxis, :]
        matrix = Matrix(({},), context.times_ms, values, np.ones(values.shape, np.bool_))
    return _mapped(context, matrix, _calendar(matrix.values, call.name))


def _relabelled(matrix: Matrix, target: str, values: list[str | None]) -> Matrix:
    """`matrix` with the label `target` set to `values` (None: left as it is, empty: removed)."""
    labels, drops_name = [], matrix.drops_name.copy()
    for i, (own, value) in enumerate(zip(matrix.labels, values, strict=True)):
        if value is None:
            labels.append(own)
            continue
        changed = {name: text for name, text in own.items() if name != target}
        if value:
            changed[target] = value
        if target == NAME:
            drops_name[i] = False
        labels.append(changed)
    return merge_rows(compact(replace(matrix, labels=tuple(labels), drops_name=drops_name)))


def _expand(template: str, found: re.Match[str]) -> str:
    """Go's template syntax: $1, ${1}, $name, ${name}, $$; an unknown group is empty."""

    def group(reference: re.Match[str]) -> str:
        name = reference[1] or reference[2]
        if name is None:
            return "$" if reference[0] == "$$" else reference[0]
        try:
            return found[int(name) if name.isdigit() else name] or ""
        except (IndexError, KeyError):
            return ""

    return re.sub(r"\$(?:\$|\{(\w+)\}|(\w+))", group, template)


def _label_replace(context: Context, call: Call) -> Matrix:
    matrix = context.mixed(call.args[0])
    target = context.label_name(call.args[1], "invalid destination label name in label_replace():")
    template, source, expression = (context.text(arg) for arg in call.args[2:])
    try:
        pattern = compile_expression(expression)
        accepts = full_match(pattern)
    except InvalidInput as error:
        raise ExecutionError(
            f"invalid regular expression in label_replace(): {expression}; {error.message}"
        ) from error
    values = (labels.get(source, "") for labels in context.budget.watch(matrix.labels))
    found = [pattern.fullmatch(value) if accepts(value) else None for value in values]
    return _relabelled(
        matrix, target, [None if match is None else _expand(template, match) for match in found]
    )


def _label_join(context: Context, call: Call) -> Matrix:
    matrix = context.mixed(call.args[0])
    target = context.label_name(call.args[1], "invalid destination label name in label_join():")
    separator, *sources = (context.text(arg) for arg in call.args[2:])
    joined: list[str | None] = [
        separator.join(labels.get(source, "") for source in sources) for labels in matrix.labels
    ]
    return _relabelled(matrix, target, joined)


FUNCTIONS: dict[str, Callable[[Context, Call], Value]] = {
    **RANGE_FUNCTIONS,
    **HISTOGRAM_FUNCTIONS,
    **dict.fromkeys(_ELEMENTWISE, _elementwise),
    **dict.fromkeys(_DATES, _date),
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), _clamp),
    **dict.fromkeys(("sort", "sort_desc"), _sort),
    **dict.fromkeys(("sort_by_label", "sort_by_label_desc"), _sort_by_label),
    **dict.fromkeys(("start", "end", "range", "step"), _constant),
    **dict.fromkeys(("max_of", "min_of"), _larger_or_smaller),
    "info": info,
    "round": _round,
    "scalar": _scalar,
    "vector": _vector,
    "time": _time,
    "pi": _pi,
    "timestamp": _timestamp,
    "absent": _absent,
    "label_replace": _label_replace,
    "label_join": _label_join,
}
