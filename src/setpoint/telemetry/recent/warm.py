"""The kernels of the head made ready: a small head lives through everything once.

`telemetry.warm` calls it. Kernels are compiled for the types they meet, so meeting them here is what counts.
"""

from __future__ import annotations

import numpy as np

from setpoint.telemetry.codec import encode_chunks
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import ChunkColumns, Lease, Matcher, RefBatch, Series, fingerprint
from setpoint.telemetry.recent.increase import Window
from setpoint.telemetry.series_table import SeriesTable
from setpoint.telemetry.watch import SeriesWatch

__all__ = ["warm"]

_MINUTE_MS = 60_000


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    table = SeriesTable()
    head = Head(600 * _MINUTE_MS, table)
    labels = {"__name__": "warm"}
    lease = table.lease()
    refs = table.resolve([Series(fingerprint(labels), labels, "")], lease)
    _adopt(head, refs)
    minutes = np.arange(100, 200, dtype=np.int64)
    for start, count in ((0, 70), (60, 1), (70, 30), (1, 1)):  # in order, replaced, going on, late
        _append(head, lease, refs, minutes[start : start + count])
    head.seal()
    list(head.unflushed())
    head.flushed()
    head.restore(_batch(lease, refs, minutes[:2]))
    head.select([], 0, 200 * _MINUTE_MS)
    head.select_increase([], np.array([0, 150], np.int64) * _MINUTE_MS)
    _append(head, lease, refs, minutes[:3] + 400)
    assert head.sample_count
    lease.release()
    for now in (720, 710, 5000):  # part of it, a clock set back, all
        head.evict(now * _MINUTE_MS)
    _watch()


def _watch() -> None:
    """A watched series whose samples are in a chunk and in the open block."""
    table = SeriesTable()
    head = Head(600 * _MINUTE_MS, table)
    labels = {"__name__": "warm"}
    lease = table.lease()
    refs = table.resolve([Series(fingerprint(labels), labels, "")], lease)
    watch = SeriesWatch(head, [(Matcher("__name__", "=", "warm"),)])
    _append(head, lease, refs, np.arange(100, 103))
    head.seal()
    _append(head, lease, refs, np.arange(103, 106))
    watch.take_news()
    for begin, is_last in (
        (102, False),
        (99, False),
        (103, True),
        (99, True),
    ):  # a chunk's last value, and all of it
        watch.read(np.zeros(1, np.int64), Window(begin * _MINUTE_MS, _MINUTE_MS, 3, 30 * _MINUTE_MS, is_last))
    lease.release()


def _append(head: Head, lease: Lease, refs: np.ndarray, minutes: np.ndarray) -> None:
    head.append(_batch(lease, refs, minutes))


def _batch(lease: Lease, refs: np.ndarray, minutes: np.ndarray) -> RefBatch:
    return RefBatch(lease, np.repeat(refs, len(minutes)), minutes * _MINUTE_MS, minutes.astype(np.float64))


def _adopt(head: Head, refs: np.ndarray) -> None:
    times = np.array([1, 2, 2, 3], np.int64) * _MINUTE_MS  # the second chunk begins where the first ends
    payload, offsets = encode_chunks(times, times.astype(np.float64), np.array([0, 2, 4], np.int64))
    chunks = ChunkColumns(
        np.zeros(2, np.uint64), times[[0, 2]], times[[1, 3]], np.full(2, 2, np.int32), offsets, payload
    )
    head.adopt(chunks, np.repeat(refs, 2))
