"""The tree of a query in the shape of Prometheus's parse_query; the expected trees follow its translate_ast_test.go."""

from __future__ import annotations

import json
from typing import Any

import pytest

from setpoint.errors import InvalidInput
from setpoint.promql.syntax import syntax_tree

NO_TIME = {"offset": 0, "offsetExpr": None, "timestamp": None, "startOrEnd": None}


def selector(name: str, *matchers: tuple[str, str, str], **more: Any) -> dict[str, Any]:
    said = [{"name": label, "value": value, "type": kind} for label, kind, value in matchers]
    said += [{"name": "__name__", "value": name, "type": "="}] if name else []
    plain = {"type": "vectorSelector", "name": name, "matchers": said, "anchored": False, "smoothed": False}
    return plain | NO_TIME | more


def number(text: str) -> dict[str, Any]:
    return {"type": "numberLiteral", "val": text}


def binary(op: str, lhs: Any, rhs: Any, matching: Any = None, *, is_bool: bool = False) -> dict[str, Any]:
    return {"type": "binaryExpr", "op": op, "lhs": lhs, "rhs": rhs, "matching": matching, "bool": is_bool}


def matching(card: str, **more: Any) -> dict[str, Any]:
    fill = {"lhs": None, "rhs": None}
    return {"card": card, "labels": [], "on": False, "include": [], "fillValues": fill} | more


def aggregation(
    op: str, expr: Any, param: Any = None, *grouping: str, without: bool = False
) -> dict[str, Any]:
    said = {"type": "aggregation", "op": op, "expr": expr, "param": param}
    return said | {"grouping": list(grouping), "without": without}


def call(
    name: str, kinds: list[str], *args: Any, variadic: int = 0, returns: str = "vector"
) -> dict[str, Any]:
    function = {"name": name, "argTypes": kinds, "variadic": variadic, "returnType": returns}
    return {"type": "call", "func": function, "args": list(args)}


X, Y = selector("x"), selector("y")
TREES: list[tuple[str, dict[str, Any]]] = [
    ("1.5e3", number("1500")),
    ("Inf", number("+Inf")),
    ("-2", number("-2")),
    ("'text'", {"type": "stringLiteral", "val": "text"}),
    ("((x))", {"type": "parenExpr", "expr": {"type": "parenExpr", "expr": X}}),
    ("-x", {"type": "unaryExpr", "op": "-", "expr": X}),
    (
        'x{a="b",c!="d",e=~"f.*",g!~"h"}',
        selector("x", ("a", "=", "b"), ("c", "!=", "d"), ("e", "=~", "f.*"), ("g", "!~", "h")),
    ),
    ('{__name__="x"}', selector("", ("__name__", "=", "x"))),
    ("x offset 5m", X | {"offset": 300_000}),
    ("x offset -1h30m @ 12.345", X | {"offset": -5_400_000, "timestamp": 12_345}),
    ("x @ start()", X | {"startOrEnd": "start"}),
    (
        "x[5m] @ end()",
        X | {"type": "matrixSelector", "range": 300_000, "rangeExpr": None, "startOrEnd": "end"},
    ),
    (
        "x[1h:5m] offset 1m",
        {
            "type": "subquery",
            "expr": X,
            "range": 3_600_000,
            "rangeExpr": None,
            "step": 300_000,
            "stepExpr": None,
        }
        | NO_TIME
        | {"offset": 60_000},
    ),
    ("sum(x)", aggregation("sum", X)),
    ("topk by (a, b) (3, x)", aggregation("topk", X, number("3"), "a", "b")),
    ("avg without (a) (x)", aggregation("avg", X, None, "a", without=True)),
    ("x + y", binary("+", X, Y, matching("one-to-one"))),
    ("x and on (a) y", binary("and", X, Y, matching("many-to-many", labels=["a"], on=True))),
    ("x unless y", binary("unless", X, Y, matching("many-to-many"))),
    ("x / ignoring (a) y", binary("/", X, Y, matching("one-to-one", labels=["a"]))),
    (
        "x * on (a) group_left (b) y",
        binary("*", X, Y, matching("many-to-one", labels=["a"], on=True, include=["b"])),
    ),
    ("x * on (a) group_right y", binary("*", X, Y, matching("one-to-many", labels=["a"], on=True))),
    ("x > bool 3", binary(">", X, number("3"), is_bool=True)),
    ("1 + 2", binary("+", number("1"), number("2"))),
    ("time() - x", binary("-", call("time", [], returns="scalar"), X)),
    ("x atan2 y", binary("atan2", X, Y, matching("one-to-one"))),
    (
        "-(x) ^ 2",
        {"type": "unaryExpr", "op": "-", "expr": binary("^", {"type": "parenExpr", "expr": X}, number("2"))},
    ),
    ("round(x, 5)", call("round", ["vector", "scalar"], X, number("5"), variadic=1)),
    ("absent(x)", call("absent", ["vector"], X)),
]


@pytest.mark.parametrize(("query", "tree"), TREES)
def test_trees(query: str, tree: dict[str, Any]) -> None:
    found = syntax_tree(query)
    assert found == tree
    assert json.loads(json.dumps(found)) == tree


@pytest.mark.parametrize("query", ["", "sum(", "x[5m", "rate(x)", "x + on(", '{job=~"("}', "{}", "nosuch(x)"])
def test_what_does_not_parse_has_no_tree(query: str) -> None:
    with pytest.raises(InvalidInput):
        syntax_tree(query)


def test_a_long_query_is_translated_in_no_time() -> None:
    """Each operator looks at its sides once more to see whether they are vectors: few hundred are nothing."""
    deep = "x" + " + 1" * 150
    wide = " or ".join(f"rate(x{place}[5m])" for place in range(150))
    for query in (deep, wide):
        tree = syntax_tree(query)
        depth = 0
        while tree["type"] == "binaryExpr":
            tree, depth = tree["lhs"], depth + 1
        assert depth in (149, 150)
