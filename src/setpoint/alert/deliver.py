"""Sends what alerts and policies do to webhooks: from the timeline, at least once, in order, each target for itself.

`app` runs `run` in a thread and calls `follow` when resources change. A cursor per target in the state database says
up to which event it has been told; it moves after the receiver has answered, so a crash in between sends that request
again, with the ids of the same events in it. A receiver that does not answer is asked again after 1 s, 2 s, … 5 min
(or as long as it wants), for as long as its target exists; nobody else waits for it. A payload that a receiver refuses
as such (400, 413, 415, 422) is sent event by event, and an event that is refused five times is left out: that stands on
the timeline as `alert.undelivered`.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from setpoint.alert.from_objective import Target
from setpoint.alert.log import LOCK
from setpoint.alert.target import means
from setpoint.alert.webhook import ENDS, Answer, payload_of, post
from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import InvalidInput, SetpointError
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["Delivery", "TargetStatus"]

log = logging.getLogger(__name__)

_SQL = load_queries("setpoint.alert")
_READ_AT_ONCE = 500
_SENT_AT_ONCE = 50
_THREADS_MOST = 32
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 300.0
_REFUSALS_MOST = 5
_LOOK_S = 1.0
_LOOK_ANYWAY_MS = 30_000
"""How often it is looked for events that another server may have written."""
_SEEN_MOST = 1000
_LEAVING_MS = 60_000
"""A target that went away together with its objective still hears that its alerts ended."""


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How a webhook is doing: requests that failed since the last that did not, why, and when it is tried again."""

    name: str
    failures: int
    error: str
    delivered_ms: int | None
    next_ms: int | None


@dataclass(slots=True)
class _Line:
    """One target: what is known of it, and whether a thread is busy with it."""

    key: str
    target: Target
    cursor: int
    seen: int
    """Up to this event there is nothing for it behind the cursor."""
    failures: int = 0
    refusals: int = 0
    alone: bool = False
    error: str = ""
    due_ms: int = 0
    delivered_ms: int | None = None
    busy: bool = False
    idle: bool = False
    """Nothing is pending, as far as is known."""


