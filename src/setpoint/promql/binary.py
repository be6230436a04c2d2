"""Operators between scalars and vectors, and how the series of two vectors find each other.

Which series may meet depends on labels only and is decided once; which do meet depends on the step and is
done on whole rows. The rules are those of Prometheus's VectorBinop and the set operators in promql/engine.go.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import group_kernels
from setpoint.promql.budget import SERIES_COST
from setpoint.promql.context import Context, Value
from setpoint.promql.errors import ExecutionError
from setpoint.promql.label_memo import remembered
from setpoint.promql.literals import quoted
from setpoint.promql.model import NAME, FloatGrid, Labels, Matrix, Presence, compact, merge_rows, without_name
from setpoint.promql.native import Cells
from setpoint.promql.native_binary import Side, negated, note_floats, operate, stacked
from setpoint.promql.nodes import TRIMS, Binary, Matching

__all__ = ["binary", "negate"]

_ARITHMETIC: dict[str, Callable[[FloatGrid, FloatGrid], FloatGrid]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "^": np.power,
    "atan2": np.arctan2,
}
_COMPARISON: dict[str, Callable[[FloatGrid, FloatGrid], Presence]] = {
    "==": np.equal,
    "!=": np.not_equal,
    ">": np.greater,
    "<": np.less,
    ">=": np.greater_equal,
    "<=": np.less_equal,
}
_SETS = ("and", "or", "unless")

Rows = npt.NDArray[np.intp]


def negate(context: Context, value: Value) -> Value:
    """Unary minus."""
    if isinstance(value, Matrix):
        result = replace(value, values=-value.values, histograms=negated(value))
        return without_name(result, context.options.delayed_name_removal)
    return -value


def binary(context: Context, node: Binary) -> Value:
    """The value of a binary operation."""
    if node.op in TRIMS:
        context = context.reading("whole")
    left, right = context.compute(node.left, context), context.compute(node.right, context)
    if isinstance(left, Matrix) and isinstance(right, Matrix):
        left, right = compact(left), compact(right)
        if node.op in _SETS:
            return _set_operation(context, node, left, right)
        return _Join(context, node, left, right).result()
    if isinstance(left, Matrix) and not isinstance(right, Matrix):
        scalar = np.broadcast_to(right, left.values.shape)
        return _with_scalar(context, node, left, (left.values, left.histograms), (scalar, None))
    if isinstance(right, Matrix) and not isinstance(left, Matrix):
        scalar = np.broadcast_to(left, right.values.shape)
        return _with_scalar(context, node, right, (scalar, None), (right.values, right.histograms))
    assert not isinstance(left, Matrix) and not isinstance(right, Matrix)
    if node.op in _COMPARISON:
        return _COMPARISON[node.op](left, right).astype(np.float64)
    return _ARITHMETIC[node.op](left, right)


def _with_scalar(context: Context, node: Binary, vector: Matrix, left: Side, right: Side) -> Matrix:
    values, keep, histograms = _values(context, node, left, right, vector.present)
    result = replace(vector, values=values, present=vector.present & keep, histograms=histograms)
    if node.op in _ARITHMETIC or node.return_bool:
        return without_name(result, context.options.delayed_name_removal)
    # A filter keeps the vector's values, on whichever side it stands.
    return replace(result, values=vector.values)


def _values(
    context: Context, node: Binary, left: Side, right: Side, met: Presence
) -> tuple[FloatGrid, Presence, Cells | None]:
    """Values where both sides `met`, which of them stay, and those that are native histograms."""
    if node.op in _ARITHMETIC:
        values, keep = _ARITHMETIC[node.op](left[0], right[0]), np.ones(met.shape, np.bool_)
    elif node.op in TRIMS:
        values, keep = left[0], np.zeros(met.shape, np.bool_)
        note_floats(context, node, left, right, met)
    else:
        keep = _COMPARISON[node.op](left[0], right[0])
        values = left[0]
        if node.return_bool:
            values, keep = keep.astype(np.float64), np.ones(met.shape, np.bool_)
    if left[1] is None and right[1] is None:
        return values, keep, None
    return operate(context, node, left, right, met, values, keep)


def _signature(labels: Labels, matching: Matching) -> tuple[tuple[str, str], ...]:
    """What must be equal for two series to match; an absent label is an empty one."""
    if matching.on:
        return tuple((name, labels.get(name, "")) for name in sorted(set(matching.labels)))
    left_out = {*matching.labels, NAME}
    return tuple(sorted((name, value) for name, value in labels.items() if name not in left_out))


def _key_of(matching: Matching) -> Callable[[Labels], Hashable]:
    """What is equal for two series exactly where their signatures are; quicker to make."""
    if matching.on:
        names = sorted(set(matching.labels))
        return lambda labels: tuple([labels.get(name, "") for name in names])
    left_out = {*matching.labels, NAME}
    return lambda labels: frozenset([pair for pair in labels.items() if pair[0] not in left_out])


def _signatures(context: Context, left: Matrix, right: Matrix, matching: Matching) -> tuple[Rows, Rows, int]:
    """The number of each series' signature, for both sides, and how many there are."""

    def made() -> tuple[Rows, Rows, int]:
        known: dict[Hashable, int] = {}
        key_of = _key_of(matching)
        numbered = [
            np.array(
                [known.setdefault(key_of(own), len(known)) for own in context.budget.watch(side.labels)],
                np.intp,
            )
            for side in (left, right)
        ]
        return numbered[0], numbered[1], len(known)

    return remembered(("signatures", matching), made, left.labels, right.labels)


