"""The ledger on disk: minutes of every objective in the table `ledger`, so that a restart does not count them
again.

`book` writes changed minutes of all objectives as one block every few seconds and reads an objective's
minutes once, when it is added. A minute that is written again replaces itself (the newest `computed_ms`
wins). A minute that was computed and has no data is stored with a total of NaN: it tells "counted, nothing
there" from "never counted".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries

__all__ = ["LedgerRows", "LedgerStore"]


@dataclass(frozen=True, slots=True)
class LedgerRows:
    """Minutes of one objective: `minutes` int64[n] ascending (Unix minutes), `good`, `total` float64[n],
    NaN = no data.
    """

    key: str
    minutes: npt.NDArray[np.int64]
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]


class LedgerStore:
    """Reads and writes the table `ledger`; raises Unavailable when the database does not answer."""

    def __init__(self, database: TelemetryDatabase) -> None:
        self._database = database
        self._queries = load_queries("setpoint.objective")

    def read(self, key: str, first_minute: int) -> LedgerRows:
        """What is stored of an objective (`Objective.ledger_key`) from a minute on."""
        found = self._database.query(
            self._queries["ledger_minutes"], objective=key, first=max(0, first_minute)
        )
        return LedgerRows(
            key,
            found["minute"].astype(np.int64),
            found["good"].astype(np.float64),
            found["total"].astype(np.float64),
        )

    def write(self, rows: Sequence[LedgerRows], computed_ms: int) -> None:
        """Store minutes of several objectives as one block; when it returns, they are stored."""
        counts = [len(one.minutes) for one in rows]
        if not sum(counts):
            return
        self._database.insert(
            "ledger",
            {
                "objective": np.repeat(np.array([one.key for one in rows], dtype=object), counts),
                "minute": np.concatenate([one.minutes for one in rows]).astype(np.uint32),
                "good": np.concatenate([one.good for one in rows]),
                "total": np.concatenate([one.total for one in rows]),
                "computed_ms": np.full(sum(counts), computed_ms, np.int64),
            },
        )
