"""What the expression of a rule compares: its conditions, each with the two sides of a comparison; pure.

`why` shows them with their values, `hole` asks whether there is anything to compare. Only comparisons that filter, and
that stand at the top or beneath `and`, `or`, `unless`, are conditions; what is inside a function or an aggregation is
part of a value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from setpoint.alert.from_promql import Binary, Node, value_type, walk

__all__ = ["COMPARISONS", "Condition", "bare", "conditions_of", "has_comparison"]

COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_SETS = frozenset({"and", "or", "unless"})

_SWAPPED = {">": "<", "<": ">", ">=": "<=", "<=": ">="}

Join = Literal["", "and", "or", "unless"]


@dataclass(frozen=True, slots=True)
class Condition:
    """`node`, tied by `join` to the ones before. `comparison` is it as `vector op anything`, None where it compares
    nothing.
    """

    node: Node
    join: Join
    comparison: Binary | None


def conditions_of(node: Node, join: Join = "") -> list[Condition]:
    """The conditions of an expression, in the order in which they are written."""
    if isinstance(node, Binary) and node.op in _SETS:
        operator: Join = "and" if node.op == "and" else "or" if node.op == "or" else "unless"
        return [*conditions_of(node.left, join), *conditions_of(node.right, operator)]
    return [Condition(node, join, _comparison(node))]


def bare(node: Node) -> Node:
    """The expression without what it is compared with: the values that must be there for it to say anything."""
    if isinstance(node, Binary) and node.op in _SETS:
        if node.op == "or":
            return replace(node, left=bare(node.left), right=bare(node.right))
        return bare(node.left)
    comparison = _comparison(node)
    return node if comparison is None else bare(comparison.left)


def has_comparison(node: Node) -> bool:
    """Whether anything in `node` leaves out series by their values."""
    return any(
        isinstance(part, Binary) and part.op in (COMPARISONS | _SETS) and not part.return_bool
        for part in walk(node)
    )


def _comparison(node: Node) -> Binary | None:
    if not isinstance(node, Binary) or node.op not in COMPARISONS or node.return_bool:
        return None
    if value_type(node.left) == "scalar" and value_type(node.right) != "scalar":
        return replace(node, left=node.right, right=node.left, op=_SWAPPED.get(node.op, node.op))
    return node
