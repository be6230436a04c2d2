"""Stores in memory for tests that are not about a database: metrics as a `Select` over plain lists with the head's
late-write function, and the ledger's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.errors import Unavailable
from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.store import MINUTE, LedgerStore, Stretch, ledger_id, merged
from setpoint.telemetry.columns import Piece, gather
from setpoint.telemetry.model import Matcher, SampleColumns

__all__ = ["MemoryLedger", "Samples"]


class Samples:
    """Series by labels; `add` may come in any order. `reads` counts selects."""

    def __init__(self) -> None:
        self._series: dict[frozenset[tuple[str, str]], dict[int, float]] = {}
        self._oldest_write_ms: int | None = None
        self.reads = 0

    def add(self, name: str, at_ms: int, value: float, **labels: str) -> None:
        key = frozenset({"__name__": name, **labels}.items())
        self._series.setdefault(key, {})[at_ms] = value
        self._oldest_write_ms = min(at_ms, self._oldest_write_ms or at_ms)

    def forget_before(self, at_ms: int) -> None:
        """Drop older samples, as the database's retention does."""
        for samples in self._series.values():
            for old_ms in [one for one in samples if one < at_ms]:
                del samples[old_ms]

    def take_oldest_write_ms(self) -> int | None:
        oldest, self._oldest_write_ms = self._oldest_write_ms, None
        return oldest

    def oldest_sample_ms(self) -> int | None:
        return min((min(samples) for samples in self._series.values() if samples), default=None)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        self.reads += 1
        found: list[Piece] = []
        for key, samples in self._series.items():
            own = dict(key)
            chosen = sorted(at for at in samples if start_ms < at <= end_ms)
            if chosen and all(_matches(own.get(matcher.name, ""), matcher) for matcher in matchers):
                found.append((own, np.array(chosen), np.array([samples[at] for at in chosen], np.float64)))
        return gather(found)


def _matches(value: str, matcher: Matcher) -> bool:
    if matcher.op in ("=~", "!~"):
        return (re.fullmatch(matcher.value, value) is not None) == (matcher.op == "=~")
    return (value == matcher.value) == (matcher.op == "=")


class MemoryLedger(LedgerStore):
    """The ledger's store: `rows` are good and total by key and minute (NaN: counted without data).

    `writes` counts what was stored, `versions` are the `computed_ms` of it. Nothing answers while it is `broken`.
    """

    def __init__(self) -> None:
        self.rows: dict[str, dict[int, tuple[float, float]]] = {}
        self.writes = 0
        self.versions: list[int] = []
        self.broken = False
        self._keys: dict[int, str] = {}

    def newest(self) -> tuple[int, int]:
        self._answer()
        return max(self.versions, default=0), 0

    def name(self, keys: Mapping[int, str]) -> None:
        self._keys.update(keys)

    def hours(self, stretch: Stretch) -> npt.NDArray[np.void]:
        return self.blocks(stretch).head

    def finished(self, stretch: Stretch) -> HourBlocks:
        return self.blocks(stretch)

    def minutes(self, stretch: Stretch) -> npt.NDArray[np.void]:
        self._answer()
        return np.empty(0, MINUTE)

    def blocks(self, stretch: Stretch) -> HourBlocks:
        self._answer()
        found = []
        for key, rows in self.rows.items():
            number = ledger_id(key)
            if stretch.low <= number <= stretch.high and (not stretch.ids or number in stretch.ids):
                first, end = stretch.first * 60, stretch.end * 60
                found += [
                    (number, minute, *cell, 1) for minute, cell in rows.items() if first <= minute < end
                ]
        minutes = np.sort(np.array(found, MINUTE), order=["ledger", "minute"])
        return merged(HourBlocks(np.empty(0, HOUR), np.empty((0, 60, 2)), np.empty(0, np.bool_)), minutes)

    def write_hours(self, blocks: HourBlocks) -> None:
        self._answer()
        for head, cells in zip(blocks.head, blocks.cells, strict=True):
            rows = self.rows.setdefault(self._keys[int(head["ledger"])], {})
            for minute in range(60):
                if int(head["counted"]) >> minute & 1:
                    total = cells[minute, 1] if int(head["present"]) >> minute & 1 else np.nan
                    rows[int(head["hour"]) * 60 + minute] = (float(cells[minute, 0]), float(total))
        self._note(blocks.head)

    def write_minutes(self, minutes: npt.NDArray[np.void]) -> None:
        self._answer()
        for number, minute, good, total, _ in minutes.tolist():
            self.rows.setdefault(self._keys[number], {})[minute] = (good, total)
        self._note(minutes)

    def tidy(self, finished_hour: int, now_minute: int, longest_minutes: int) -> None:
        """There is nothing to tidy."""

    def _answer(self) -> None:
        if self.broken:
            raise Unavailable("the ledger does not answer")

    def _note(self, written: npt.NDArray[np.void]) -> None:
        if len(written):
            self.writes += 1
            self.versions.append(int(written["computed_ms"][0]))
