"""The timeline: append, query, subscribe. `app` makes one and hands it to every part that tells something.

Append is safe to repeat: an event with the `key` of an earlier one adds nothing, so a sender that did not
hear the answer sends again. A part that must tell of a change exactly when the change is stored
(`resource.store`) writes both in one transaction with `record`, and calls `publish` after its commit.
Subscribers run in the thread that appended, after the commit, so they must be quick; one that fails is logged
and harms nobody.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction, load_queries
from setpoint.errors import InvalidInput, Problem, SetpointError
from setpoint.timeline.model import Event

__all__ = ["LIMIT_MAX", "SUMMARY_MAX", "Timeline"]

log = logging.getLogger(__name__)

LIMIT_MAX = 1000
"""Most events that one query returns."""

SUMMARY_MAX = 1000
"""Most characters of an event's summary."""

_SQL = load_queries("setpoint.timeline")
_KIND = re.compile(r"[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*", re.ASCII)
_AT_MS_MAX = 253_402_300_799_999  # the end of the year 9999, the last that RFC 3339 can write
_LENGTHS = {"kind": 100, "service": 255, "actor": 255, "summary": SUMMARY_MAX, "key": 500}
_DATA_BYTES_MAX = 256 << 10


class Timeline:
    """The events of one state database; safe to use from several threads."""

    def __init__(self, database: StateDatabase, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._subscribers: tuple[Callable[[Event], None], ...] = ()
        self._guard = threading.Lock()

    def append(
        self,
        kind: str,
        summary: str,
        *,
        service: str = "",
        actor: str = "setpoint",
        data: Mapping[str, Any] | None = None,
        at_ms: int | None = None,
        key: str | None = None,
    ) -> Event:
        """Store an event, tell the subscribers, and return it; `at_ms` (Unix milliseconds) defaults to now.

        When an event with this `key` exists, that one is returned and nothing is added or told. Raises
        InvalidInput with every fault of what was given, and Unavailable when the event could not be stored.
        """
        with self._database.begin() as transaction:
            event, is_new = self._insert(
                transaction, kind, summary, service=service, actor=actor, data=data, at_ms=at_ms, key=key
            )
        if is_new:
            self.publish([event])
        return event

    def record(
        self,
        transaction: Transaction,
        kind: str,
        summary: str,
        *,
        service: str = "",
        actor: str = "setpoint",
        data: Mapping[str, Any] | None = None,
        at_ms: int | None = None,
    ) -> Event:
        """Store an event in the caller's transaction; call `publish` with it once that is committed."""
        event, _ = self._insert(
            transaction, kind, summary, service=service, actor=actor, data=data, at_ms=at_ms, key=None
        )
        return event

    def record_once(
        self,
        transaction: Transaction,
        kind: str,
        summary: str,
        *,
        key: str,
        service: str = "",
        data: Mapping[str, Any] | None = None,
        at_ms: int | None = None,
    ) -> Event | None:
        """As `record`; None, and nothing is stored, when there is an event with this `key`."""
        event, is_new = self._insert(
            transaction, kind, summary, service=service, actor="setpoint", data=data, at_ms=at_ms, key=key
        )
        return event if is_new else None

    def publish(self, events: Sequence[Event]) -> None:
        """Tell every subscriber of `events`, which must be committed."""
        for event in events:
            for subscriber in self._subscribers:
                try:
                    subscriber(event)
                except Exception:  # it is stored: who listens cannot undo that, nor keep others from it
                    log.exception("a subscriber failed on event %d (%s); it is stored", event.id, event.kind)

    def subscribe(self, subscriber: Callable[[Event], None]) -> Callable[[], None]:
        """Call `subscriber` with every event from now on; returns the function that ends this."""
        with self._guard:
            self._subscribers = (*self._subscribers, subscriber)

        def unsubscribe() -> None:
            with self._guard:
                self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

        return unsubscribe

    def query(
        self,
        service: str | None = None,
        kinds: Sequence[str] | None = None,
        *,
        since_ms: int | None = None,
        until_ms: int | None = None,
        before_id: int | None = None,
        limit: int = 100,
        actor: str | None = None,
        only_changes: bool = False,
    ) -> list[Event]:
        """At most `limit` events, newest first by `at_ms`, of the instants in (`since_ms`, `until_ms`].

        `before_id` is the id of the last event of the page before; an id that does not exist gives an empty
        page. `kinds` given but empty gives no event. `only_changes` leaves out what Setpoint itself found out, decided
        and did. Raises InvalidInput when a number is out of its range.
        """
        if not 1 <= limit <= LIMIT_MAX:
            raise InvalidInput(f"limit is {limit}; write a number from 1 to {LIMIT_MAX}")
        parameters: dict[str, Any] = {"limit": limit}
        parts = [_SQL["list_events"]]
        for name, value, part in (
            ("service", service, "of_service"),
            ("actor", actor, "of_actor"),
            ("since_ms", since_ms, "after"),
            ("until_ms", until_ms, "up_to"),
            ("before_id", before_id, "before_event"),
        ):
            if value is None:
                continue
            if isinstance(value, int) and abs(value) >= 1 << 63:
                raise InvalidInput(f"{name} is out of range; write Unix milliseconds or the id of an event")
            if isinstance(value, str) and not _is_storable(value):
                return []
            parts.append(_SQL[part])
            parameters[name] = value
        if only_changes:
            parts.append(_SQL["changes"])
        if kinds is not None:
            named = {f"kind_{number}": kind for number, kind in enumerate(kinds) if _is_storable(kind)}
            if not named:
                return []
            parts.append(_SQL["of_kinds"].replace(":kinds", ", ".join(f":{name}" for name in named)))
            parameters |= named
        statement = "\n".join([*parts, _SQL["newest_first"]])
        with self._database.read() as transaction:
            return [_event(row) for row in transaction.rows(statement, **parameters)]

    def event(self, event_id: int) -> Event | None:
        """One event; None when there is none of this id."""
        if abs(event_id) >= 1 << 63:
            return None
        with self._database.read() as transaction:
            row = transaction.row(_SQL["event_of_id"], id=event_id)
        return None if row is None else _event(row)

    def _insert(
        self,
        transaction: Transaction,
        kind: str,
        summary: str,
        *,
        service: str,
        actor: str,
        data: Mapping[str, Any] | None,
        at_ms: int | None,
        key: str | None,
    ) -> tuple[Event, bool]:
        at_ms = self._clock.now_ms() if at_ms is None else at_ms
        texts = {"kind": kind, "summary": summary, "service": service, "actor": actor, "key": key}
        encoded = _checked(texts, at_ms, data or {})
        added = transaction.row(_SQL["append_event"], **texts, at_ms=at_ms, data=encoded)
        if added is not None:
            return Event(added["id"], at_ms, kind, service, actor, summary, json.loads(encoded), key), True
        first = transaction.row(_SQL["event_of_key"], key=key)
        if first is None:
            raise SetpointError("the timeline refused an event without saying why; report this")
        return _event(first), False


def _event(row: Mapping[str, Any]) -> Event:
    return Event(**{**row, "data": json.loads(row["data"])})


def _checked(texts: Mapping[str, str | None], at_ms: int, data: Mapping[str, Any]) -> str:
    """`data` as JSON; raises InvalidInput with every fault of the event."""
    problems = []
    for name, text in texts.items():
        if text is None:
            continue
        if not text.strip() and name != "service":
            problems.append(Problem("is empty; write some text", path=name))
        elif len(text) > _LENGTHS[name]:
            problems.append(Problem(f"has {len(text)} characters; write at most {_LENGTHS[name]}", path=name))
        elif not _is_storable(text):
            problems.append(
                Problem("holds a character that is no text (NUL or half a pair); remove it", path=name)
            )
        elif name == "kind" and not _KIND.fullmatch(text):
            problems.append(
                Problem(f"'{text}' is no kind; write lower-case words with dots, such as deploy", path=name)
            )
    if not 0 <= at_ms <= _AT_MS_MAX:
        problems.append(Problem(f"{at_ms} is no instant; write Unix milliseconds", path="at"))
    encoded = ""
    try:
        encoded = json.dumps(data, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        problems.append(
            Problem(f"cannot be written as JSON ({error}); use text, numbers, lists, maps", path="data")
        )
    if len(encoded) > _DATA_BYTES_MAX:
        problems.append(
            Problem(f"has {len(encoded)} bytes as JSON; write at most {_DATA_BYTES_MAX}", path="data")
        )
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return encoded


def _is_storable(text: str) -> bool:
    """False for what no database stores as text: NUL, and halves of surrogate pairs."""
    return "\0" not in text and not any("\ud800" <= letter <= "\udfff" for letter in text)
