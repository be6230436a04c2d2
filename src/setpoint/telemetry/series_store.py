"""The table `series`: which series were ever stored, their labels, and when each service was last heard of.

A row is stored before or with the first samples of its series. Where the journal takes rows along they are inserted
some thousand at a time, and before the journal goes: an insert costs as much as a thousand rows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from setpoint.clock import stopwatch
from setpoint.compiled import compiled
from setpoint.database import Columns, TelemetryDatabase, load_queries
from setpoint.errors import Unavailable
from setpoint.telemetry.blocks import day_start_ms
from setpoint.telemetry.model import Labels, Series
from setpoint.telemetry.series_removal import SeriesRemoval
from setpoint.telemetry.series_rows import COLUMNS, rows_of
from setpoint.telemetry.series_table import SeriesTable

__all__ = ["Fresh", "SeriesStore", "warm"]

_QUERIES = load_queries("setpoint.telemetry")
_COLUMNS = ("fingerprint", "labels", "service", "resource", "scope", "type", "unit", "help")
_MATCHERS = "/* matchers */"
_NEVER_MS = -(2**62)
_PENDING_AT_MOST = 20_000
_PENDING_BYTES_MAX = 256 << 20
_INSERT_BYTES = 16 << 20
_NAMED_AT_MOST = 10_000
"""Fingerprints that are listed in a query; more would not fit into the address of a request over HTTP."""


class Fresh(NamedTuple):
    """New series: `refs` int32[n], their rows as RowBinary of `series_rows.COLUMNS`, and the service of each."""

    refs: npt.NDArray[np.int32]
    rows: bytes
    services: list[str]


class SeriesStore:
    """The stored series. Reads may come from any thread, `write` and `seen` from one."""

    def __init__(self, db: TelemetryDatabase, table: SeriesTable) -> None:
        self._db = db
        self._table = table
        self.removal = SeriesRemoval(db, table.live_fingerprints)
        self._lock = threading.Lock()
        self._pending_lock = threading.Lock()
        self._pending: list[bytes] = []
        self._pending_count = 0
        self._pending_bytes = 0
        self._waiting_s = stopwatch()
        self._services: dict[str, int] = {}
        self._service_of = np.full(0, -1, np.int32)
        self._last_ms = np.full(0, _NEVER_MS, np.int64)

    # ---- writing -----------------------------------------------------------------------------------------

    def write(self, refs: npt.NDArray[np.int32]) -> None:
        """Store the series of those `refs` that are not stored yet. Raises Unavailable when refused."""
        fresh = self.fresh(refs)
        if fresh is not None:
            self._db.insert_rows("series", COLUMNS, np.frombuffer(fresh.rows, np.uint8))
            self._known(fresh)

    def fresh(self, refs: npt.NDArray[np.int32]) -> Fresh | None:
        """Those of `refs` that are not stored yet, as rows; None when there are none. Raises Unavailable while too much
        waits for `settle`.
        """
        refs = self._table.unwritten(refs)
        if not len(refs):
            return None
        if self._pending_bytes > _PENDING_BYTES_MAX:
            raise Unavailable(
                "new series wait for the telemetry database, which refuses them; see the server's log"
            )
        described = self._table.described(refs)
        self.removal.wait_for(described.fingerprints)
        services = [origin.service for origin, _ in described.kinds]
        places = described.kind_places.tolist()
        return Fresh(refs, rows_of(described), [services[place] for place in places])

    def promise(self, fresh: Fresh) -> None:
        """Count `fresh` as stored: the journal has its rows. `settle` will insert them."""
        with self._pending_lock:
            if not self._pending:
                self._waiting_s = stopwatch()
            self._pending.append(fresh.rows)
            self._pending_count += len(fresh.refs)
            self._pending_bytes += len(fresh.rows)
        self._known(fresh)

    def settle(self, patience_s: float = 0.0) -> None:
        """Insert what was promised, unless it is little and not older than `patience_s`. Raises Unavailable."""
        with self._pending_lock:
            is_little = self._pending_count < _PENDING_AT_MOST and self._waiting_s() < patience_s
            if not self._pending or is_little:
                return
            while self._pending:  # a bounded insert at a time: all may be more than the engine can hold
                count = size = 0
                while count < len(self._pending) and size < _INSERT_BYTES:
                    size += len(self._pending[count])
                    count += 1
                rows = b"".join(self._pending[:count])
                self._db.insert_rows("series", COLUMNS, np.frombuffer(rows, np.uint8))
                del self._pending[:count]
                self._pending_bytes -= size
            self._pending_count = 0

    def restore(self, rows: bytes) -> None:
        """Insert rows that were promised before a start. Raises Unavailable."""
        self._db.insert_rows("series", COLUMNS, np.frombuffer(rows, np.uint8))

    def _known(self, fresh: Fresh) -> None:
        self.learn(fresh.refs, fresh.services)
        self._table.mark_written(fresh.refs)

    def learn(self, refs: npt.NDArray[np.int32], services: Sequence[str]) -> None:
        """Note which services the series of `refs`, just stored or read, belong to."""
        with self._lock:
            if len(refs) and int(refs.max()) >= len(self._service_of):
                grown = np.full(int(refs.max()) * 5 // 4 + 1024, -1, np.int32)
                grown[: len(self._service_of)] = self._service_of
                self._service_of = grown
            places = [self._services.setdefault(service, len(self._services)) for service in services]
            self._service_of[refs] = places
            missing = len(self._services) - len(self._last_ms)
            if missing:
                self._last_ms = np.append(self._last_ms, np.full(missing, _NEVER_MS, np.int64))

    def seen(self, refs: npt.NDArray[np.int32], timestamps_ms: npt.NDArray[np.int64]) -> None:
        """Note that samples with these timestamps came."""
        with self._lock:
            _note_seen(self._service_of, self._last_ms, refs, timestamps_ms)

    # ---- reading -----------------------------------------------------------------------------------------

    def last_seen_ms(self) -> dict[str, int]:
        """The newest timestamp that this process has seen of each service."""
        with self._lock:
            newest = self._last_ms.tolist()
            return {
                name: newest[place] for name, place in self._services.items() if newest[place] > _NEVER_MS
            }

    def labels(
        self, condition: str, parameters: dict[str, Any], fingerprints: npt.NDArray[np.uint64]
    ) -> dict[int, Labels]:
        """Labels by fingerprint of the series that satisfy an SQL condition, at least of those in `fingerprints`."""
        wanted = np.unique(fingerprints)
        if not len(wanted):
            return {}
        if len(wanted) <= _NAMED_AT_MOST:
            condition = f"({condition}) AND fingerprint IN {{wanted:Array(UInt64)}}"
            parameters = {**parameters, "wanted": wanted.tolist()}
        self.settle()
        rows = self._db.query(_QUERIES["read_labels"].replace(_MATCHERS, condition), **parameters)
        return dict(zip(rows["fingerprint"].tolist(), rows["labels"].tolist(), strict=True))

    def recent(self, since_ms: int, first: int, last: int) -> list[Series]:
        """The series with chunks later than `since_ms`, of a range of fingerprints."""
        self.settle()
        rows = self._db.query(
            _QUERIES["read_recent_series"],
            since_ms=since_ms,
            day_ms=day_start_ms(since_ms),
            first=first,
            last=last,
        )
        return _series(rows)

    def named(self, fingerprints: npt.NDArray[np.uint64]) -> Iterator[list[Series]]:
        """The series with these fingerprints, some thousand at a time."""
        self.settle()
        for start in range(0, len(fingerprints), _NAMED_AT_MOST):
            part = fingerprints[start : start + _NAMED_AT_MOST].tolist()
            yield _series(self._db.query(_QUERIES["read_named_series"], wanted=part))


def _series(rows: Columns) -> list[Series]:
    return [Series(*row) for row in zip(*(rows[name].tolist() for name in _COLUMNS), strict=True)]


@compiled
def _note_seen(service_of: Any, last_ms: Any, refs: Any, times: Any) -> None:
    for place in range(len(refs)):
        ref = refs[place]
        if ref < len(service_of) and service_of[ref] >= 0:
            service = service_of[ref]
            last_ms[service] = max(last_ms[service], times[place])


def warm() -> None:
    """Compile the kernel, or load it from the cache."""
    _note_seen(np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.int32), np.zeros(1, np.int64))
