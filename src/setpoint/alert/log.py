"""Puts changes of alerts on the timeline, and remembers which alerts are open, in one transaction.

The objective book calls `record` in its tick; a thread of its own writes, so that ten thousand alerts at once, or a
state database that does not answer, never hold up the evaluation. What is not written yet waits in memory and is tried
again; when Setpoint dies before, the alert is not open in the database, so it fires again after the start. `open` is
what the book goes on with then.

Only this module writes events of the kinds `alert.fired` and `alert.resolved`, under a lock (which who tells what a
policy does holds, too), so their ids grow in the order in which they can be read: `notices` follows them with a cursor.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from setpoint.alert.from_objective import AlertChange, OpenAlert, Target, spoken_duration
from setpoint.alert.target import entry_of
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction, load_queries
from setpoint.errors import SetpointError
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["FIRED", "LOCK", "RESOLVED", "AlertLog"]

log = logging.getLogger(__name__)

FIRED, RESOLVED = "alert.fired", "alert.resolved"
LOCK = "alerts"
"""Held while an event of an alert is written, and while a new target's place among them is chosen."""

_SQL = load_queries("setpoint.alert")
_AT_ONCE = 200
_RETRY_S = 2.0


class AlertLog:
    """Writes what alerts do; safe to use from several threads."""

    def __init__(self, database: StateDatabase, timeline: Timeline, clock: Clock) -> None:
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self._waiting: deque[AlertChange] = deque()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._is_late = False

    def record(self, changes: Sequence[AlertChange]) -> None:
        """Take changes to be written soon; never raises."""
        if changes:
            self._waiting.extend(changes)
            self._wake.set()

    def open(self) -> list[OpenAlert]:
        """The alerts that are firing, as far as they are written. Raises Unavailable."""
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["open_alerts"])
        return [_open(row) for row in rows]

    def run(self, stop: threading.Event) -> None:
        """Write until `stop` is set, then what still waits; the body of the log's thread."""
        while not stop.is_set():
            self._clock.wait(self._wake, 1.0)
            self._wake.clear()
            if not self.flush():
                self._clock.wait(stop, _RETRY_S)
        self.flush()

    def flush(self) -> bool:
        """Write what waits; False when the state database did not take it."""
        with self._writing:
            while self._waiting:
                part = [self._waiting[at] for at in range(min(_AT_ONCE, len(self._waiting)))]
                if not self._write(part):
                    return False
                for _ in part:
                    self._waiting.popleft()
        return True

    def _write(self, changes: Sequence[AlertChange]) -> bool:
        try:
            with self._database.begin() as transaction:
                transaction.lock(LOCK)
                events = [event for change in changes for event in self._add(transaction, change)]
        except SetpointError as error:
            if error.retryable:
                if not self._is_late:  # once, not every second
                    log.warning("changes of alerts wait to be stored: %s", error.message)
                self._is_late = True
                return False
            if len(changes) > 1:
                return all(self._write([change]) for change in changes)
            log.error("the alert %s of %s is not stored: %s", changes[0].policy, changes[0].objective, error)
            return True
        self._is_late = False
        self._timeline.publish(events)
        return True

    def _add(self, transaction: Transaction, change: AlertChange) -> Iterator[Event]:
        """The event of a change; none when it stands there already (the answer to its commit was lost)."""
        key = {"objective": change.objective, "policy": change.policy}
        known = transaction.row(_SQL["open_event_id"], **key)
        if change.state == "resolved" and known is None:
            return
        if change.state != "resolved" and known is not None:
            return
        event = self._timeline.record(
            transaction,
            RESOLVED if change.state == "resolved" else FIRED,
            summary_of(change),
            service=change.service,
            at_ms=change.at_ms,
            data=_data(change, None if known is None else int(known["event_id"])),
        )
        if change.state == "resolved":
            transaction.execute(_SQL["close_alert"], **key)
        else:
            transaction.execute(_SQL["open_alert"], **key, event_id=event.id)
        yield event


def summary_of(change: AlertChange) -> str:
    """One line: who, what, why."""
    if change.state == "resolved":
        lasted = spoken_duration((change.at_ms - change.since_ms) / 1000)
        told = f"{change.objective}: {change.policy} resolved after {lasted}: {change.summary}"
    else:
        told = f"{change.objective}: {change.policy} fires ({change.severity}): {change.summary}"
    return told if len(told) <= SUMMARY_MAX else told[: SUMMARY_MAX - 1] + "…"


def _data(change: AlertChange, fired_event: int | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "objective": change.objective,
        "policy": change.policy,
        "severity": change.severity,
        "state": change.state,
        "since_ms": change.since_ms,
        "reason": change.summary,
        "values": dict(change.values),
        "display_name": change.display_name,
        "policy_display_name": change.policy_display_name,
        "labels": {name: list(values) for name, values in change.labels.items()},
        "targets": [entry_of(target) for target in change.targets] if change.is_told else [],
        "is_default": change.is_default,
        "annotations": dict(change.annotations),
    }
    if fired_event is not None:
        data["fired_event"] = fired_event
    return data


def _open(row: dict[str, Any]) -> OpenAlert:
    data = json.loads(row["data"])
    return OpenAlert(
        objective=data["objective"],
        service=row["service"],
        policy=data["policy"],
        severity=data["severity"],
        since_ms=int(data["since_ms"]),
        is_no_data=data["state"] == "no data",
        targets=tuple(Target(one["name"], one["kind"]) for one in data["targets"]),
    )
