"""The ledgers of a scenario: what the database keeps for a server, in memory, so that a scenario can restart it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.store import MINUTE, LedgerStore, Stretch

__all__ = ["MemoryLedgerStore"]


class MemoryLedgerStore(LedgerStore):
    """As `LedgerStore`, without a database."""

    def __init__(self) -> None:
        self._hours: dict[tuple[int, int], tuple[npt.NDArray[np.void], npt.NDArray[np.float64]]] = {}
        self._minutes: dict[tuple[int, int], npt.NDArray[np.void]] = {}

    def newest(self) -> tuple[int, int]:
        """The largest `computed_ms` stored, and the hour after the last finished one."""
        rows = [*(head for head, _ in self._hours.values()), *self._minutes.values()]
        computed_ms = max((int(row["computed_ms"]) for row in rows), default=0)
        return computed_ms, max((hour + 1 for _, hour in self._hours), default=0)

    def hours(self, stretch: Stretch) -> npt.NDArray[np.void]:
        """HOUR[n]: finished hours without their minutes."""
        return self.finished(stretch).head

    def minutes(self, stretch: Stretch) -> npt.NDArray[np.void]:
        """MINUTE[n] by ledger and minute."""
        keys = sorted(
            key for key in self._minutes if _is_in(stretch, key[0]) and _covers(stretch, key[1] // 60)
        )
        return np.array([self._minutes[key] for key in keys], MINUTE)

    def finished(self, stretch: Stretch) -> HourBlocks:
        """Finished hours with their minutes, by ledger and hour."""
        keys = sorted(key for key in self._hours if _is_in(stretch, key[0]) and _covers(stretch, key[1]))
        found = [self._hours[key] for key in keys]
        cells = np.array([cells for _, cells in found], np.float64).reshape(-1, 60, 2)
        return HourBlocks(np.array([head for head, _ in found], HOUR), cells, np.ones(len(found), np.bool_))

    def write_hours(self, blocks: HourBlocks) -> None:
        """Keep finished hours."""
        for head, cells in zip(blocks.head, blocks.cells, strict=True):
            self._hours[int(head["ledger"]), int(head["hour"])] = head.copy(), cells.copy()

    def write_minutes(self, minutes: npt.NDArray[np.void]) -> None:
        """Keep minutes."""
        for row in minutes:
            self._minutes[int(row["ledger"]), int(row["minute"])] = row.copy()

    def name(self, keys: Mapping[int, str]) -> None:
        """Nobody asks for names here."""
        del keys

    def tidy(self, finished_hour: int, now_minute: int, longest_minutes: int) -> None:
        """Minutes of finished hours are part of the hours."""
        del now_minute, longest_minutes
        for key in [key for key in self._minutes if key[1] // 60 < finished_hour]:
            if (key[0], key[1] // 60) in self._hours:
                newer = (
                    self._minutes[key]["computed_ms"] > self._hours[key[0], key[1] // 60][0]["computed_ms"]
                )
                if not newer:
                    del self._minutes[key]


def _is_in(stretch: Stretch, ledger: int) -> bool:
    ids: Sequence[int] = stretch.ids
    return stretch.low <= ledger <= stretch.high and (not ids or ledger in ids)


def _covers(stretch: Stretch, hour: int) -> bool:
    return stretch.first <= hour < stretch.end
