"""New series taken apart into columns, before the table is locked to add them.

`SeriesTable` prepares a slice of a batch at a time. What costs time of the interpreter happens here: every
label pair is looked up in a dictionary of the slice, and only the distinct ones are encoded; the compiled
loops under the lock see arrays of bytes and numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.telemetry.model import Series
from setpoint.telemetry.table.symbols import Ids, encode

__all__ = ["Family", "Origin", "Prepared", "prepare", "sort_labels"]

_Key = TypeVar("_Key")

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
    `values[j]`; series i has the pairs `labels[bounds[i]:bounds[i + 1]]`, in the order of their names, the
    origin `origins[origin_places[i]]`, and its family likewise.
    """

    fingerprints: npt.NDArray[np.uint64]
    blob: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]
    names: Ids
    values: Ids
    labels: Ids
    bounds: npt.NDArray[np.int64]
    origins: Sequence[Origin]
    origin_places: Ids
    families: Sequence[Family]
    family_places: Ids


def prepare(series: Sequence[Series]) -> Prepared:
    """Columns of `series`."""
    pairs: defaultdict[tuple[str, str], int] = _numbering()
    labels = _numbers(pairs, chain.from_iterable(one.labels.items() for one in series))
    bounds = np.zeros(len(series) + 1, np.int64)
    np.cumsum(np.fromiter((len(one.labels) for one in series), np.int64, len(series)), out=bounds[1:])
    texts: defaultdict[str, int] = _numbering()
    names = _numbers(texts, (name for name, _ in pairs))
    ranks = np.empty(len(texts), np.int32)
    ranks[[texts[name] for name in sorted(texts)]] = np.arange(len(texts))
    values = _numbers(texts, (value for _, value in pairs))
    sort_labels(labels, bounds, ranks[names])
    families: defaultdict[Family, int] = _numbering()
    family_places = _numbers(families, ((one.type, one.unit, one.help) for one in series))
    # The series of a batch mostly share the mapping of their resource.
    mappings: defaultdict[tuple[str, int, str], int] = _numbering()
    keys = [(one.service, id(one.resource) if one.resource else 0, one.scope) for one in series]
    mapping_places = _numbers(mappings, keys)
    origins: defaultdict[Origin, int] = _numbering()
    _, first = np.unique(mapping_places, return_index=True)
    origin_numbers = _numbers(origins, (_origin(series[place]) for place in first.tolist()))
    return Prepared(
        np.fromiter((one.fingerprint for one in series), np.uint64, len(series)),
        *encode(list(texts)),
        names,
        values,
        labels,
        bounds,
        list(origins),
        origin_numbers[mapping_places],
        list(families),
        family_places,
    )


def _origin(series: Series) -> Origin:
    return Origin(series.service, tuple(sorted(series.resource.items())), series.scope)


def _numbering() -> defaultdict[Any, int]:
    """A dictionary that gives each new key the next number."""
    numbering: defaultdict[Any, int] = defaultdict()
    numbering.default_factory = numbering.__len__
    return numbering


def _numbers(numbering: defaultdict[_Key, int], keys: Iterable[_Key]) -> Ids:
    return np.fromiter(map(numbering.__getitem__, keys), np.int32)


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
