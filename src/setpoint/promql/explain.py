"""A query in words: what a person reads beside it, and learns the language by.

The page of metrics and `setpoint promql --explain` show it. The words follow the tree, innermost first, so that
`sum by (job) (rate(x[5m]))` reads "per-second rate over 5 minutes of x, summed by job".
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.clock import rfc3339
from setpoint.promql.nodes import (
    Aggregation,
    At,
    Binary,
    Call,
    ExactIncrease,
    Grouping,
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
)
from setpoint.promql.words import AGGREGATIONS, FUNCTIONS, PARAMETRIC

__all__ = ["duration_in_words", "explain"]

_UNITS = (("day", 86_400_000), ("hour", 3_600_000), ("minute", 60_000), ("second", 1000), ("millisecond", 1))
_RELATIONS = {"=": "is", "!=": "is not", "=~": "matches", "!~": "does not match"}
_ARITHMETIC = {
    "+": "plus",
    "-": "minus",
    "*": "times",
    "/": "divided by",
    "%": "modulo",
    "^": "to the power of",
    "atan2": "atan2",
    "</": "trimmed to at most",
    ">/": "trimmed to above",
}
_COMPARISONS = {
    "==": "equal to",
    "!=": "different from",
    ">": "greater than",
    "<": "less than",
    ">=": "at least",
    "<=": "at most",
}
_TRIMS = {
    "</": "{left}, of its observations only those up to {right}",
    ">/": "{left}, of its observations only those above {right}",
}
_SETS = {
    "and": "{left}, where there is also {right}",
    "or": "{left}; where there is none, {right}",
    "unless": "{left}, where there is no {right}",
}


def explain(node: Node) -> str:
    """`node` as a phrase without a capital or full stop."""
    match node:
        case MatrixSelector() | Subquery():
            return f"the samples {_say(node)}"
        case _:
            return _say(node)


def duration_in_words(duration_ms: int) -> str:
    """`90000` as "1 minute 30 seconds"."""
    left, parts = abs(duration_ms), []
    for name, size in _UNITS:
        amount, left = divmod(left, size)
        if amount:
            parts.append(f"{amount} {name}{'s' if amount > 1 else ''}")
    return " ".join(parts) or "0 seconds"


def _say(node: Node) -> str:  # noqa: PLR0911 — one per kind of node
    match node:
        case NumberLiteral():
            return f"{node.value:.15g}"
        case StringLiteral():
            return f'"{node.value}"'
        case VectorSelector():
            return _selector(node)
        case MatrixSelector():
            return f"over {duration_in_words(node.range_ms)} of {_selector(node.selector)}"
        case ExactIncrease():
            return f"exact increase over {duration_in_words(node.window_ms)} of {_selector(node.selector)}"
        case Subquery():
            return _subquery(node)
        case Call():
            return _call(node)
        case Aggregation():
            return _aggregation(node)
        case Unary():
            return f"minus {_bracketed(node.expr)}"
        case Binary():
            return _binary(node)


def _listed(words: Sequence[str], joint: str = "and") -> str:
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {joint} {words[-1]}"


def _bracketed(node: Node) -> str:
    """An operand: bracketed where its words have more than one part."""
    text = _say(node)
    return f"({text})" if " " in text and not isinstance(node, StringLiteral) else text


def _argument(node: Node) -> str:
    """What stands after "of": bracketed where it would run into what follows."""
    text = _say(node)
    return f"({text})" if isinstance(node, Binary) or ", " in text else text


def _selector(node: VectorSelector) -> str:
    metric, conditions = "every series", []
    for matcher in node.matchers:
        if matcher.name == "__name__" and matcher.op == "=" and metric == "every series":
            metric = matcher.value
        else:
            conditions.append(_condition(matcher))
    text = f"{metric} where {_listed(conditions)}" if conditions else metric
    return text + _when(node.at, node.offset_ms)


def _condition(matcher: LabelMatcher) -> str:
    name = "the metric's name" if matcher.name == "__name__" else matcher.name
    if matcher.value == "" and matcher.op in ("=", "=~"):
        return f"{name} is empty"
    if matcher.value == "" and matcher.op in ("!=", "!~"):
        return f"{name} is not empty"
    return f"{name} {_RELATIONS[matcher.op]} {matcher.value}"


def _when(at: At, offset_ms: int) -> str:
    fixed = ""
    if at is not None:
        instant = f"the {at} of the shown time" if isinstance(at, str) else rfc3339(at)
        fixed = f" at {instant}"
    if not offset_ms:
        return fixed
    return f"{fixed} {duration_in_words(offset_ms)} {'earlier' if offset_ms > 0 else 'later'}"


def _subquery(node: Subquery) -> str:
    step = f", taken every {duration_in_words(node.step_ms)}" if node.step_ms else ""
    of = f"({_say(node.expr)}){step}" if " " in _say(node.expr) else f"{_say(node.expr)}{step}"
    return f"over {duration_in_words(node.range_ms)} of {of}{_when(node.at, node.offset_ms)}"


def _call(node: Call) -> str:
    template = FUNCTIONS.get(node.name)
    arguments = [_say(one) if value_type(one) == "matrix" else _argument(one) for one in node.args]
    if node.name == "round" and len(arguments) == 2:
        return f"{arguments[0]}, rounded to multiples of {arguments[1]}"
    if node.name == "info" and len(arguments) == 2:
        return f"{arguments[0]}, with labels of {arguments[1]}"
    if not arguments and template and template.endswith(" of {0}"):
        return template.format("now")
    if template is None or template.count("{") > len(arguments):
        return f"{node.name} of {_listed(arguments)}" if arguments else node.name
    return template.format(*arguments)


def _groups(grouping: Grouping, alone: str) -> str:
    """What follows an aggregation: its grouping."""
    labels = _listed(grouping.labels)
    if grouping.without:
        return f"over {labels}, keeping the other labels" if labels else "for each set of labels"
    return f"by {labels}" if labels else alone


def _aggregation(node: Aggregation) -> str:
    of = f"({_say(node.expr)})" if isinstance(node.expr, Binary) else _say(node.expr)
    if node.op in AGGREGATIONS:
        done, alone = AGGREGATIONS[node.op]
        return f"{of}, {done} {_groups(node.grouping, alone)}"
    parameter = "" if node.param is None else _argument(node.param)
    each = _groups(node.grouping, "")
    each = f", {each.replace('by ', 'for each ', 1)}" if each else ""
    of = _argument(node.expr)
    template = PARAMETRIC.get(node.op, f"{node.op} of {{1}}")
    return template.format(parameter, of) + each


def _binary(node: Binary) -> str:
    left, right = _bracketed(node.left), _bracketed(node.right)
    template = _SETS.get(node.op) or _TRIMS.get(node.op)
    if template is not None:
        text = template.format(left=left, right=right)
    elif node.op in _COMPARISONS and node.return_bool:
        text = f"1 where {left} is {_COMPARISONS[node.op]} {right}, else 0"
    elif node.op in _COMPARISONS:
        text = f"{left}, only where {_COMPARISONS[node.op]} {right}"
    else:
        text = f"{left} {_ARITHMETIC.get(node.op, node.op)} {right}"
    return text + _matching(node.matching)


def _matching(matching: Matching) -> str:
    told = []
    labels = _listed(matching.labels)
    if matching.on:
        told.append(f"matched on {labels}" if labels else "matched whatever the labels")
    elif labels:
        told.append(f"matched without regard to {labels}")
    if matching.group is not None:
        one = "right" if matching.group == "left" else "left"
        told.append(f"many on the {matching.group} to one on the {one}")
        if matching.include:
            told.append(f"which lends {_listed(matching.include)}")
    for side, fill in (("left", matching.fill_left), ("right", matching.fill_right)):
        if fill is not None:
            told.append(f"{fill:.15g} where the {side} side has none")
    return f" ({', '.join(told)})" if told else ""
