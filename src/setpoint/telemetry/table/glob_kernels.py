# ruff: noqa: PLR0917 - kernels take flat arrays
"""The compiled test of many values against the simple forms that most regular expressions have (`Glob`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.compiled import compiled

__all__ = ["match_globs"]


@compiled
def _is_at(text: Any, first: Any, length: Any, data: Any, at: Any) -> Any:
    for k in range(length):  # noqa: SIM110 — all() is slow to compile
        if text[first + k] != data[at + k]:
            return False
    return True


@compiled
def _accepts(
    texts: Any, offsets: Any, gaps: Any, first: Any, last: Any, data: Any, start: Any, length: Any
) -> Any:
    """Whether a value has the form of texts `first` to `last`; `gaps[i]` is the least room after text i.

    The leftmost place for each text in the middle leaves most room for the rest. Gaps count bytes: at least
    one byte is at least one character, because texts begin where characters do.
    """
    head = offsets[first + 1] - offsets[first]
    tail = offsets[last + 1] - offsets[last]
    if head + tail > length or not _is_at(texts, offsets[first], head, data, start):
        return False
    at, end = start + head, start + length - tail
    if not _is_at(texts, offsets[last], tail, data, end):
        return False
    for middle in range(first + 1, last):
        size = offsets[middle + 1] - offsets[middle]
        at += gaps[middle - 1]
        while at + size <= end and not _is_at(texts, offsets[middle], size, data, at):
            at += 1
        at += size
        if at > end:
            return False
    return end - at >= gaps[last - 1]


@compiled
def match_globs(
    texts: Any, offsets: Any, gaps: Any, bounds: Any, data: Any, starts: Any, lengths: Any
) -> Any:
    """Whether each value has the form of a glob, bool[n].

    Glob g has two or more texts: `bounds[g]` to `bounds[g + 1]` of those at `offsets` in `texts`; `gaps[i]` is
    the least number of bytes between text i and the next one.
    """
    found = np.zeros(len(starts), np.bool_)
    for i in range(len(starts)):
        for g in range(len(bounds) - 1):
            if _accepts(texts, offsets, gaps, bounds[g], bounds[g + 1] - 1, data, starts[i], lengths[i]):
                found[i] = True
                break
    return found