class Delivery:
    """Delivers to webhooks; `run` belongs to one thread, the rest to any."""

    def __init__(
        self,
        database: StateDatabase,
        timeline: Timeline,
        clock: Clock,
        *,
        read_secret: Callable[[str], str],
        external_url: str,
    ) -> None:
        """`read_secret` gives what stands in a file of the secrets folder, and raises InvalidInput."""
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self._read_secret = read_secret
        self._external_url = external_url
        self._guard = threading.Lock()
        self._lines: dict[str, _Line] = {}
        self._wanted: tuple[dict[str, Target], int] | None = None
        self._followed: dict[str, Target] = {}
        self._leaving: dict[str, tuple[Target, int]] = {}
        self._newest = 0
        self._wake = threading.Event()
        self._is_late = False
        self._looked_ms = 0
        timeline.subscribe(self._hear)

    def newest(self) -> int:
        """The newest event of an alert: what happens after it, a target that is added now will be told."""
        try:
            with self._database.read() as transaction:
                row = transaction.row(_SQL["newest_alert_event"])
        except SetpointError as error:
            log.warning("the place of new webhooks is not known: %s", error.message)
            return self._newest
        self._newest = int(row["event_id"]) if row else 0
        return self._newest

    def follow(self, targets: Mapping[str, Target], since: int) -> None:
        """Deliver to these targets (`target.webhooks_of`); new ones hear of events after `since`. Those that are gone
        are told for a minute which of their alerts ended, unless another took their name.
        """
        with self._guard:
            until_ms, names = self._clock.now_ms() + _LEAVING_MS, {one.name for one in targets.values()}
            gone = {key: (one, until_ms) for key, one in self._followed.items() if key not in targets}
            kept = (gone | self._leaving).items()
            self._leaving = {key: one for key, one in kept if key not in targets and one[0].name not in names}
            self._followed = dict(targets)
            self._wanted = (self._followed, since)
        self._wake.set()

    def statuses(self) -> list[TargetStatus]:
        """How every target is doing, by name."""
        with self._guard:
            lines = sorted(self._lines.values(), key=lambda line: line.key)
        return [
            TargetStatus(
                line.target.name,
                line.failures,
                line.error,
                line.delivered_ms,
                line.due_ms if line.failures else None,
            )
            for line in lines
        ]

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; the body of the delivery thread."""
        while not stop.is_set():
            try:
                self.step()
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("webhooks wait: %s", error.message)
                self._is_late = True
                self._rouse()
            except Exception:  # the loop must outlive any fault: nobody would be told any more
                log.exception("a look at what has to be delivered failed; the next one tries again")
            self._clock.wait(self._wake, _LOOK_S)
            self._wake.clear()

    def step(self) -> list[threading.Thread]:
        """Start a thread for each target that something is due for; gives these threads. Raises Unavailable."""
        self._take_wanted()
        now_ms = self._clock.now_ms()
        started: list[threading.Thread] = []
        if not 0 <= now_ms - self._looked_ms < _LOOK_ANYWAY_MS:
            self._looked_ms = now_ms
            self._rouse()
        with self._guard:
            # The clock may have been set back: nobody waits longer than the longest wait.
            due = [
                line
                for line in self._lines.values()
                if not line.busy and not line.idle and not 0 < line.due_ms - now_ms <= _LONGEST_WAIT_S * 2000
            ]
            room = _THREADS_MOST - sum(line.busy for line in self._lines.values())
        for line in due:
            if len(started) >= room:
                break
            line.idle = True  # before it is looked: what comes meanwhile rouses it
            events = self._pending(line)
            if events:
                line.busy, line.idle = True, False
                name = f"webhook {line.target.name}"
                started.append(
                    threading.Thread(target=self._drain, args=(line, events), name=name, daemon=True)
                )
        for thread in started:
            thread.start()
        return started

    def _hear(self, event: Event) -> None:
        if event.kind.startswith(("alert.", "policy.")):
            self._rouse()
            self._wake.set()

    def _rouse(self) -> None:
        with self._guard:
            for line in self._lines.values():
                line.idle = False

    def _take_wanted(self) -> None:
        """Make the cursors what the targets are."""
        now_ms = self._clock.now_ms()
        with self._guard:
            left = [key for key, (_, at) in self._leaving.items() if not 0 < at - now_ms <= _LEAVING_MS]
            for key in left:
                del self._leaving[key]
            if left and self._wanted is None:
                self._wanted = self._followed, self._newest
            wanted = self._wanted
            leaving = {key: target for key, (target, _) in self._leaving.items()}
        if wanted is None:
            return
        targets, since = wanted[0] | leaving, wanted[1]
        with self._database.begin() as transaction:
            transaction.lock(LOCK)
            stored = {row["target"]: row for row in transaction.rows(_SQL["cursors"])}
            gone = {key: row for key, row in stored.items() if key not in targets}
            cursors = {key: int(row["event_id"]) for key, row in stored.items() if key in targets}
            for key in targets.keys() - stored.keys():
                # A corrected address goes on where the old one stood.
                of_name = [int(row["event_id"]) for row in gone.values() if row["name"] == targets[key].name]
                cursors[key] = min(of_name, default=since)
                transaction.execute(
                    _SQL["add_cursor"], target=key, name=targets[key].name, event_id=cursors[key]
                )
            for key in gone:
                transaction.execute(_SQL["drop_cursor"], target=key)
        with self._guard:
            lines = {}
            for key, target in targets.items():
                line = self._lines.get(key) or _Line(key, target, cursors[key], cursors[key])
                line.target = target
                lines[key] = line
            self._lines = lines
            if self._wanted is wanted:
                self._wanted = None

    def _pending(self, line: _Line) -> list[dict[str, Any]]:
        """The next events for a target; remembers where there is nothing for it."""
        targets = {key: other.target for key, other in self._lines.items()}
        found: list[dict[str, Any]] = []
        while line.key in targets:
            with self._database.read() as transaction:
                rows = transaction.rows(
                    _SQL["alert_events_after"], event_id=max(line.seen, line.cursor), limit=_READ_AT_ONCE
                )
            for row in rows:
                row["data"] = json.loads(row["data"])
                told = line.key not in self._leaving or row["kind"] in ENDS
                if told and any(means(one, line.key, targets) for one in row["data"].get("targets", ())):
                    found.append(row)
                    if len(found) >= (1 if line.alone else _SENT_AT_ONCE):
                        return found
                elif not found:
                    line.seen = int(row["id"])
            if found or len(rows) < _READ_AT_ONCE:
                break
        if not found and line.seen - line.cursor > _SEEN_MOST:  # a start need not look through them again
            self._advance(line, line.seen)
        return found

    def _drain(self, line: _Line, events: list[dict[str, Any]]) -> None:
        """Send until nothing is pending, or the receiver does not take it: the body of a target's thread."""
        try:
            while events and self._lines.get(line.key) is line:
                if not self._send(line, events):
                    return
                events = self._pending(line)
        except SetpointError as error:
            self._fail(line, Answer(ok=False, error=error.message))
        except Exception as error:  # a fault of ours must not be tried in a tight loop
            log.exception("the webhook %s could not be sent to", line.target.name)
            self._fail(line, Answer(ok=False, error=f"a fault in Setpoint ({type(error).__name__})"))
        finally:
            line.busy = False
            self._wake.set()

    def _send(self, line: _Line, events: Sequence[dict[str, Any]]) -> bool:
        """One request; True when the next may follow at once."""
        target, now_ms = line.target, self._clock.now_ms()
        try:
            secret = self._read_secret(target.secret) if target.secret else ""
        except InvalidInput as error:  # never unsigned where a signature is expected
            self._fail(line, Answer(ok=False, error=error.message))
            return False
        key = f"setpoint-{events[0]['id']}-{events[-1]['id']}"
        answer = post(target, secret, payload_of(events, target.name, self._external_url), key, now_ms)
        if answer.ok:
            if line.failures:
                log.info("the webhook %s takes alerts again", target.name)
            self._advance(line, int(events[-1]["id"]))
            line.failures, line.refusals, line.alone, line.error, line.due_ms = 0, 0, False, "", 0
            line.delivered_ms = self._clock.now_ms()
            return True
        if answer.refused and len(events) > 1:
            line.alone, line.due_ms = True, 0
            return False
        if answer.refused:
            line.refusals += 1
            if line.refusals >= _REFUSALS_MOST:
                self._leave_out(line, events[0], answer.error)
                return True
        self._fail(line, answer)
        return False

    def _advance(self, line: _Line, event_id: int) -> None:
        with self._database.begin() as transaction:
            transaction.execute(_SQL["move_cursor"], target=line.key, event_id=event_id)
        line.cursor = event_id

    def _leave_out(self, line: _Line, event: Mapping[str, Any], error: str) -> None:
        told = f"The webhook {line.target.name} refused an alert {_REFUSALS_MOST} times ({error}): {event['summary']}"
        self._timeline.append(
            "alert.undelivered",
            told if len(told) <= SUMMARY_MAX else told[: SUMMARY_MAX - 1] + "…",
            service=event["service"],
            data={"target": line.target.name, "event": event["id"], "error": error},
            key=f"alert.undelivered {event['id']} {line.key}",
        )
        self._advance(line, int(event["id"]))
        line.refusals, line.failures, line.error = 0, 0, ""

    def _fail(self, line: _Line, answer: Answer) -> None:
        if not line.failures:
            log.warning("the webhook %s does not take alerts: %s", line.target.name, answer.error)
        line.failures += 1
        line.error = answer.error
        wait_s = min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** min(line.failures - 1, 20))
        wait_s = max(answer.retry_after_s, wait_s * random.uniform(0.8, 1.0))
        line.due_ms = self._clock.now_ms() + round(1000 * wait_s)
