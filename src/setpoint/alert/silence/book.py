"""The silences there are: posted, changed and ended as in Alertmanager, and kept through a restart.

The API, the page and the command line post; the dispatcher asks `mutes` of every alert in a flush. All silences are in
memory; a change is a row first. Rows carry a version that grows with each change, by which replicas that share a state
database read what the others wrote (`refresh`).
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from setpoint.alert.model import Alert, Labels
from setpoint.alert.route.matcher import Matcher, matches_all, shown_matchers
from setpoint.alert.silence.check import can_update, refuse_invalid
from setpoint.alert.silence.index import SilenceIndex
from setpoint.alert.silence.model import Silence
from setpoint.alert.silence.rows import event_data, row_of, silence_of_row
from setpoint.clock import Clock
from setpoint.database import StateDatabase, Transaction, load_queries
from setpoint.errors import NotFound, SetpointError
from setpoint.timeline import SUMMARY_MAX, Event, Timeline

__all__ = ["KEPT_MS", "SilenceBook"]

log = logging.getLogger(__name__)

KEPT_MS = 120 * 3_600_000
"""How long a silence is kept after its end, as by Alertmanager's default."""

_SQL = load_queries("setpoint.alert.silence")
_LOCK = "silences"
_TEND_S = 5.0
_CLEAN_MS = 3_600_000

_Written = tuple[int, Silence, Event]
"""A silence with the version of its row and the event that tells of it."""