def _counts(context: Context, matrix: Matrix, signatures: Rows, count: int) -> npt.NDArray[np.int64]:
    """How many series of each signature have a value at each step, int64[count, s]."""
    context.budget.spend(count * context.steps)
    counts: npt.NDArray[np.int64] = group_kernels.count_present(matrix.present, signatures, count)
    return counts


def _set_operation(context: Context, node: Binary, left: Matrix, right: Matrix) -> Matrix:
    left_of, right_of, count = _signatures(context, left, right, node.matching)
    if node.op == "or":
        context.budget.spend(left.values.size + right.values.size)
        taken = _counts(context, left, left_of, count) > 0
        both = Matrix(
            (*left.labels, *right.labels),
            left.times_ms,
            np.concatenate([left.values, right.values]),
            np.concatenate([left.present, right.present & ~taken[right_of]]),
            drops_name=np.concatenate([left.drops_name, right.drops_name]),
            histograms=stacked((left.values, left.histograms), (right.values, right.histograms)),
        )
        return merge_rows(compact(both))
    partner = (_counts(context, right, right_of, count) > 0)[left_of]
    return compact(replace(left, present=left.present & (partner if node.op == "and" else ~partner)))


@dataclass(frozen=True, slots=True)
class _Join:
    """One arithmetic or comparison operation between two vectors."""

    context: Context
    node: Binary
    left: Matrix
    right: Matrix

    def result(self) -> Matrix:
        """Match, compute, label, and make rows of the same labels one."""
        matching = self.node.matching
        # The "one" side is the right one, unless group_right says otherwise.
        many, one = (self.right, self.left) if matching.group == "right" else (self.left, self.right)
        # Prometheus exchanges the sides of group_right before it fills them: fill_left fills its right side.
        fill_many, fill_one = matching.fill_left, matching.fill_right
        many_of, one_of, count = _signatures(self.context, many, one, matching)
        one_counts = _counts(self.context, one, one_of, count)
        many_counts = _counts(self.context, many, many_of, count)
        # At a step where a side is empty nothing is matched, so nothing can be ambiguous.
        fills = fill_many is not None or fill_one is not None
        active = (many.occupied | one.occupied) if fills else (many.occupied & one.occupied)
        self._refuse_ambiguous_one_side(one, one_of, one_counts, active)
        parts = [self._matched(many, one, many_of, one_of, count)]
        if fill_one is not None:
            lonely = many.present & (one_counts == 0)[many_of]
            filler = np.full(many.values.shape, fill_one)
            parts.append(self._filled(many, lonely, (many.values, many.histograms), (filler, None)))
        if fill_many is not None:
            lonely = one.present & (many_counts == 0)[one_of]
            filler = np.full(one.values.shape, fill_many)
            sides: tuple[Side, Side] = (filler, None), (one.values, one.histograms)
            parts.append(self._filled(one, lonely, *sides, partner_labels=True))
        return self._combine(parts)

    def _refuse_ambiguous_one_side(
        self, one: Matrix, one_of: Rows, counts: npt.NDArray[np.int64], active: Presence
    ) -> None:
        ambiguous = np.argwhere((counts > 1) & active)
        if not len(ambiguous):
            return
        signature, step = ambiguous[0]
        rows = [i for i in np.flatnonzero(one_of == signature) if one.present[i, step]][:2]
        side = "left" if self.node.matching.group == "right" else "right"
        group = dict(_signature(one.labels[rows[0]], self.node.matching))
        raise ExecutionError(
            f"found duplicate series for the match group {_show(group)} "
            f"on the {side} hand-side of the operation: "
            f"[{', '.join(sorted(_show(one.labels[i]) for i in rows))}]"
            ";many-to-many matching not allowed: matching labels must be unique on one side"
        )

    def _matched(self, many: Matrix, one: Matrix, many_of: Rows, one_of: Rows, count: int) -> _Part:
        sizes = np.bincount(one_of, minlength=count)
        # Before the pairs are made: series that come and go can be many on both sides of a match.
        self.context.budget.spend(int(sizes[many_of].sum()) * (self.context.steps + SERIES_COST))
        many_rows, one_rows, labels = remembered(
            ("pairs", self.node.matching, self._dropped),
            lambda: self._pairs(many, one, many_of, one_of, count),
            many.labels,
            one.labels,
        )
        if not labels:
            nothing = Matrix.empty(self.context.times_ms)
            return _Part((), many_of[:0], nothing.values, nothing.present, None, nothing.present)
        present = many.present[many_rows] & one.present[one_rows]
        values = self._values(_side(many, many_rows), _side(one, one_rows), present)
        return _Part(labels, many_of[many_rows], *values, present)

    def _pairs(
        self, many: Matrix, one: Matrix, many_of: Rows, one_of: Rows, count: int
    ) -> tuple[Rows, Rows, tuple[Labels, ...]]:
        """The rows of both sides that may meet, and the labels of each pair."""
        partners: list[list[int]] = [[] for _ in range(count)]
        for i, signature in enumerate(one_of.tolist()):
            partners[signature].append(i)
        pairs = [(i, k) for i, signature in enumerate(many_of.tolist()) for k in partners[signature]]
        rows = np.array(pairs, np.intp).reshape(-1, 2)
        labels = tuple(
            [self._labels(many.labels[i], one.labels[k]) for i, k in self.context.budget.watch(pairs)]
        )
        return np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1]), labels

    def _filled(
        self, side: Matrix, lonely: Presence, many: Side, one: Side, partner_labels: bool = False
    ) -> _Part:
        """The rows of `side` where they have no partner, computed with the fill value in its place."""
        matching = self.node.matching
        self.context.budget.spend(len(side.labels) * (2 * self.context.steps + SERIES_COST))
        labels = []
        for own in self.context.budget.watch(side.labels):
            group = {name: value for name, value in _signature(own, matching) if value}
            labels.append(self._labels(group, own) if partner_labels else self._labels(own, group))
        signatures = np.arange(len(labels))
        return _Part(tuple(labels), signatures, *self._values(many, one, lonely), lonely)

    def _values(self, many: Side, one: Side, met: Presence) -> tuple[FloatGrid, Presence, Cells | None]:
        """`_values`, with the sides in the order in which they are written."""
        left, right = (one, many) if self.node.matching.group == "right" else (many, one)
        return _values(self.context, self.node, left, right, met)

    @property
    def _dropped(self) -> bool:
        """Whether the metric's name goes."""
        drop_now = self.node.return_bool and not self.context.options.delayed_name_removal
        return drop_now or self.node.op in _ARITHMETIC

    def _labels(self, many: Labels, one: Labels) -> Labels:
        matching = self.node.matching
        dropped = {NAME} if self._dropped else set()
        if matching.group is None and matching.on:
            return {name: many[name] for name in matching.labels if name in many and name not in dropped}
        if matching.group is None:
            dropped.update(matching.labels)
        result = {name: value for name, value in many.items() if name not in dropped}
        for name in matching.include:
            if one.get(name):
                result[name] = one[name]
            else:
                result.pop(name, None)
        return result

    def _combine(self, parts: list[_Part]) -> Matrix:
        self._refuse_multiple_matches(parts[0])
        present = np.concatenate([part.matched & part.keep for part in parts])
        rows = sum(len(part.labels) for part in parts)
        labels = parts[0].labels if len(parts) == 1 else tuple(own for part in parts for own in part.labels)
        result = compact(
            Matrix(
                labels,
                self.context.times_ms,
                np.concatenate([part.values for part in parts]),
                present,
                drops_name=np.full(rows, self.node.return_bool),
                histograms=stacked(*((part.values, part.histograms) for part in parts)),
            )
        )
        if len(parts) == 1 and self.node.matching.group is None and _is_unique(parts[0].signatures):
            return result  # one series per signature, and the labels tell signatures apart
        return merge_rows(result)

    def _refuse_multiple_matches(self, part: _Part) -> None:
        """Two results of one match group at a step: an error, also where a filter would drop one of them."""
        grouped = self.node.matching.group is not None
        if _is_unique(part.signatures):
            return
        keys: dict[tuple[int, frozenset[tuple[str, str]]], int] = {}
        target = np.array(
            [
                keys.setdefault((int(signature), frozenset(own.items() if grouped else ())), len(keys))
                for signature, own in zip(part.signatures, part.labels, strict=True)
            ],
            np.intp,
        )
        if len(keys) == len(target):
            return
        if (group_kernels.count_present(part.matched, target, len(keys)) > 1).any():
            rule = "grouping labels must ensure unique matches"
            if not grouped:
                rule = "many-to-one matching must be explicit (group_left/group_right)"
            raise ExecutionError(f"multiple matches for labels: {rule}")


@dataclass(frozen=True, slots=True)
class _Part:
    """Rows of a result: `matched` where both sides had a value, `keep` where a filter lets it pass."""

    labels: tuple[Labels, ...]
    signatures: Rows
    values: FloatGrid
    keep: Presence
    histograms: Cells | None
    matched: Presence


def _is_unique(numbers: Rows) -> bool:
    return len(np.unique(numbers)) == len(numbers)


def _side(matrix: Matrix, rows: Rows) -> Side:
    """The values of some series."""
    return matrix.values[rows], None if matrix.histograms is None else matrix.histograms[rows]


def _show(labels: Labels) -> str:
    return f"{{{', '.join(f'{name}={quoted(labels[name])}' for name in sorted(labels))}}}"
