"""The labels of some series, copied out of the table under its lock, to be sorted or decoded without it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Labels
from setpoint.telemetry.table.order import rank_pairs, sort_series
from setpoint.telemetry.table.symbols import Ids, Texts

__all__ = ["LabelColumns"]


@dataclass(frozen=True, slots=True)
class LabelColumns:
    """Labels of n series: label j is pair `places[j]`, series i has labels `offsets[i]:offsets[i + 1]`, in the
    order of their names. Pair p is the texts `names[name_places[p]]` and `values[p]`.
    """

    places: Ids
    offsets: npt.NDArray[np.int64]
    name_places: Ids
    names: Texts
    values: Texts

    def order(self) -> npt.NDArray[np.int64]:
        """The order of the series by `columns.label_key`, int64[n]."""
        names = self.names.decode()
        ranks = np.empty(len(names), np.int32)
        ranks[sorted(range(len(names)), key=names.__getitem__)] = np.arange(len(names))
        return sort_series(rank_pairs(ranks[self.name_places], self.values), self.places, self.offsets)

    def decode(self) -> tuple[Labels, ...]:
        """The labels of each series; they share their strings."""
        names = [sys.intern(name) for name in self.names.decode()]
        pairs = list(
            zip(map(names.__getitem__, self.name_places.tolist()), self.values.decode(), strict=True)
        )
        labels = map(pairs.__getitem__, self.places.tolist())
        return tuple([dict(islice(labels, count)) for count in np.diff(self.offsets).tolist()])
