"""What each adjusted ledger was derived with, so that a change, a restart or a crash leads to the same as if the
adjustments had been there from the start. `adopt` writes it before it touches a ledger and after it is done.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from setpoint.database import StateDatabase, load_queries

__all__ = ["AdjustedLedgers", "Entry", "MemoryLedgers"]

_SQL = load_queries("setpoint.objective.adjustment")


@dataclass(frozen=True, slots=True)
class Entry:
    """What an adjusted ledger is like. kept: it was derived with `items`. dirty: the minutes of `items` are
    unsure, to be derived again. leaving: so are those of the ledger that the objective goes back to.
    """

    state: Literal["kept", "dirty", "leaving"]
    items: frozenset[str]


class MemoryLedgers:
    """Keeps entries for as long as the process lives: for books that keep no ledgers on disk either."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}

    def read(self) -> dict[str, Entry]:
        """All entries by the key of the adjusted ledger. Raises Unavailable."""
        return dict(self.entries)

    def put(self, entries: Mapping[str, Entry], gone: Collection[str] = ()) -> None:
        """Store entries and drop those that are `gone`, all or nothing. Raises Unavailable."""
        self.entries |= entries
        for key in gone:
            self.entries.pop(key, None)


class AdjustedLedgers(MemoryLedgers):
    """Keeps them in the state database."""

    def __init__(self, database: StateDatabase) -> None:
        super().__init__()
        self._database = database

    def read(self) -> dict[str, Entry]:
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["adjusted_ledgers"])
        return {row["ledger"]: Entry(row["state"], frozenset(json.loads(row["items"]))) for row in rows}

    def put(self, entries: Mapping[str, Entry], gone: Collection[str] = ()) -> None:
        with self._database.begin() as transaction:
            for key, one in entries.items():
                items = json.dumps(sorted(one.items))
                transaction.execute(_SQL["put_adjusted_ledger"], ledger=key, state=one.state, items=items)
            for key in gone:
                transaction.execute(_SQL["drop_adjusted_ledger"], ledger=key)