class SilenceBook:
    """Safe to use from several threads."""

    def __init__(self, database: StateDatabase, timeline: Timeline, clock: Clock) -> None:
        """Read what is kept. Raises Unavailable."""
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self._lock = threading.Lock()
        self._silences: dict[str, Silence] = {}
        self._versions: dict[str, int] = {}
        self._index = SilenceIndex()
        self._seen = 0
        self._told_ms = 0
        self._cleaned_ms = 0
        self.version = 0
        self.refresh()

    def post(self, silence: Silence, *, actor: str | None = None) -> str:
        """Add a silence (empty id), or change the one of its id, and return its id, which is a new one when the change
        cannot be made in place. Raises InvalidInput, NotFound, Unavailable.
        """
        now_ms = self._clock.now_ms()
        refuse_invalid(silence, now_ms)
        by = actor or silence.created_by.strip() or "setpoint"
        with self._database.begin() as transaction:
            transaction.lock(_LOCK)
            self._read(transaction)
            old = self._silences.get(silence.id)
            if silence.id and old is None:
                raise NotFound(f"silence {silence.id[:80]} not found; leave the id out to add a new one")
            written = []
            if old is not None and can_update(old, silence, now_ms):
                posted = replace(silence, updated_ms=now_ms)
                written.append(self._put(transaction, posted, "silence.changed", by))
            else:
                starts_ms = max(silence.starts_ms, now_ms)
                posted = replace(silence, id=str(uuid.uuid4()), starts_ms=starts_ms, updated_ms=now_ms)
                if old is not None and now_ms < old.ends_ms:
                    written.append(self._put(transaction, _ended(old, now_ms), "silence.expired", by))
                written.append(self._put(transaction, posted, "silence.created", by))
        self._commit(written)
        return posted.id

    def expire(self, silence_id: str, *, actor: str | None = None) -> None:
        """End a silence now; one that ended already stays as it is. Raises NotFound, Unavailable."""
        now_ms = self._clock.now_ms()
        with self._database.begin() as transaction:
            transaction.lock(_LOCK)
            self._read(transaction)
            old = self._silences.get(silence_id)
            if old is None:
                raise NotFound(
                    f"silence {silence_id[:80]} not found; `setpoint silence list` shows those there are"
                )
            if now_ms >= old.ends_ms:
                return
            written = [self._put(transaction, _ended(old, now_ms), "silence.expired", actor or "setpoint")]
        self._commit(written)

    def all(self) -> list[Silence]:
        """Every silence, ended ones that are kept included; the one that was changed last comes last."""
        with self._lock:
            return sorted(self._silences.values(), key=lambda one: (one.updated_ms, one.id))

    def get(self, silence_id: str) -> Silence | None:
        """One silence; None when there is none of this id."""
        with self._lock:
            return self._silences.get(silence_id)

    def mutes(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """The ids of the silences that match labels and are active at an instant, sorted."""
        return tuple(one.id for one in self._index.matching(labels) if one.is_active(at_ms))

    def preview(self, matchers: Sequence[Matcher], alerts: Iterable[Alert]) -> list[Alert]:
        """Which of `alerts` a silence with these matchers mutes."""
        return [one for one in alerts if matches_all(matchers, one.labels)]

    def next_change_ms(self, at_ms: int) -> int | None:
        """The first instant after `at_ms` at which a silence begins or ends to mute; None when none ever does."""
        with self._lock:
            silences = [one for one in self._silences.values() if one.ends_ms > at_ms]
        found = [change for one in silences if (change := one.next_change_ms(at_ms)) is not None]
        return min(found, default=None)

    def refresh(self) -> bool:
        """Read what others wrote since; whether anything was. Raises Unavailable."""
        with self._database.read() as transaction:
            return self._read(transaction)

    def tend(self) -> None:
        """Tell of silences that ended by themselves, read what others wrote, and drop what ended long ago. Raises
        Unavailable.
        """
        now_ms = self._clock.now_ms()
        self.refresh()
        with self._lock:
            ended = [one for one in self._silences.values() if self._told_ms < one.ends_ms <= now_ms]
        for one in ended:
            if one.ends_ms != one.updated_ms:  # that somebody ended it now was told then
                self._timeline.append(
                    "silence.expired",
                    _summary("silence.expired", one),
                    service=_service(one),
                    data=event_data(one),
                    at_ms=one.ends_ms,
                    key=f"silence-expired-{one.id}-{one.ends_ms}",
                )
        self._told_ms = now_ms
        if abs(now_ms - self._cleaned_ms) >= _CLEAN_MS:
            self._clean(now_ms)

    def run(self, stop: threading.Event) -> None:
        """Tend until `stop` is set; the body of the silences' thread."""
        while not stop.is_set():
            try:
                self.tend()
            except SetpointError as error:
                log.warning("silences were not looked after: %s", error.message)
            self._clock.wait(stop, _TEND_S)

    def _clean(self, now_ms: int) -> None:
        before = now_ms - KEPT_MS
        with self._database.begin() as transaction:
            transaction.execute(_SQL["drop_silences_before"], ends_ms=before)
        with self._lock:
            old = [one.id for one in self._silences.values() if one.ends_ms < before]
            for one in old:
                del self._silences[one], self._versions[one]
            self._index.put((), old)
        self._cleaned_ms = now_ms

    def _put(self, transaction: Transaction, silence: Silence, kind: str, actor: str) -> _Written:
        newest = transaction.row(_SQL["newest_version"])
        version = int(newest["version"] if newest else 0) + 1
        transaction.execute(_SQL["put_silence"], **row_of(silence), version=version)
        event = self._timeline.record(
            transaction,
            kind,
            _summary(kind, silence),
            service=_service(silence),
            actor=actor[:255],
            data=event_data(silence),
            at_ms=silence.updated_ms,
        )
        return version, silence, event

    def _commit(self, written: Sequence[_Written]) -> None:
        """Take over what is stored."""
        self._take((version, silence) for version, silence, _ in written)
        self._timeline.publish([event for _, _, event in written])

    def _read(self, transaction: Transaction) -> bool:
        rows = transaction.rows(_SQL["silences_after"], version=self._seen)
        if not rows:
            return False
        self._seen = max(self._seen, int(rows[-1]["version"]))
        return self._take((int(row["version"]), silence_of_row(row)) for row in rows)

    def _take(self, versions: Iterable[tuple[int, Silence]]) -> bool:
        """Take what is newer than what is known: two threads may have read one after the other wrote."""
        with self._lock:
            new = [(version, one) for version, one in versions if self._versions.get(one.id, 0) < version]
            for version, one in new:
                self._versions[one.id] = version
                self._silences[one.id] = one
            self._index.put(one for _, one in new)
            self.version += bool(new)
        return bool(new)


def _ended(silence: Silence, now_ms: int) -> Silence:
    """A silence that somebody ends; one that did not begin yet never was."""
    starts_ms = min(silence.starts_ms, now_ms)
    return replace(silence, starts_ms=starts_ms, ends_ms=now_ms, updated_ms=now_ms)


def _service(silence: Silence) -> str:
    """The service that a silence is about, if it is about one."""
    found = [one.value for one in silence.matchers if one.name == "service" and one.kind == "="]
    return found[0][:255] if len(found) == 1 and found[0].strip() else ""


def _summary(kind: str, silence: Silence) -> str:
    """One line: what is silenced until when, and why."""
    until = datetime.fromtimestamp(silence.ends_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    word = {
        "silence.created": "silenced",
        "silence.changed": "silence changed:",
        "silence.expired": "silence ended:",
    }
    told = f"{word[kind]} {shown_matchers(silence.matchers)}"
    if kind != "silence.expired":
        told += f" until {until}" + (", again and again" if silence.recurrence is not None else "")
    if silence.comment.strip():
        told += f": {' '.join(silence.comment.split())}"
    return told if len(told) <= SUMMARY_MAX else told[: SUMMARY_MAX - 1] + "…"
