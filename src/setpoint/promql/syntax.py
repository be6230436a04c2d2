"""The tree of a query as Prometheus's `/api/v1/parse_query` shows it, for pages and editors that draw it.

Unlike `nodes` it keeps parentheses and what was written; so it is made from promql-parser's tree, after `parse` has
accepted the query. The shape is that of Prometheus's web/api/v1/translate_ast.go.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import promql_parser

from setpoint.promql.format import format_number
from setpoint.promql.parse import parse, refuse_rewritten

__all__ = ["syntax_tree"]

_SET_OPERATORS = ("and", "or", "unless")
_CARDINALITIES = {
    "VectorMatchCardinality.OneToOne": "one-to-one",
    "VectorMatchCardinality.ManyToOne": "many-to-one",
    "VectorMatchCardinality.OneToMany": "one-to-many",
    "VectorMatchCardinality.ManyToMany": "many-to-many",
}
_MATCH_TYPES = {
    "MatchOp.Equal": "=",
    "MatchOp.NotEqual": "!=",
    "MatchOp.Re": "=~",
    "MatchOp.NotRe": "!~",
}


def syntax_tree(query: str) -> dict[str, Any]:
    """The tree of `query` as JSON values; errors as `parse`."""
    parse(query)
    refuse_rewritten(query)
    return _translate(promql_parser.parse(query))


def _translate(tree: Any) -> dict[str, Any]:  # noqa: PLR0911 — one per kind of node
    match tree:
        case promql_parser.NumberLiteral():
            return {"type": "numberLiteral", "val": format_number(tree.val, exponent=False)}
        case promql_parser.StringLiteral():
            return {"type": "stringLiteral", "val": tree.val}
        case promql_parser.ParenExpr():
            return {"type": "parenExpr", "expr": _translate(tree.expr)}
        case promql_parser.UnaryExpr():
            return {"type": "unaryExpr", "op": "-", "expr": _translate(tree.expr)}
        case promql_parser.VectorSelector():
            return {"type": "vectorSelector", **_selector(tree)}
        case promql_parser.MatrixSelector():
            return {
                "type": "matrixSelector",
                "range": _milliseconds(tree.range),
                "rangeExpr": None,
                **_selector(tree.vector_selector),
            }
        case promql_parser.SubqueryExpr():
            return {
                "type": "subquery",
                "expr": _translate(tree.expr),
                "range": _milliseconds(tree.range),
                "rangeExpr": None,
                "step": _milliseconds(tree.step),
                "stepExpr": None,
                **_time(tree),
            }
        case promql_parser.Call():
            return {
                "type": "call",
                "func": _function(tree.func),
                "args": [_translate(arg) for arg in tree.args],
            }
        case promql_parser.AggregateExpr():
            return _aggregation(tree)
        case _:
            return _binary(tree)


def _function(function: Any) -> dict[str, Any]:
    return {
        "name": function.name,
        "argTypes": [_name(kind) for kind in function.arg_types],
        "variadic": int(function.variadic),
        "returnType": _name(function.return_type),
    }


def _aggregation(tree: Any) -> dict[str, Any]:
    modifier = tree.modifier
    return {
        "type": "aggregation",
        "op": str(tree.op).lower(),
        "expr": _translate(tree.expr),
        "param": None if tree.param is None else _translate(tree.param),
        "grouping": [] if modifier is None else list(modifier.labels),
        "without": modifier is not None and modifier.type == promql_parser.AggModifierType.Without,
    }


def _binary(tree: Any) -> dict[str, Any]:
    operator = str(tree.op).lower()
    return {
        "type": "binaryExpr",
        "op": operator,
        "lhs": _translate(tree.lhs),
        "rhs": _translate(tree.rhs),
        "matching": _matching(tree, operator),
        "bool": tree.modifier is not None and bool(tree.modifier.return_bool),
    }


def _matching(tree: Any, operator: str) -> dict[str, Any] | None:
    """How the sides find each other; None unless both are vectors."""
    if not (_is_vector(tree.lhs) and _is_vector(tree.rhs)):
        return None
    usual = "many-to-many" if operator in _SET_OPERATORS else "one-to-one"
    modifier = tree.modifier
    if modifier is None:
        fill: dict[str, float | None] = {"lhs": None, "rhs": None}
        return {"card": usual, "labels": [], "on": False, "include": [], "fillValues": fill}
    matching = modifier.matching
    card = _CARDINALITIES[str(modifier.card)]
    return {
        "card": usual if card == "one-to-one" else card,
        "labels": [] if matching is None else list(matching.labels),
        "on": matching is not None and matching.type == promql_parser.LabelModifierType.Include,
        "include": list(modifier.group_labels or ()),
        "fillValues": {"lhs": modifier.fill_values.lhs, "rhs": modifier.fill_values.rhs},
    }


def _selector(tree: Any) -> dict[str, Any]:
    matchers = [
        {"name": one.name, "value": one.value, "type": _MATCH_TYPES[str(one.op)]}
        for one in tree.matchers.matchers
    ]
    if tree.name is not None:
        matchers.append({"name": "__name__", "value": tree.name, "type": "="})
    beside = {"anchored": False, "smoothed": False}
    return {"name": tree.name or "", "matchers": matchers, **_time(tree), **beside}


def _time(tree: Any) -> dict[str, Any]:
    """`offset` and `@` of a selector or subquery."""
    kind = None if tree.at is None else tree.at.type
    is_instant = kind == promql_parser.AtModifierType.At
    return {
        "offset": _milliseconds(tree.offset),
        "offsetExpr": None,
        "timestamp": round(tree.at.at.timestamp() * 1000) if is_instant else None,
        "startOrEnd": None if kind is None or is_instant else _name(kind),
    }


def _is_vector(tree: Any) -> bool:
    match tree:
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            return _is_vector(tree.expr)
        case promql_parser.BinaryExpr():
            return _is_vector(tree.lhs) or _is_vector(tree.rhs)
        case promql_parser.Call():
            return _name(tree.func.return_type) == "vector"
        case _:
            return not isinstance(tree, promql_parser.NumberLiteral | promql_parser.StringLiteral)


def _milliseconds(duration: timedelta | None) -> int:
    return 0 if duration is None else round(duration / timedelta(milliseconds=1))


def _name(kind: Any) -> str:
    return str(kind).rpartition(".")[2].lower()
