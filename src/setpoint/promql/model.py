"""What an evaluation yields: a matrix of series × steps, and how rows of the same labels become one.

Every part of an expression has this shape, so an operator is an operation on whole arrays. `present` says
which values exist: NaN is a value in PromQL and cannot stand for "none".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from setpoint.promql.errors import ExecutionError
from setpoint.promql.label_memo import remembered
from setpoint.promql.nodes import ValueType

__all__ = [
    "NAME",
    "FloatGrid",
    "Labels",
    "Matrix",
    "Presence",
    "Times",
    "are_different",
    "compact",
    "merge_rows",
    "without_name",
]

Labels = Mapping[str, str]
Times = npt.NDArray[np.int64]
FloatGrid = npt.NDArray[np.float64]
Presence = npt.NDArray[np.bool_]

NAME = "__name__"


def _no_flags() -> Presence:
    return np.zeros(0, np.bool_)


@dataclass(frozen=True, slots=True)
class Matrix:
    """n series × s steps.

    `labels` n mappings; `times_ms` int64[s] Unix milliseconds, ascending; `values` float64[n, s], meaningful
    only where `present` bool[n, s] is set. `kind` is that of the expression: a scalar is one series without
    labels, a string has no series and stands in `text`, a range vector's times are the timestamps of its
    samples. `drops_name` bool[n] marks, during an evaluation, the series whose name is to go at its end;
    `warnings` and `infos` are there at its end.
    `histograms` object[n, s] has the values that are native histograms (`native.Histogram`), None elsewhere; it
    is None where there are only floats.
    """

    labels: tuple[Labels, ...]
    times_ms: Times
    values: FloatGrid
    present: Presence
    kind: ValueType = "vector"
    text: str = ""
    drops_name: Presence = field(default_factory=_no_flags)
    histograms: npt.NDArray[np.object_] | None = None
    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.drops_name) != len(self.labels):
            object.__setattr__(self, "drops_name", np.zeros(len(self.labels), np.bool_))

    @property
    def occupied(self) -> Presence:
        """At which steps there is any value, bool[s]."""
        return np.asarray(self.present.any(axis=0), np.bool_)

    @property
    def is_histogram(self) -> Presence:
        """Which values are native histograms, bool[n, s]."""
        if self.histograms is None:
            return np.zeros(self.present.shape, np.bool_)
        return self.histograms.astype(np.bool_) & self.present

    def floats(self) -> Matrix:
        """The floats alone."""
        if self.histograms is None:
            return self
        return replace(self, present=self.present & ~self.is_histogram, histograms=None)

    @classmethod
    def empty(cls, times_ms: Times) -> Matrix:
        """No series at `times_ms`."""
        shape = (0, len(times_ms))
        return cls((), times_ms, np.empty(shape), np.empty(shape, np.bool_))

    def rows(self, index: npt.NDArray[np.intp] | Sequence[int]) -> Matrix:
        """The series at `index`, in that order."""
        chosen = np.asarray(index, np.intp)
        if 2 * len(chosen) > len(self.labels):  # mostly the same ones are left out again
            labels = remembered(chosen.tobytes(), lambda: _chosen(self.labels, chosen), self.labels)
        else:
            labels = _chosen(self.labels, chosen)
        return replace(
            self,
            labels=labels,
            values=self.values[chosen],
            present=self.present[chosen],
            drops_name=self.drops_name[chosen],
            histograms=None if self.histograms is None else self.histograms[chosen],
        )


def _chosen(labels: tuple[Labels, ...], index: npt.NDArray[np.intp]) -> tuple[Labels, ...]:
    return tuple([labels[i] for i in index.tolist()])


def compact(matrix: Matrix) -> Matrix:
    """`matrix` without the series that have no value at any step."""
    alive = matrix.present.any(axis=1)
    return matrix if alive.all() else matrix.rows(np.flatnonzero(alive))


def without_name(matrix: Matrix, delayed: bool) -> Matrix:
    """`matrix` after an operation that drops the metric's name: now, or at the end if `delayed`."""
    if delayed:
        return replace(matrix, drops_name=np.ones(len(matrix.labels), np.bool_))
    stripped, is_one_metric = remembered("stripped", lambda: _stripped(matrix.labels), matrix.labels)
    if stripped is matrix.labels:
        return matrix
    result = replace(matrix, labels=stripped)
    # Series differ in their labels; those of one metric do so without its name as well.
    return result if is_one_metric else merge_rows(result)


def _stripped(every: tuple[Labels, ...]) -> tuple[tuple[Labels, ...], bool]:
    """The labels without names, and whether all had the same."""
    names = {labels.get(NAME) for labels in every}
    if names <= {None}:
        return every, True
    return (
        tuple([{name: value for name, value in labels.items() if name != NAME} for labels in every]),
        len(names) == 1,
    )


def merge_rows(matrix: Matrix) -> Matrix:
    """`matrix` with rows of equal labels made one.

    Raises ExecutionError, with Prometheus's text, when two of them have a value at the same step.
    """
    target, count = remembered("equal", lambda: _numbered(matrix.labels), matrix.labels)
    if count == len(target):
        return matrix
    shape = (count, len(matrix.times_ms))
    values, present = np.zeros(shape), np.zeros(shape, np.bool_)
    drops_name = np.zeros(count, np.bool_)
    histograms = None if matrix.histograms is None else np.full(shape, None, np.object_)
    first = np.zeros(count, np.intp)
    for row in range(len(target) - 1, -1, -1):
        to, here = target[row], matrix.present[row]
        if (present[to] & here).any():
            raise ExecutionError(
                "vector cannot contain metrics with the same labelset: "
                f"two series become {dict(matrix.labels[row])}; aggregate them, for example with sum by (...)"
            )
        values[to, here] = matrix.values[row, here]
        if histograms is not None and matrix.histograms is not None:
            histograms[to, here] = matrix.histograms[row, here]
        present[to] |= here
        drops_name[to] |= matrix.drops_name[row]
        first[to] = row
    labels = tuple(matrix.labels[i] for i in first)
    return replace(
        matrix, labels=labels, values=values, present=present, drops_name=drops_name, histograms=histograms
    )


def are_different(labels: tuple[Labels, ...]) -> bool:
    """Whether no two sets of labels are equal."""
    return remembered("equal", lambda: _numbered(labels), labels)[1] == len(labels)


def _numbered(every: tuple[Labels, ...]) -> tuple[npt.NDArray[np.intp], int]:
    """The number of each set of labels, in order of appearance, and how many there are."""
    keys: dict[frozenset[tuple[str, str]], int] = {}
    numbers = [keys.setdefault(frozenset(labels.items()), len(keys)) for labels in every]
    return np.array(numbers, np.intp), len(keys)
