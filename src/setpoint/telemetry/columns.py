"""Samples put together: pieces of series into `SampleColumns`, and the order of series in them.

Head, store and reader all answer through here, so their answers have one order and can be merged.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.held_kernels import put
from setpoint.telemetry.model import Labels, SampleColumns

__all__ = ["LabelKey", "Piece", "gather", "join", "label_key", "runs"]

LabelKey = tuple[tuple[str, str], ...]
"""The pairs of a label set sorted by name: equal for equal sets, ordered as Prometheus orders series."""

Piece = tuple[Labels, npt.NDArray[np.int64], npt.NDArray[np.float64]]
"""Labels, timestamps_ms int64[k] (strictly ascending), values float64[k] of one series."""


def label_key(labels: Labels) -> LabelKey:
    """The sort key of `labels`."""
    return tuple(sorted(labels.items()))


def gather(pieces: Iterable[Piece]) -> SampleColumns:
    """Copy `pieces`, one or more samples each and at most one per series, into columns in the order given."""
    columns = list(zip(*pieces, strict=True))
    if not columns:
        return SampleColumns.empty()
    labels, times, values = columns
    offsets = np.zeros(len(labels) + 1, np.int64)
    np.cumsum([len(part) for part in times], out=offsets[1:])
    return SampleColumns(labels, offsets, np.concatenate(times), np.concatenate(values))


def join(older: SampleColumns, recent: SampleColumns) -> SampleColumns:
    """Both parts as one, series in the order of their labels; of a series every sample of `older` is the earlier."""
    parts = (older, recent)
    if older.labels == recent.labels:
        labels = recent.labels
        ranks = [np.arange(len(labels))] * 2
    else:
        keys = [[label_key(one) for one in part.labels] for part in parts]
        by_key = {
            key: one
            for part, own in zip(parts, keys, strict=True)
            for key, one in zip(own, part.labels, strict=True)
        }
        rank = {key: place for place, key in enumerate(sorted(by_key))}
        labels = tuple(by_key[key] for key in rank)
        ranks = [np.array([rank[key] for key in own], np.int64) for own in keys]
    offsets = np.zeros(len(labels) + 1, np.int64)
    for part, own_ranks in zip(parts, ranks, strict=True):
        offsets[own_ranks + 1] += np.diff(part.offsets)
    np.cumsum(offsets, out=offsets)
    times, values = np.empty(offsets[-1], np.int64), np.empty(offsets[-1], np.float64)
    next_places = offsets[:-1].copy()
    for part, own_ranks in zip(parts, ranks, strict=True):
        put(own_ranks, part.offsets, part.timestamps_ms, part.values, next_places, times, values)
    return SampleColumns(labels, offsets, times, values)


def runs(identities: npt.NDArray[Any]) -> list[tuple[int, int]]:
    """Start and end position of each run of equal values."""
    if not len(identities):
        return []
    changes = (np.flatnonzero(identities[1:] != identities[:-1]) + 1).tolist()
    return list(pairwise([0, *changes, len(identities)]))
