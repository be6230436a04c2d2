"""A cache bounded by bytes, of what stops being true: the floor of every cache that a query reads through.

`telemetry.kept_chunks` keeps encoded chunks in one, `telemetry.held_samples` decoded samples, `promql.range_cache`
results. They differ in what an entry may answer; how long it may, and which has to go, is the same and stands here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, Protocol, TypeVar

from setpoint.clock import stopwatch

__all__ = ["Cache", "Entry", "Turns"]

_LOCKS, _LOOK_S = 64, 0.05


class Entry(Protocol):
    """What can be kept: never changed, only replaced."""

    @property
    def state(self) -> Hashable:
        """What the world was like when it was made: in another state it is not true any more."""
        ...

    @property
    def age_s(self) -> Callable[[], float]:
        """Tells for how many seconds it, or what it was made of, has been kept."""
        ...

    @property
    def size_bytes(self) -> int:
        """About how much memory it takes."""
        ...


_Key = TypeVar("_Key", bound=Hashable)
_Entry = TypeVar("_Entry", bound=Entry)


class Cache(Generic[_Key, _Entry]):
    """Entries by key, the one asked for last at the end. Thread-safe."""

    def __init__(self, limit_bytes: int, entry_part: int, life_s: float) -> None:
        """`limit_bytes` is for all entries, one may take 1/`entry_part` of it; none is found after `life_s`."""
        self._limit_bytes = limit_bytes
        self.entry_bytes = limit_bytes // entry_part
        """How large an entry may be."""
        self._life_s = life_s
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self.size_bytes = 0
        """About how much memory all entries take."""

    def peek(self, key: _Key) -> _Entry | None:
        """What is kept, true or not."""
        with self._lock:
            return self._entries.get(key)

    def find(self, key: _Key, state: Hashable) -> _Entry | None:
        """What is kept, if it is still true."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            if self._is_over(entry, state):
                self._drop(key)
                return None
            self._entries.move_to_end(key)
            return entry

    def keep(self, key: _Key, entry: _Entry) -> None:
        """Put an entry in the place of what is kept; one that is too large is not, and what is kept stays."""
        size = entry.size_bytes
        if size > self.entry_bytes:
            return
        with self._lock:
            self._drop(key)
            self._entries[key] = entry
            self.size_bytes += size
            while self.size_bytes > self._limit_bytes:
                self._drop(next(iter(self._entries)))

    def drop(self, key: _Key) -> None:
        """Keep nothing of `key`."""
        with self._lock:
            self._drop(key)

    def expire(self, state: Hashable) -> None:
        """Give back the memory of what will not be found any more."""
        with self._lock:
            for key in [key for key, entry in self._entries.items() if self._is_over(entry, state)]:
                self._drop(key)

    def _is_over(self, entry: _Entry, state: Hashable) -> bool:
        return entry.state != state or entry.age_s() > self._life_s

    def _drop(self, key: _Key) -> None:
        gone = self._entries.pop(key, None)
        if gone is not None:
            self.size_bytes -= gone.size_bytes


class Turns:
    """Lets one thread at a time make what is to be kept, so that who asks alike meanwhile finds it."""

    def __init__(self, patience_s: float) -> None:
        """Nobody waits longer than `patience_s`: from then on both make it."""
        self._patience_s = patience_s
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    @contextmanager
    def turn(self, key: Hashable, look: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Wait for the turn; `look` is called again and again meanwhile, and may raise what ends the waiting."""
        lock, waited_s = self._locks[hash(key) % _LOCKS], stopwatch()
        is_held = lock.acquire(blocking=False)
        while not is_held and waited_s() < self._patience_s:
            look()
            is_held = lock.acquire(timeout=_LOOK_S)
        try:
            yield
        finally:
            if is_held:
                lock.release()
