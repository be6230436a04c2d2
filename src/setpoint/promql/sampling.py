"""Aggregations that keep some series as they are: topk, bottomk, limitk and limit_ratio.

`aggregate` calls them with the vector, and with the group of each series. limit_ratio keeps a series by the hash of
its labels, the one that Prometheus takes (XXH64 of the labels as its default build lays them out), so that both
keep the same series.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import group_kernels
from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.hash_kernels import xxh64
from setpoint.promql.model import FloatGrid, Labels, Matrix, Presence, compact
from setpoint.promql.nodes import Aggregation
from setpoint.promql.notes import shown
from setpoint.promql.slices import SLICE_COST, by_steps

__all__ = ["SORTING", "Groups", "in_parts", "label_hashes", "limit_count", "limit_ratio", "members_of", "top"]

Groups = tuple[npt.NDArray[np.int64], int]
"""The group of each series, int64[n], and how many groups there are."""

SORTING = 20.0
"""What a value costs that is sorted among its group."""

_LARGEST_K = float(2**63)
_LONG = 255


def members_of(groups: Groups) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The series of each group as a list per group: positions int64[n], offsets int64[groups + 1]."""
    group, count = groups
    members = np.argsort(group, kind="stable").astype(np.int64)
    counts = np.bincount(group, minlength=count).astype(np.int64)
    return members, np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


def in_parts(context: Context, matrix: Matrix, cost: float) -> Iterator[tuple[slice, FloatGrid, Presence]]:
    """The matrix in slices of steps, each of which takes a kernel a fraction of a second at `cost` a value."""
    for steps in by_steps(context.steps, int(matrix.values.size * cost // SLICE_COST) + 1):
        context.budget.check()
        yield (
            steps,
            np.ascontiguousarray(matrix.values[:, steps]),
            np.ascontiguousarray(matrix.present[:, steps]),
        )


def _counts(node: Aggregation, param: FloatGrid, matrix: Matrix) -> npt.NDArray[np.int64] | None:
    """How many series to keep per step, int64[s]; None when there is no step with any."""
    if not len(param) or param.max() < 1:
        return None
    if np.isnan(param).any():
        raise ExecutionError(f"Parameter value is NaN: {node.op} needs a number of series")
    if (param <= -_LARGEST_K).any() or (param >= _LARGEST_K).any():
        flow = "overflows" if (param >= _LARGEST_K).any() else "underflows"
        raise ExecutionError(
            f"Scalar value {param[np.abs(param).argmax()]} {flow} int64; give {node.op} a small number"
        )
    counts: npt.NDArray[np.int64] = np.clip(param, 0, len(matrix.labels)).astype(np.int64)
    return counts


def top(context: Context, node: Aggregation, param: FloatGrid, matrix: Matrix, groups: Groups) -> Matrix:
    """topk and bottomk; an instant query's answer is in the order of values."""
    k = _counts(node, param, matrix)
    if k is None:
        return Matrix.empty(context.times_ms)
    members = members_of(groups)
    context.budget.spend(matrix.values.size)
    rank = np.empty(matrix.values.shape, np.int64)
    for steps, cells, held in in_parts(context, matrix, SORTING):
        rank[:, steps] = group_kernels.pick(node.op == "topk", k[steps], cells, held, *members)
    result = replace(matrix, present=rank >= 0)
    if context.steps != 1:
        return compact(result)
    order = np.lexsort((rank[:, 0], groups[0]))
    return result.rows(order[rank[order, 0] >= 0])


def limit_count(
    context: Context, node: Aggregation, param: FloatGrid, matrix: Matrix, groups: Groups
) -> Matrix:
    """limitk: of each group the first k series that have a value, in the order of their labels."""
    k = _counts(node, param, matrix)
    if k is None:
        return Matrix.empty(context.times_ms)
    context.budget.spend(matrix.values.size)
    members, offsets = members_of(groups)
    present = np.zeros(matrix.present.shape, np.bool_)
    for first, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        context.budget.check()
        rows = members[first:stop]
        held = matrix.present[rows]
        present[rows] = held & (np.cumsum(held, axis=0) <= k)
    return compact(replace(matrix, present=present))


def limit_ratio(context: Context, node: Aggregation, param: FloatGrid, matrix: Matrix) -> Matrix:
    """limit_ratio: the series whose hash lies in the first `param` of all hashes, or the others where it is
    negative.
    """
    if not len(param) or not param.any():
        return Matrix.empty(context.times_ms)
    if np.isnan(param).any():
        raise ExecutionError("Ratio value is NaN: limit_ratio needs a number between -1 and 1")
    about = node.param or node
    for outside, bound in ((float(param.max()), 1), (float(param.min()), -1)):
        if outside * bound > 1:
            text = f"ratio value should be between -1 and 1, got {shown(outside)}, capping to {bound}"
            context.notes.warn(about, text)
    ratio = np.clip(param, -1, 1)
    share = (label_hashes(context, matrix.labels).astype(np.float64) / float(2**64 - 1))[:, np.newaxis]
    kept = np.where(ratio >= 0, share < ratio, share >= 1 + ratio)
    return compact(replace(matrix, present=matrix.present & kept))


def label_hashes(context: Context, labels: tuple[Labels, ...]) -> npt.NDArray[np.uint64]:
    """The hash that Prometheus gives to each set of labels, uint64[n]."""
    laid_out = [_laid_out(own) for own in context.budget.watch(labels)]
    offsets = np.zeros(len(labels) + 1, np.int64)
    np.cumsum([len(one) for one in laid_out], out=offsets[1:])
    hashes: npt.NDArray[np.uint64] = xxh64(np.frombuffer(b"".join(laid_out), np.uint8), offsets)
    return hashes


def _laid_out(labels: Labels) -> bytes:
    """Names and values, each after its length in bytes, in the order of names (Prometheus's labels.Labels)."""
    parts = []
    for name, value in sorted((name.encode(), labels[name].encode()) for name in labels):
        for text in (name, value):
            size = len(text)
            parts.append(bytes([size]) if size < _LONG else b"\xff" + size.to_bytes(3, "little"))
            parts.append(text)
    return b"".join(parts)
