"""Hands what objectives and policies do to the alert book: from the timeline, in order, each at least once.

The events are stored in the transaction in which an alert fires or a rule comes into force, so nothing is lost between
them and the book: a cursor in the state database says how far the book has them, and it moves after the book has stored
them. A crash in between hands those over again, which changes nothing.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from setpoint.alert.log import FIRED, LOCK, RESOLVED
from setpoint.alert.model import Alert
from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import SetpointError
from setpoint.timeline import Event, Timeline

__all__ = ["Notices", "alert_of"]

log = logging.getLogger(__name__)

NOTIFIED, LIFTED = "policy.notified", "policy.lifted"
KINDS: Final = (FIRED, RESOLVED, NOTIFIED, LIFTED)
_ENDS: Final = (RESOLVED, LIFTED)
_NUMBERS: Final = ("budget_left", "sli", "target", "exhaustion_s")
_SQL = load_queries("setpoint.alert")
_CURSOR = "alert book"
_AT_ONCE = 500
_LOOK_S, _LOOK_ANYWAY_MS = 1.0, 30_000


class _Book(Protocol):
    """`dispatch.AlertBook`."""

    def receive(self, alerts: Sequence[Alert]) -> None: ...
    def alerts(self) -> list[Alert]: ...


class Notices:
    """See above; `run` belongs to one thread."""

    def __init__(
        self, database: StateDatabase, timeline: Timeline, clock: Clock, book: _Book, external_url: str
    ) -> None:
        self._database, self._clock, self._book = database, clock, book
        self._external_url = external_url
        self._wake = threading.Event()
        self._must_look, self._looked_ms = True, 0
        self._is_late = False
        timeline.subscribe(self._hear)

    def run(self, stop: threading.Event) -> None:
        """Hand over until `stop` is set."""
        while not stop.is_set():
            self._wake.clear()
            try:
                self.step()
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("alerts of objectives wait: %s", error.message)
                self._is_late = self._must_look = True
            except Exception:  # the loop must outlive any fault: nobody would be told any more
                log.exception("a look at alerts of objectives failed; the next one tries again")
                self._must_look = True
            self._clock.wait(self._wake, _LOOK_S)

    def step(self) -> int:
        """Hand over what is new; gives how many events that were. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        if not self._must_look and 0 <= now_ms - self._looked_ms < _LOOK_ANYWAY_MS:
            return 0
        self._must_look, self._looked_ms = False, now_ms
        found = 0
        cursor = self._cursor()
        while True:
            with self._database.read() as transaction:
                rows = transaction.rows(_SQL["alert_events_after"], event_id=cursor, limit=_AT_ONCE)
            if not rows:
                return found
            self._hand_over(rows)
            cursor = int(rows[-1]["id"])
            with self._database.begin() as transaction:
                transaction.execute(_SQL["move_cursor"], target=_CURSOR, event_id=cursor)
            found += len(rows)

    def _cursor(self) -> int:
        """How far the book has them; at the first start with it, what webhooks were told of before it was there."""
        with self._database.begin() as transaction:
            transaction.lock(LOCK)
            cursors = {row["target"]: int(row["event_id"]) for row in transaction.rows(_SQL["cursors"])}
            if _CURSOR in cursors:
                return cursors[_CURSOR]
            newest = transaction.row(_SQL["newest_alert_event"])
            first = min(cursors.values(), default=int(newest["event_id"]) if newest else 0)
            transaction.execute(_SQL["add_cursor"], target=_CURSOR, name="", event_id=first)
            is_open = transaction.rows(_SQL["open_alerts"])
        # What fired before there was a book is in it from now on, so that its end is told.
        self._hand_over([{**row, "kind": FIRED} for row in is_open])
        return first

    def _hand_over(self, rows: Sequence[Mapping[str, Any]]) -> None:
        now_ms = self._clock.now_ms()
        firing = {_problem(one): one for one in self._book.alerts() if not one.is_resolved(now_ms)}
        changed: dict[tuple[str, ...], Alert] = {}
        for row in rows:
            event = {**row, "data": json.loads(row["data"])}
            if row["kind"].startswith("alert.") and "objective" not in event["data"]:
                continue  # of another source: the book itself wrote it
            alert = alert_of(event, self._external_url, now_ms)
            problem = _problem(alert)
            before = changed.get(problem) or firing.get(problem)
            if row["kind"] in _ENDS:
                if before is None:
                    if not alert.targets:
                        continue
                else:  # what its labels were when it fired names it
                    alert = _ended(before, alert)
            if problem in changed and changed[problem].ends_ms is not None and alert.ends_ms is None:
                self._book.receive([changed.pop(problem)])  # it ended and fired again: both are told
            changed[problem] = alert
        if changed:
            self._book.receive(list(changed.values()))

    def _hear(self, event: Event) -> None:
        if event.kind in KINDS:
            self._must_look = True
            self._wake.set()


