"""A few threads that evaluate groups, so that a slow one holds up no other; they end with the process.

Not `concurrent.futures`: its threads are waited for at the end, and a rule may ask another server for minutes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue

__all__ = ["Pool"]

log = logging.getLogger(__name__)


class Pool:
    """Up to `size` threads, each started when there is something to do for it."""

    def __init__(self, name: str, size: int) -> None:
        self._name, self._size = name, size
        self._work: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Have `work` done by the next thread that is free."""
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._run, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._work.put(work)

    def close(self) -> None:
        """End the threads when they have done what waits."""
        with self._lock:
            for _ in range(self._threads):
                self._work.put(None)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:  # one evaluation must not end the thread that others need
                log.exception("an evaluation of rules failed")
            finally:
                with self._lock:
                    self._busy -= 1
