"""The ledgers on disk, so that a restart does not count them again: hours for years, with their minutes for as
long as a window may need them.

`Ledgers` writes to it and reads from it. An hour that is finished is one row of `ledger_hours`: its sums, and its
minutes packed (`ledger.codec`), so that what is known of an hour changes as a whole. Minutes of hours that are not
finished are rows of `ledger_minutes`, and become part of an hour's row later (`fold`). Of rows that are written again
the newest `computed_ms` counts; reading puts minutes that are newer than their hour on top of it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.database import TelemetryDatabase, load_queries
from setpoint.objective.ledger.codec import HOUR, HourBlocks, decode_rows, encode_rows

__all__ = ["MINUTE", "LedgerRows", "LedgerStore", "Stretch", "ledger_id", "lookup", "merged", "minutes_of"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]

MINUTE = np.dtype(
    [("ledger", "<u8"), ("minute", "<u4"), ("good", "<f8"), ("total", "<f8"), ("computed_ms", "<i8")]
)
"""A row of `ledger_minutes`, as it lies in RowBinary; a total of NaN is a minute without data."""

_DAY_HOURS = 24
_KEPT_DAYS = 100
_ROWS_AT_ONCE = 25_000
_LATEST = 2**32 - 1


@dataclass(frozen=True, slots=True)
class LedgerRows:
    """Minutes of one objective: `minutes` int64[n] ascending (Unix minutes), `good`, `total` float64[n],
    NaN = no data.
    """

    key: str
    minutes: Ints
    good: npt.NDArray[np.float64]
    total: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Stretch:
    """What to read: ledgers with numbers from `low` to `high` (of those `ids`, where some are given), hours from
    `first` to before `end`.
    """

    low: int
    high: int
    first: int
    end: int
    ids: Sequence[int] = ()

    @property
    def hours(self) -> dict[str, Any]:
        """As parameters of a query about hours."""
        return self._with(1)

    @property
    def minutes(self) -> dict[str, Any]:
        """As parameters of a query about minutes."""
        return self._with(60)

    def _with(self, each: int) -> dict[str, Any]:
        first, end = (min(max(0, hour) * each, _LATEST) for hour in (self.first, self.end))
        return {"low": self.low, "high": self.high, "first": first, "end": end, "ids": list(self.ids)}


def ledger_id(key: str) -> int:
    """The number that stands for a key in the tables."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


