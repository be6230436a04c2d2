"""Counts the history of objectives that are read from data sources: one thread for each source, which waits for it.

The evaluation thread must not wait for another server, so history of these objectives is not counted in its ticks.
A thread takes chunks of minutes under the book's lock, fetches and counts without it, and puts the counts in under
it again. All objectives of a source go back in time together, six hours at a time, so that those which count the
same series find them fetched already.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from setpoint.errors import InvalidInput, SetpointError, Unavailable
from setpoint.objective.ledger import Slots
from setpoint.objective.track import Track

__all__ = ["FetchedHistory"]

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_AT_ONCE = 32
"""Objectives of which a chunk is counted in one turn: the book's lock is waited for twice in each."""

_LONGEST_S = 60.0


@dataclass(slots=True)
class _Job:
    """A chunk of minutes of one objective, and what came of it: counts, a refusal, or nothing yet."""

    track: Track
    chunk: tuple[int, int]
    raw: Slots | None = None
    refusal: InvalidInput | None = None
    is_lost: bool = False

    def count(self) -> SetpointError | None:
        """Fetch and count; the error that says to wait, if there is one."""
        try:
            self.raw = self.track.count_chunk(self.chunk)
        except InvalidInput as error:
            self.refusal = error
        except SetpointError as error:
            return error
        except Exception:  # a fault of ours, which the chunk would meet again
            log.exception("a part of the history of objective %s was left out", self.track.objective.name)
            self.is_lost = True
        return None

    def settle(self, tracks: Sequence[Track]) -> None:
        """Put the counts into the track, or the chunk back; the book's lock is held."""
        track, chunk = self.track, self.chunk
        if self.refusal is not None:
            track.refuse_chunk(chunk, self.refusal)
        elif self.raw is not None:
            track.keep_chunk(chunk, self.raw)
        elif not self.is_lost:
            track.pending.add(*chunk)
        for other in tracks:  # the objective may have been changed meanwhile
            is_same = other.objective.name == track.objective.name
            if is_same and other.minutes is not track.minutes and other.is_fetched:
                other.pending.add(*chunk)


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
        """Count a chunk of some objectives of a source; seconds to wait before the next, None when none is left."""
        with self._lock:
            waiting = [one for one in self._tracks() if one.objective.source == source and one.pending]
            waiting.sort(key=lambda one: (one.pending.end, one.objective.total_query), reverse=True)
            taken = [(track, track.take_chunk()) for track in waiting[:_AT_ONCE]]
        jobs = [_Job(track, chunk) for track, chunk in taken if chunk is not None]
        if not jobs:
            return None
        error: SetpointError | None = None
        for job in jobs:
            error = error or job.count()
        with self._lock:
            tracks = list(self._tracks())
            for job in jobs:
                job.settle(tracks)
        if error is not None:
            return self._pause(source, error)
        self._waiting_for.pop(source, None)
        return 0.0

    def _pause(self, source: str, error: SetpointError) -> float:
        if self._waiting_for.get(source) != error.message:  # once, not at each attempt
            log.warning("history of objectives waits for data source %s: %s", source, error.message)
        self._waiting_for[source] = error.message
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else 0.0
        return min(_LONGEST_S, max(_LOOK_S, asked_s))
