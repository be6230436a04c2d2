# ruff: noqa: PLR0917 - kernels take flat arrays
"""Series in the order of their labels, as `columns.label_key` orders them, without a Python object each.

Answers to matchers are sorted here. First the distinct label pairs get ranks: names by Python, the values of
a name by their bytes, eight at a time. Then series are sorted by the ranks of their labels, one label after
another among those that are equal so far. Both sort by merging, because values come from senders: nobody can
choose some that make it slow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.telemetry.table.symbols import Texts

__all__ = ["rank_pairs", "sort_series"]

_RUN = 12
"""Ranges up to this length are sorted by insertion."""


def rank_pairs(name_ranks: npt.NDArray[np.int32], values: Texts) -> npt.NDArray[np.int32]:
    """The rank of each of n distinct pairs, by the rank of its name and the bytes of its value, int32[n]."""
    order = _sort_texts(name_ranks, values.data, values.starts, values.lengths)
    ranks = np.empty(len(order), np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return ranks


def sort_series(
    ranks: npt.NDArray[np.int32], places: npt.NDArray[np.int32], offsets: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The order of n series, int64[n]: label j has rank `ranks[places[j]]`, series i owns labels
    `offsets[i]:offsets[i + 1]`, sorted by name.
    """
    order: npt.NDArray[np.int64] = _sort_rows(ranks, places, offsets)
    return order


@compiled
def _merge_sort(keys: Any, items: Any, low: Any, high: Any, spare_keys: Any, spare_items: Any) -> None:
    """Sort `items[low:high]` by their `keys`, stably."""
    for begin in range(low, high, _RUN):
        for i in range(begin + 1, min(begin + _RUN, high)):
            key, item = keys[i], items[i]
            k = i
            while k > begin and keys[k - 1] > key:
                keys[k], items[k] = keys[k - 1], items[k - 1]
                k -= 1
            keys[k], items[k] = key, item
    width = _RUN
    while width < high - low:
        for begin in range(low, high - width, 2 * width):
            middle, end = begin + width, min(begin + 2 * width, high)
            if keys[middle - 1] <= keys[middle]:
                continue
            spare_keys[begin:middle] = keys[begin:middle]
            spare_items[begin:middle] = items[begin:middle]
            left, right, out = begin, middle, begin
            while left < middle:
                if right < end and keys[right] < spare_keys[left]:
                    keys[out], items[out] = keys[right], items[right]
                    right += 1
                else:
                    keys[out], items[out] = spare_keys[left], spare_items[left]
                    left += 1
                out += 1
        width *= 2


@compiled
def _eight(data: Any, start: Any, length: Any, depth: Any) -> Any:
    """Bytes `depth` to `depth + 8` of a string as a big-endian number, zeros after its end."""
    word = np.uint64(0)
    for k in range(8):
        word <<= np.uint64(8)
        if depth + k < length:
            word |= np.uint64(data[start + depth + k])
    return word


@compiled
def _sort_texts(name_ranks: Any, data: Any, starts: Any, lengths: Any) -> Any:
    """The order of pairs by (name rank, bytes of the value). Depth -1 is the name, depth d the bytes from d.

    Bytes after the end count as zeros, so strings that never differ do so in the zeros at their end: the
    shorter one is first.
    """
    count = len(starts)
    order = np.arange(count)
    keys, spare_keys = np.empty(count, np.uint64), np.empty(count, np.uint64)
    spare = np.empty(count, np.int64)
    stack = np.empty((count // 2 + 2, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, count, -1
    top = 1
    while top:
        top -= 1
        low, high, depth = stack[top, 0], stack[top, 1], stack[top, 2]
        deeper = False
        for i in range(low, high):
            item = order[i]
            if depth < 0:
                keys[i] = np.uint64(name_ranks[item])
            else:
                keys[i] = _eight(data, starts[item], lengths[item], depth)
            deeper |= lengths[item] > depth + 8
        _merge_sort(keys, order, low, high, spare_keys, spare)
        begin = low
        for i in range(low + 1, high + 1):
            if i < high and keys[i] == keys[begin]:
                continue
            if i - begin > 1 and (depth < 0 or deeper):
                stack[top, 0], stack[top, 1] = begin, i
                stack[top, 2] = depth + 8 if depth >= 0 else 0
                top += 1
            elif i - begin > 1:
                for k in range(begin, i):
                    keys[k] = np.uint64(lengths[order[k]])
                _merge_sort(keys, order, begin, i, spare_keys, spare)
            begin = i
    return order


@compiled
def _sort_rows(ranks: Any, places: Any, offsets: Any) -> Any:
    count = len(offsets) - 1
    order = np.arange(count)
    keys, spare_keys = np.empty(count, np.int64), np.empty(count, np.int64)
    spare = np.empty(count, np.int64)
    stack = np.empty((count // 2 + 2, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, count, 0
    top = 1 if count > 1 else 0
    while top:
        top -= 1
        low, high, depth = stack[top, 0], stack[top, 1], stack[top, 2]
        more = False
        for i in range(low, high):
            at = offsets[order[i]] + depth
            if at < offsets[order[i] + 1]:
                keys[i] = ranks[places[at]]
                more = True
            else:
                keys[i] = -1
        if not more:
            continue
        _merge_sort(keys, order, low, high, spare_keys, spare)
        begin = low
        for i in range(low + 1, high + 1):
            if i < high and keys[i] == keys[begin]:
                continue
            if i - begin > 1 and keys[begin] >= 0:
                stack[top, 0], stack[top, 1], stack[top, 2] = begin, i, depth + 1
                top += 1
            begin = i
    return order
