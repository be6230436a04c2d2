"""The tree of a PromQL expression, in types of our own.

`parse` builds it from promql-parser's tree, `exact` rewrites it, `plan` and `evaluate` walk it. It is
separate from the parser's types so that a query can be transformed and compared (nodes are frozen and
hashable), and so that nothing but `parse` depends on that library. Parentheses are gone: the tree says what
binds to what. `place` is where a part begins in the text (see `places`); two parts that differ in nothing else are
equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

__all__ = [
    "TRIMS",
    "Aggregation",
    "At",
    "Binary",
    "Call",
    "ExactIncrease",
    "Grouping",
    "LabelMatcher",
    "Matching",
    "MatrixSelector",
    "Node",
    "NumberLiteral",
    "StringLiteral",
    "Subquery",
    "Unary",
    "ValueType",
    "VectorSelector",
    "children",
    "value_type",
    "walk",
]

ValueType = Literal["scalar", "vector", "matrix", "string"]

At = int | Literal["start", "end"] | None
"""The `@` modifier: Unix milliseconds, the query's start or end, or None when there is none."""


@dataclass(frozen=True, slots=True)
class LabelMatcher:
    """One condition on a label: `op` is `=`, `!=`, `=~` or `!~`; expressions are anchored."""

    name: str
    op: Literal["=", "!=", "=~", "!~"]
    value: str


@dataclass(frozen=True, slots=True)
class NumberLiteral:
    """A number; durations written as numbers are seconds."""

    value: float
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class StringLiteral:
    """A text between quotes."""

    value: str
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class VectorSelector:
    """`name{matchers} offset … @ …`: per step, the newest sample of the last five minutes.

    `matchers` include the metric's name as a matcher on `__name__`; `offset_ms` may be negative.
    """

    matchers: tuple[LabelMatcher, ...]
    offset_ms: int = 0
    at: At = None
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class MatrixSelector:
    """`selector[range]`: per step, the samples of (t - range, t]."""

    selector: VectorSelector
    range_ms: int
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ExactIncrease:
    """What a counter rose by in (t - window, t], without extrapolation; cannot be written, see `exact`."""

    selector: VectorSelector
    window_ms: int


@dataclass(frozen=True, slots=True)
class Subquery:
    """`expr[range:step]`: per step, the values of `expr` at the multiples of `step_ms` in (t - range, t]."""

    expr: Node
    range_ms: int
    step_ms: int | None = None
    offset_ms: int = 0
    at: At = None
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the function `name`."""

    name: str
    args: tuple[Node, ...]
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Grouping:
    """`by (labels)`, or `without (labels)` where `without` is set."""

    labels: tuple[str, ...] = ()
    without: bool = False


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`op by (…) (param, expr)`, such as `sum` or `topk`."""

    op: str
    expr: Node
    param: Node | None = None
    grouping: Grouping = Grouping()
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Matching:
    """How the series of two vectors find each other.

    `on` says whether `labels` are those compared (`on`) or those left out (`ignoring`). `group` names the
    side that may have many series per match, and `include` the labels which it takes from the other side.
    `fill_left` and `fill_right` stand in for a missing partner.
    """

    on: bool = False
    labels: tuple[str, ...] = ()
    group: Literal["left", "right"] | None = None
    include: tuple[str, ...] = ()
    fill_left: float | None = None
    fill_right: float | None = None


TRIMS = ("</", ">/")
"""The operators that keep the observations of a histogram up to a number, and above it."""


@dataclass(frozen=True, slots=True)
class Binary:
    """`left op right`; `op` in lower case, `return_bool` where a comparison answers 0 or 1 instead of
    filtering.
    """

    op: str
    left: Node
    right: Node
    return_bool: bool = False
    matching: Matching = Matching()
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """`-expr`."""

    expr: Node
    place: str = field(default="", compare=False, repr=False)


Node = (
    NumberLiteral
    | StringLiteral
    | VectorSelector
    | MatrixSelector
    | ExactIncrease
    | Subquery
    | Call
    | Aggregation
    | Binary
    | Unary
)

_SCALAR_FUNCTIONS = frozenset({"scalar", "time", "pi", "start", "end", "range", "step", "max_of", "min_of"})


def value_type(node: Node) -> ValueType:  # noqa: PLR0911 - one per kind of node
    """What kind of value `node` has at a step."""
    match node:
        case NumberLiteral():
            return "scalar"
        case StringLiteral():
            return "string"
        case MatrixSelector() | Subquery():
            return "matrix"
        case Call():
            return "scalar" if node.name in _SCALAR_FUNCTIONS else "vector"
        case Unary():
            return value_type(node.expr)
        case Binary():
            both = value_type(node.left) == "scalar" and value_type(node.right) == "scalar"
            return "scalar" if both else "vector"
        case _:
            return "vector"


def children(node: Node) -> tuple[Node, ...]:
    """The direct operands of `node`, in the order in which they are written."""
    match node:
        case MatrixSelector() | ExactIncrease():
            return (node.selector,)
        case Subquery() | Unary():
            return (node.expr,)
        case Call():
            return node.args
        case Aggregation():
            return (node.expr,) if node.param is None else (node.param, node.expr)
        case Binary():
            return (node.left, node.right)
        case _:
            return ()


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)