class LedgerStore:
    """Reads and writes the ledger's tables; raises Unavailable when the database does not answer."""

    def __init__(self, database: TelemetryDatabase) -> None:
        self._database = database
        self._queries = load_queries("setpoint.objective")
        self._writing = threading.Lock()
        self._named: set[int] = set()

    def newest(self) -> tuple[int, int]:
        """The largest `computed_ms` stored, and the hour after the last finished one; zeros when nothing is stored."""
        found = self._database.query(self._queries["ledger_newest"])
        computed_ms, hour = int(found["computed_ms"][0]), int(found["hour"][0])
        return computed_ms, hour + 1 if hour else 0

    def hours(self, stretch: Stretch) -> npt.NDArray[np.void]:
        """HOUR[n]: finished hours without their minutes, in no order; the newest of equal ones counts."""
        return np.frombuffer(self._database.query_rows(self._queries["ledger_hours"], **stretch.hours), HOUR)

    def minutes(self, stretch: Stretch) -> npt.NDArray[np.void]:
        """MINUTE[n]: the newest of each minute of hours that may not be finished, by ledger and minute."""
        data = self._database.query_rows(self._queries["ledger_minutes"], **stretch.minutes)
        found = np.frombuffer(data, MINUTE)
        order = np.lexsort((found["computed_ms"], found["minute"], found["ledger"]))
        found = found[order]
        same = (found["minute"][1:] == found["minute"][:-1]) & (found["ledger"][1:] == found["ledger"][:-1])
        newest: npt.NDArray[np.void] = found[np.append(~same, True)[: len(found)]]
        return newest

    def finished(self, stretch: Stretch) -> HourBlocks:
        """The newest of each finished hour with its minutes, by ledger and hour."""
        found = decode_rows(self._database.query_rows(self._queries["ledger_blocks"], **stretch.hours))
        head = found.head
        order = np.lexsort((head["computed_ms"], head["hour"], head["ledger"]))
        head = head[order]
        same = (head["hour"][1:] == head["hour"][:-1]) & (head["ledger"][1:] == head["ledger"][:-1])
        return found.take(order[np.append(~same, True)[: len(order)]])

    def blocks(self, stretch: Stretch) -> HourBlocks:
        """Every hour of which something is known, with its minutes, by ledger and hour: finished or not."""
        return merged(self.finished(stretch), self.minutes(stretch))

    def write_hours(self, blocks: HourBlocks) -> None:
        """Store finished hours; when it returns, they are stored."""
        for start in range(0, len(blocks.head), _ROWS_AT_ONCE):
            part = blocks.take(np.arange(start, min(start + _ROWS_AT_ONCE, len(blocks.head))))
            names = [*(HOUR.names or ()), "minutes"]
            self._database.insert_rows("ledger_hours", names, encode_rows(part))

    def write_minutes(self, minutes: npt.NDArray[np.void]) -> None:
        """Store MINUTE[n] of hours that are not finished."""
        if len(minutes):
            with self._writing:
                rows = np.ascontiguousarray(minutes).view(np.uint8)
                self._database.insert_rows("ledger_minutes", list(MINUTE.names or ()), rows)

    def name(self, keys: Mapping[int, str]) -> None:
        """See that the keys of these ledgers are stored, by number."""
        fresh = [one for one in keys if one not in self._named]
        if not fresh:
            return
        known = set(self._database.query(self._queries["ledger_known"], ids=fresh)["id"].tolist())
        missing = [one for one in fresh if one not in known]
        if missing:
            names = [keys[one] for one in missing]
            self._database.insert("ledger_keys", {"id": np.array(missing, np.uint64), "key": names})
        self._named.update(fresh)

    def fold(self, before_hour: int) -> int:
        """Make hours of the minutes of days that ended before an hour, and drop those minutes; returns how many days.

        It takes what no process finished: of ledgers that nobody keeps any more, and of older versions of Setpoint.
        """
        days = [day for day in self._minute_days() if (day + 1) * _DAY_HOURS <= before_hour]
        for day in days:
            with self._writing:
                first, end = day * _DAY_HOURS, (day + 1) * _DAY_HOURS
                for low, high in self._groups(first, end):
                    stretch = Stretch(low, high, first, end)
                    finished, minutes = self.finished(stretch), self.minutes(stretch)
                    together = merged(finished, minutes)
                    old = lookup(finished.head, together.head["ledger"], together.head["hour"])
                    known = finished.head["computed_ms"][old] if len(finished.head) else np.zeros(1, np.int64)
                    is_new = (old < 0) | (known != together.head["computed_ms"])
                    self.write_hours(together.take(np.flatnonzero(is_new)))
                self._database.command(f"ALTER TABLE ledger_minutes DROP PARTITION {day}")
        return len(days)

    def drop_minutes(self, before_month: str) -> Sequence[str]:
        """Drop the minutes of finished hours of the months (YYYYMM) before one; the hours stay. Returns the months."""
        found = self._database.query(self._queries["ledger_months_with_minutes"])["partition"].tolist()
        months = [str(month) for month in found if str(month) < before_month]
        for month in months:
            self._database.command(f"ALTER TABLE ledger_hours CLEAR COLUMN minutes IN PARTITION {int(month)}")
        return months

    def tidy(self, finished_hour: int, now_minute: int, longest_minutes: int) -> None:
        """Fold what is finished, and drop minutes that no window of up to `longest_minutes` needs any more, nor a
        burn-down over it; at least a hundred days stay.
        """
        self.fold(finished_hour)
        kept = max(_KEPT_DAYS * 1440, 2 * longest_minutes + 10_080)
        if now_minute > kept:
            self.drop_minutes(datetime.fromtimestamp((now_minute - kept) * 60, UTC).strftime("%Y%m"))

    def read(self, key: str, first_minute: int) -> LedgerRows:
        """The minutes that are stored of one objective (`Objective.ledger_key`) from a minute on."""
        number, first = ledger_id(key), max(0, first_minute)
        found = self.blocks(Stretch(number, number, first // 60, _LATEST // 60))
        bits = (found.head["counted"][:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
        data = (found.head["present"][:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
        minutes = found.head["hour"].astype(np.int64)[:, None] * 60 + np.arange(60)
        chosen = (bits > 0) & (minutes >= first) & found.is_whole[:, None]
        good, total = found.cells[:, :, 0], np.where(data > 0, found.cells[:, :, 1], np.nan)
        return LedgerRows(key, minutes[chosen], good[chosen], total[chosen])

    def _minute_days(self) -> list[int]:
        return [int(day) for day in self._database.query(self._queries["ledger_minute_days"])["day"].tolist()]

    def _groups(self, first_hour: int, end_hour: int) -> Iterator[tuple[int, int]]:
        """Ranges of numbers that hold a thousand ledgers with minutes each."""
        span = {"first": first_hour * 60, "end": end_hour * 60}
        found = self._database.query(self._queries["ledger_minute_keys"], **span)["ledger"]
        for start in range(0, len(found), 1000):
            part = found[start : start + 1000]
            yield int(part[0]), int(part[-1])


def merged(finished: HourBlocks, minutes: npt.NDArray[np.void]) -> HourBlocks:
    """Hours, and minutes on top of them where they are newer; both as `LedgerStore` gives them, sorted."""
    if not len(minutes):
        return finished
    hours = (minutes["minute"] // 60).astype(np.uint32)
    at = lookup(finished.head, minutes["ledger"], hours)
    known = np.zeros(len(minutes), np.int64)
    # What is left of an hour whose minutes were dropped cannot be changed any more.
    newest = np.where(finished.is_whole, finished.head["computed_ms"], np.iinfo(np.int64).max)
    known[at >= 0] = newest[at[at >= 0]]
    is_newer = minutes["computed_ms"] > known
    minutes, hours = minutes[is_newer], hours[is_newer]
    if not len(minutes):
        return finished
    starts = np.flatnonzero(
        np.append(True, (hours[1:] != hours[:-1]) | (minutes["ledger"][1:] != minutes["ledger"][:-1]))
    )
    of_group = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(minutes))))
    head, cells = np.zeros(len(starts), HOUR), np.zeros((len(starts), 60, 2))
    head["ledger"], head["hour"] = minutes["ledger"][starts], hours[starts]
    old = lookup(finished.head, head["ledger"], head["hour"])
    there = np.flatnonzero(old >= 0)
    head[there], cells[there] = finished.head[old[there]], finished.cells[old[there]]
    place = (minutes["minute"] % 60).astype(np.int64)
    has_data = ~np.isnan(minutes["total"])
    cells[of_group, place, 0] = np.where(has_data, minutes["good"], 0.0)
    cells[of_group, place, 1] = np.where(has_data, minutes["total"], 0.0)
    bit = np.uint64(1) << place.astype(np.uint64)
    np.bitwise_or.at(head["counted"], of_group, bit)
    np.bitwise_and.at(head["present"], of_group, ~bit)
    np.bitwise_or.at(head["present"], of_group, np.where(has_data, bit, np.uint64(0)))
    np.maximum.at(head["computed_ms"], of_group, minutes["computed_ms"])
    head["good"], head["total"] = cells[:, :, 0].sum(axis=1), cells[:, :, 1].sum(axis=1)
    stays = np.ones(len(finished.head), np.bool_)
    stays[old[there]] = False
    rest = np.flatnonzero(stays)
    heads = np.concatenate((finished.head[rest], head))
    order = np.lexsort((heads["hour"], heads["ledger"]))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    # Most of it are minutes, which are copied only once.
    joined, is_whole = np.empty((len(order), 60, 2)), np.ones(len(order), np.bool_)
    joined[place[: len(rest)]], joined[place[len(rest) :]] = finished.cells[rest], cells
    is_whole[place[: len(rest)]] = finished.is_whole[rest]
    return HourBlocks(heads[order], joined, is_whole)


def minutes_of(blocks: HourBlocks) -> npt.NDArray[np.void]:
    """MINUTE[n]: the minutes of hours that were counted, with the versions of their hours."""
    bits = (blocks.head["counted"][:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
    data = (blocks.head["present"][:, None] >> np.arange(60, dtype=np.uint64)) & np.uint64(1)
    at, minute = np.nonzero(bits)
    found = np.empty(len(at), MINUTE)
    found["ledger"], found["minute"] = blocks.head["ledger"][at], blocks.head["hour"][at] * 60 + minute
    found["good"] = blocks.cells[at, minute, 0]
    found["total"] = np.where(data[at, minute] > 0, blocks.cells[at, minute, 1], np.nan)
    found["computed_ms"] = blocks.head["computed_ms"][at]
    return found


def lookup(head: npt.NDArray[np.void], ledgers: Words, hours: npt.NDArray[np.uint32]) -> Ints:
    """Where hours of ledgers are in `head` (sorted by both): int64[n], -1 where they are not."""
    if not len(head):
        return np.full(len(ledgers), -1, np.int64)
    numbers, inverse = np.unique(np.concatenate((head["ledger"], ledgers)), return_inverse=True)
    del numbers
    keys = (inverse.astype(np.int64) << 32) | np.concatenate((head["hour"], hours)).astype(np.int64)
    own, asked = keys[: len(head)], keys[len(head) :]
    at = np.minimum(np.searchsorted(own, asked), len(own) - 1)
    found: Ints = np.where(own[at] == asked, at, -1)
    return found
