"""A lane: one integration of one receiver, with threads and connections of its own, so that no other waits for it.

The outbox hands it batches (a row, or the rows of a bundle) that may be sent now, and gets each back with the answer.
All waiting is the outbox's, by its clock; a lane only sends. Its threads come when there is work and go when there is
none for a while; while its receiver does not answer, it has one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from setpoint.alert.notify.channel import About, Answer, Channel
from setpoint.alert.notify.model import bundled
from setpoint.alert.notify.store import Row
from setpoint.clock import stopwatch

__all__ = ["Batch", "Lane", "LaneStatus"]

log = logging.getLogger(__name__)

_THREADS_MOST = 64
_IDLE_S = 10.0
_STUCK_S = 120.0


@dataclass(frozen=True, slots=True)
class LaneStatus:
    """How an integration of a receiver does: failures since the last success, why, and when it is tried again."""

    receiver: str
    integration: str
    pending: int
    failures: int
    error: str
    delivered_ms: int | None
    next_ms: int | None


@dataclass(eq=False, slots=True)
class Batch:
    """Rows that go out as one message, under one key."""

    rows: tuple[Row, ...]
    elapsed_s: Callable[[], float] = field(default_factory=stopwatch)
    is_given_up: bool = False

    @property
    def key(self) -> str:
        """The idempotency key of its content."""
        return self.rows[0].bundle or self.rows[0].key


class Lane:
    """See above; safe to use from several threads. `state` fields belong to the outbox's own thread."""

    def __init__(
        self,
        key: tuple[str, str],
        channel: Channel,
        about: Callable[[Batch], About],
        done: Callable[[Lane, Batch, Answer], None],
    ) -> None:
        self.key = key
        self.channel = channel
        self.failures = 0
        """In a row, without a success between them."""
        self.stops = 0
        """For how many of these it was stopped: only one notification is tried then, now and then."""
        self.error = ""
        self.blocked_until_ms = 0
        self.delivered_ms: int | None = None
        self.has_overflowed = False
        """Its contact's limit made something wait: what waits goes out as one message."""
        self.is_starved = False
        """More waits for it than it had room for."""
        self._about, self._done = about, done
        self._changed = threading.Condition()
        self._queue: deque[Batch] = deque()
        self._sending: list[Batch] = []
        self._idle = 0
        self._threads = 0
        self._is_closed = False

    @property
    def load(self) -> int:
        """How many batches are queued or being sent."""
        with self._changed:
            return len(self._queue) + len(self._sending)

    def give(self, rows: Sequence[Row]) -> None:
        """Send these as one message, soon."""
        with self._changed:
            self._queue.append(Batch(tuple(rows)))
            most = 1 if self.stops else _THREADS_MOST
            if self._idle:
                self._changed.notify()
            elif self._threads < most:
                self._start()

    def _start(self) -> None:
        self._threads += 1
        threading.Thread(target=self._work, name=f"notify {self.key[0]} {self.key[1]}", daemon=True).start()

    def withdraw(self, id: int) -> bool:
        """Take back a row that is queued alone; False when it is on its way already."""
        with self._changed:
            for batch in self._queue:
                if len(batch.rows) == 1 and batch.rows[0].id == id:
                    self._queue.remove(batch)
                    return True
        return False

    def withdraw_all(self) -> list[Row]:
        """Take back all that is queued."""
        with self._changed:
            rows = [row for batch in self._queue for row in batch.rows]
            self._queue.clear()
        return rows

    def give_up_stuck(self) -> list[Batch]:
        """Batches whose channel did not come back, far beyond every deadline; what it may still answer is ignored."""
        with self._changed:
            stuck = [batch for batch in self._sending if batch.elapsed_s() > _STUCK_S]
            for batch in stuck:
                batch.is_given_up = True
                self._sending.remove(batch)
                self._threads -= 1
            if stuck and self._queue and not self._threads:
                self._start()
        return stuck

    def close(self) -> None:
        """Let the threads end, and the connections."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self.channel.close()

    def _next(self) -> Batch | None:
        with self._changed:
            while not self._queue:
                if self._is_closed:
                    self._threads -= 1
                    return None
                self._idle += 1
                came = self._changed.wait(_IDLE_S)
                self._idle -= 1
                if not came and not self._queue:
                    self._threads -= 1
                    return None
            batch = self._queue.popleft()
            batch.elapsed_s = stopwatch()
            self._sending.append(batch)
            return batch

    def _work(self) -> None:
        while (batch := self._next()) is not None:
            answer = self._send(batch)
            with self._changed:
                if batch.is_given_up:  # this thread was taken for lost, and is no longer counted
                    return
            self._done(self, batch, answer)
            with self._changed:
                self._sending.remove(batch)

    def _send(self, batch: Batch) -> Answer:
        try:
            return self.channel.send(bundled([row.notification for row in batch.rows]), self._about(batch))
        except Exception as error:  # a fault of ours in a channel must neither lose the row nor end the lane
            log.exception("the channel of %s %s failed", *self.key)
            return Answer("retry", f"a fault in Setpoint ({type(error).__name__}: {error})"[:500])
