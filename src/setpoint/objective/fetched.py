"""Counts the history of objectives that are read from data sources: one thread for each source, which waits for it.

The evaluation thread must not wait for another server, so history of these objectives is not counted in its ticks.
A thread takes a chunk of minutes under the book's lock, fetches and counts without it, and puts the counts in under
it again. All objectives of a source go back in time together, six hours at a time, so that those which count the
same series find them fetched already.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective.track import Track

__all__ = ["FetchedHistory"]

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_LONGEST_S = 60.0


class FetchedHistory:
    """See above; `book` owns it."""

    def __init__(self, tracks: Callable[[], Sequence[Track]], lock: AbstractContextManager[object]) -> None:
        """`tracks` gives all tracks of the book; it is called, as everything of a track, while `lock` is held."""
        self._tracks, self._lock = tracks, lock
        self._waiting_for: dict[str, str] = {}

    def run(self, stop: threading.Event) -> None:
        """Keep a thread for each source in use until `stop` is set."""
        running: dict[str, threading.Thread] = {}
        while not stop.wait(_LOOK_S):
            with self._lock:
                sources = {track.objective.source for track in self._tracks() if track.is_fetched}
            for source in sources:
                known = running.get(source)
                if known is None or not known.is_alive():
                    running[source] = threading.Thread(
                        target=self._run_source, args=(source, stop), name=f"history-{source}", daemon=True
                    )
                    running[source].start()

    def _run_source(self, source: str, stop: threading.Event) -> None:
        wait_s: float | None = 0.0
        while wait_s is not None and not stop.wait(wait_s):
            wait_s = self.step(source)

    def step(self, source: str) -> float | None:
        """Count one chunk of a source; seconds to wait before the next, None when there is none left."""
        with self._lock:
            waiting = [one for one in self._tracks() if one.objective.source == source and one.pending]
            if not waiting:
                return None
            track = max(waiting, key=lambda one: (one.pending.end, one.objective.total_query))
            chunk = track.take_chunk()
        if chunk is None:
            return 0.0
        try:
            raw = track.count_chunk(chunk)
        except InvalidInput as error:
            with self._lock:
                track.refuse_chunk(chunk, error)
            return 0.0
        except SetpointError as error:
            with self._lock:
                track.pending.add(*chunk)
            return self._pause(source, error)
        except Exception:  # a fault of ours, which the chunk would meet again
            log.exception("a part of the history of objective %s was left out", track.objective.name)
            return _LOOK_S
        self._waiting_for.pop(source, None)
        with self._lock:
            track.keep_chunk(chunk, raw)
            for other in self._tracks():  # the objective may have been changed meanwhile
                is_same = other.objective.ledger_key == track.objective.ledger_key
                if is_same and other.minutes is not track.minutes:
                    other.pending.add(*chunk)
        return 0.0

    def _pause(self, source: str, error: SetpointError) -> float:
        if self._waiting_for.get(source) != error.message:  # once, not at each attempt
            log.warning("history of objectives waits for data source %s: %s", source, error.message)
        self._waiting_for[source] = error.message
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else 0.0
        return min(_LONGEST_S, max(_LOOK_S, asked_s))
