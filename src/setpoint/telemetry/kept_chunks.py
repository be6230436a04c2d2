"""Chunks that were read lately, still encoded, so that a dashboard that asks again every few seconds asks no database.

`store` reads through here. A query beyond the head costs three statements of some milliseconds each, far more than
decoding what they find. What is kept is of whole hours or more, so that a range that moves on finds it; it is given up
as soon as this process changes anything in the database, and after a minute because others may.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np

from setpoint.cache import Cache, Turns
from setpoint.clock import stopwatch
from setpoint.telemetry.blocks import StoredChunks
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["Kept", "KeptChunks", "whole_hours"]

_HOUR_MS = 3_600_000
_LIMIT_BYTES = 64 << 20
_ENTRY_PART = 4
"""Nothing is kept that is larger than this part of the limit."""

_LIFE_S = 60.0
_PATIENCE_S = 1.0
_ROW_BYTES, _LABELS_BYTES = 56, 500

Key = tuple[Matcher, ...]


def whole_hours(start_ms: int, end_ms: int) -> tuple[int, int]:
    """The hours around a range; around a long one pieces of several hours, at most an eighth of it each."""
    pieces = max((end_ms - start_ms) // (8 * _HOUR_MS), 1)
    unit_ms = _HOUR_MS << (pieces.bit_length() - 1)
    return start_ms // unit_ms * unit_ms, -(-end_ms // unit_ms) * unit_ms


@dataclass(frozen=True, slots=True)
class Kept:
    """The chunks with samples in (start_ms, end_ms] of a selection, and labels by fingerprint of their series.

    `state` is the revision of the database before they were read.
    """

    start_ms: int
    end_ms: int
    chunks: StoredChunks
    labels: Mapping[int, Labels]
    state: int
    is_ordered: bool = False
    """Whether `labels` are in the order of labels."""
    age_s: Callable[[], float] = field(default_factory=stopwatch)

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        payload = len(self.chunks.payload) + _ROW_BYTES * len(self.chunks.starts)
        return payload + _LABELS_BYTES * len(self.labels)

    def within(self, start_ms: int, end_ms: int) -> StoredChunks:
        """The chunks with samples in (start_ms, end_ms]."""
        chunks = self.chunks
        chosen = np.flatnonzero((chunks.last_ms > start_ms) & (chunks.first_ms <= end_ms))
        return chunks if len(chosen) == len(chunks.starts) else chunks.at(chosen)


class KeptChunks:
    """What was read, by selection, the latest last. Thread-safe."""

    def __init__(self, revision: Callable[[], int], limit_bytes: int = _LIMIT_BYTES) -> None:
        """`revision` tells a number that is another one after every change of the database."""
        self._revision = revision
        self._kept: Cache[Key, Kept] = Cache(limit_bytes, _ENTRY_PART, _LIFE_S)
        self._turns = Turns(_PATIENCE_S)

    def turn(self, key: Key) -> AbstractContextManager[None]:
        """Be the only one who reads a selection, so that who asks the same meanwhile finds it kept; wait a second for
        that at most.
        """
        return self._turns.turn(key)

    @property
    def size_bytes(self) -> int:
        """About how much memory all of it takes."""
        return self._kept.size_bytes

    def find(self, key: Key, start_ms: int, end_ms: int) -> Kept | None:
        """What holds the whole range and is as the database is now."""
        kept = self._kept.find(key, self._revision())
        return kept if kept and kept.start_ms <= start_ms and kept.end_ms >= end_ms else None

    def keep(self, key: Key, kept: Kept) -> None:
        """Remember what was read, in the place of what was known of the selection, if it is not too large."""
        self._kept.keep(key, kept)
