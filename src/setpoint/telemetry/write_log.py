"""How old what was written is: what who keeps results asks before it trusts them.

`store` notes the oldest timestamp of every group of samples once they can be found. A result that was computed at a
mark is still true for every instant before the oldest timestamp noted since, however late a sample came.
"""

from __future__ import annotations

import threading
from bisect import bisect_right

__all__ = ["NOTHING_MS", "WriteLog"]

NOTHING_MS = 2**62
"""Stands for "nothing was written"."""

_LENGTH = 4096


class WriteLog:
    """The smallest timestamp noted since any mark. Thread-safe; of bounded length, and then rather too small."""

    def __init__(self, length: int = _LENGTH) -> None:
        self._length = length
        self._lock = threading.Lock()
        # Both ascend: an older note of a later timestamp says nothing that a newer one does not say.
        self._marks: list[int] = []
        self._oldest_ms: list[int] = []
        self._last = 0

    def note(self, oldest_ms: int) -> None:
        """Samples from `oldest_ms` on were written, and whoever reads from now on finds them."""
        with self._lock:
            self._last += 1
            while self._oldest_ms and self._oldest_ms[-1] >= oldest_ms:
                self._oldest_ms.pop()
                self._marks.pop()
            self._oldest_ms.append(oldest_ms)
            self._marks.append(self._last)
            if len(self._marks) > self._length:  # the oldest note counts as if it were the second oldest
                del self._marks[0]
                del self._oldest_ms[1]

    def mark(self) -> int:
        """What to give to `oldest_since_ms` later; take it before reading."""
        with self._lock:
            return self._last

    def oldest_since_ms(self, mark: int) -> int:
        """The oldest timestamp noted since `mark`, `NOTHING_MS` if none was."""
        with self._lock:
            place = bisect_right(self._marks, mark)
            return self._oldest_ms[place] if place < len(self._marks) else NOTHING_MS
