"""New series taken apart into columns, before the table is locked to add them.

`SeriesTable` prepares a slice of a batch at a time. What costs time of the interpreter happens here: every
label pair is looked up in a dictionary of the slice, and only the distinct ones are encoded; the compiled
loops under the lock see arrays of bytes and numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.compiled import compiled
from setpoint.telemetry.model import Series
from setpoint.telemetry.table.symbols import Ids, encode

__all__ = ["Family", "Origin", "Prepared", "prepare", "sort_labels"]

Family = tuple[str, str, str]
"""Type, unit and help of a series."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What the series of one sender's resource share; `resource` is sorted by name."""

    service: str
    resource: tuple[tuple[str, str], ...]
    scope: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """n series as columns. `blob` and `offsets` hold the distinct texts; pair j is the texts `names[j]` and
    `values[j]`; series i has the pairs `labels[bounds[i]:bounds[i + 1]]`, in the order of their names.
    """

    fingerprints: npt.NDArray[np.uint64]
    blob: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    names: Ids
    values: Ids
    labels: Ids
    bounds: npt.NDArray[np.int64]
    origins: Sequence[Origin]
    families: Sequence[Family]


def prepare(series: Sequence[Series]) -> Prepared:
    """Columns of `series`."""
    numbers: defaultdict[tuple[str, str], int] = defaultdict()
    numbers.default_factory = numbers.__len__
    pairs = chain.from_iterable(one.labels.items() for one in series)
    labels = np.fromiter(map(numbers.__getitem__, pairs), np.int32)
    bounds = np.zeros(len(series) + 1, np.int64)
    np.cumsum(np.fromiter((len(one.labels) for one in series), np.int64, len(series)), out=bounds[1:])
    texts: defaultdict[str, int] = defaultdict()
    texts.default_factory = texts.__len__
    names = np.fromiter((texts[name] for name, _ in numbers), np.int32, len(numbers))
    ranks = np.empty(len(texts), np.int32)
    ranks[[texts[name] for name in sorted(texts)]] = np.arange(len(texts))
    values = np.fromiter((texts[value] for _, value in numbers), np.int32, len(numbers))
    sort_labels(labels, bounds, ranks[names])
    blob, offsets = encode(list(texts))
    origins = _origins(series)
    return Prepared(
        np.fromiter((one.fingerprint for one in series), np.uint64, len(series)),
        blob,
        offsets,
        names,
        values,
        labels,
        bounds,
        origins,
        [(one.type, one.unit, one.help) for one in series],
    )


def _origins(series: Sequence[Series]) -> list[Origin]:
    """The origin of each series; those of one batch mostly share the mapping of their resource."""
    known: dict[tuple[str, int, str], Origin] = {}
    found = []
    for one in series:
        key = (one.service, id(one.resource) if one.resource else 0, one.scope)
        origin = known.get(key)
        if origin is None:
            origin = known[key] = Origin(one.service, tuple(sorted(one.resource.items())), one.scope)
        found.append(origin)
    return found


@compiled
def sort_labels(labels: Any, bounds: Any, ranks: Any) -> None:
    """Sort the pairs of each series by the ranks of their names, in place; they are few."""
    for i in range(len(bounds) - 1):
        for j in range(bounds[i] + 1, bounds[i + 1]):
            label = labels[j]
            k = j
            while k > bounds[i] and ranks[labels[k - 1]] > ranks[label]:
                labels[k] = labels[k - 1]
                k -= 1
            labels[k] = label