def alert_of(event: Mapping[str, Any], external_url: str, now_ms: int) -> Alert:
    """The alert of an event of `KINDS` (a row of `alert_events_after`, `data` decoded)."""
    if event["kind"].startswith("policy."):
        return _policy(event, external_url, now_ms)
    data = event["data"]
    named = {name: ",".join(values) for name, values in data["labels"].items()}
    shown = data["display_name"] or data["objective"]
    return Alert(
        _without_empty(
            named
            | {
                "alertname": data["policy"],
                "objective": data["objective"],
                "service": event["service"],
                "severity": data["severity"],
            }
        ),
        int(data["since_ms"]),
        now_ms,
        int(event["at_ms"]) if event["kind"] in _ENDS else None,
        _without_empty(
            {"runbook_url": named.get("runbook_url", "")}
            | data.get("annotations", {})
            | {
                "summary": f"{shown}: {data['reason']}",
                "title": f"{shown}: {data['policy_display_name'] or data['policy']}",
            }
        ),
        f"{external_url}/objectives/{data['objective']}",
        source="objective",
        targets=tuple(one["key"] for one in data["targets"] if "key" in one),
        values={"state": data["state"], **data["values"]},
    )


def _policy(event: Mapping[str, Any], external_url: str, now_ms: int) -> Alert:
    """A rule of an error budget policy that is in force, or no longer."""
    data = event["data"]
    return Alert(
        _without_empty(
            {
                "alertname": data["policy"],
                "rule": data["rule"],
                "releases": data["releases"],
                "objective": data["objective"],
                "service": event["service"],
                "severity": "policy",
            }
        ),
        int(data["since_ms"]),
        now_ms,
        int(event["at_ms"]) if event["kind"] in _ENDS else None,
        _without_empty(
            {
                "summary": event["summary"],
                "description": data["reason"],
                "title": f"{event['service']}: {data['policy']}, {data['rule']}",
            }
        ),
        f"{external_url}/releases#s-{event['service']}",
        source="policy",
        targets=tuple(one["key"] for one in data["targets"] if "key" in one),
        values={name: data["numbers"][name] for name in _NUMBERS if data["numbers"]},
    )


def _problem(alert: Alert) -> tuple[str, ...]:
    """What stays the same from the beginning to the end of an alert, whatever labels were changed meanwhile."""
    labels = alert.labels
    if alert.source == "policy":
        return "policy", labels["alertname"], labels.get("rule", ""), labels.get("service", "")
    if alert.source == "objective":
        return "objective", labels.get("objective", ""), labels["alertname"]
    return ("", alert.fingerprint)


def _ended(before: Alert, end: Alert) -> Alert:
    return Alert(
        before.labels,
        before.starts_ms,
        end.updated_ms,
        end.ends_ms,
        {**before.annotations, **end.annotations},
        end.generator_url,
        source=before.source,
        # A policy that does not tell of ends (alertWhenResolved: false) names nobody.
        targets=tuple(dict.fromkeys((*before.targets, *end.targets))) if end.targets else (),
        values=end.values,
    )


def _without_empty(texts: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in texts.items() if value not in (None, "")}
