"""Keeps heartbeats: which are expected, when each was heard last, and the alert of one that is late.

A ping is on disk when `ping` returns. An alert is in the alert book before a row says that its heartbeat is missed, so
a crash in between tells it again instead of never. After a start, and after the clock jumped, everything has its grace:
nothing could be heard meanwhile. Instants are Unix milliseconds.
"""

from __future__ import annotations

import hmac
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from setpoint.alert.heartbeat.spec import Expect, Heartbeat, HeartbeatSpec
from setpoint.alert.model import Alert
from setpoint.clock import Clock
from setpoint.database import StateDatabase, load_queries
from setpoint.errors import Forbidden, NotFound, SetpointError
from setpoint.resource import Document
from setpoint.resource.duration import duration_ms, shown_duration
from setpoint.timeline import Timeline

__all__ = ["MISSED", "RETURNED", "Heard", "HeartbeatBook"]

log = logging.getLogger(__name__)

MISSED, RETURNED = "heartbeat.missed", "heartbeat.returned"
SOURCE: Final = "heartbeat"
_SQL = load_queries("setpoint.alert.heartbeat")
_LOOK_S = 1.0
_JUMP_MS = 60_000


class _Book(Protocol):
    """`dispatch.AlertBook`."""

    def receive(self, alerts: Sequence[Alert]) -> None: ...
    def reconcile(self, source: str, keep: Collection[str], at_ms: int) -> None: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """How an expected heartbeat does: `state` is waiting (never heard), up or missed, since `since_ms`."""

    name: str
    state: str
    since_ms: int
    last_ms: int | None
    due_ms: int


class HeartbeatBook:
    """See above; safe to use from several threads."""

    def __init__(
        self,
        database: StateDatabase,
        timeline: Timeline,
        clock: Clock,
        book: _Book,
        *,
        external_url: str = "",
        read_secret: Callable[[str], str],
    ) -> None:
        self._database, self._timeline, self._clock, self._book = database, timeline, clock, book
        self._external_url, self._read_secret = external_url, read_secret
        self._guard = threading.Lock()
        self._specs: dict[str, HeartbeatSpec] = {}
        self._last_ms: int | None = None
        self._is_followed = False
        self._must_take = False
        self._is_late = False

    @property
    def specs(self) -> dict[str, HeartbeatSpec]:
        """Every heartbeat that is declared, by name."""
        return dict(sorted(self._specs.items()))

    def follow(self, documents: Sequence[Document]) -> None:
        """Take over the heartbeats among all documents; the next step brings the rows to it."""
        self._specs = {one.name: one.spec.spec for one in documents if isinstance(one.spec, Heartbeat)}
        self._must_take = self._is_followed = True

    def heard(self) -> dict[str, Heard]:
        """How the expected ones do, by name. Raises Unavailable."""
        with self._database.read() as transaction:
            rows = transaction.rows(_SQL["heartbeats"])
        return {row["name"]: Heard(**row) for row in rows}

    def admit(self, name: str, key: str, *, trusted: bool) -> None:
        """Let a ping in, by who is known to the server (`trusted`) or by the heartbeat's own key. Raises NotFound,
        Forbidden.
        """
        if trusted:
            self._expected(name)
            return
        spec = self._specs.get(name)
        expect = spec.expect if spec else None
        own = self._read_secret(expect.key_file) if expect and expect.key_file else ""
        if not own or not hmac.compare_digest(own.encode(), key.encode("utf-8", "replace")):
            # Who is unknown does not learn which names there are.
            raise Forbidden(
                "send a token as 'Authorization: Bearer TOKEN', or ?key= with the key of the heartbeat"
            )

    def ping(self, name: str) -> Heard:
        """It was heard. Raises NotFound, and Unavailable when that could not be stored."""
        with self._guard:
            return self._ping(name)

    def _ping(self, name: str) -> Heard:
        expect = self._expected(name)
        now_ms = self._clock.now_ms()
        due_ms = now_ms + _allowed_ms(expect)
        before = self.heard().get(name)
        if before is not None and before.state == "missed":
            self._book.receive([self._alert(name, expect, before, ends_ms=now_ms)])
        with self._database.begin() as transaction:
            transaction.execute(_SQL["add_heartbeat"], name=name, at_ms=now_ms, due_ms=due_ms)
            transaction.execute(_SQL["ping_heartbeat"], name=name, at_ms=now_ms, due_ms=due_ms)
            events = []
            if before is not None and before.state == "missed":
                silent = shown_duration(max(0, now_ms - before.since_ms) // 1000 * 1000)
                told = f"{name} is heard again, after {silent} of alarm"
                data = {"heartbeat": name, "since_ms": before.since_ms}
                events.append(
                    self._timeline.record(transaction, RETURNED, told, service=expect.service, data=data)
                )
        self._timeline.publish(events)
        return self.heard()[name]

    def step(self) -> None:
        """Look for what is late. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        if not self._is_followed:
            return
        has_waited = self._last_ms is not None and 0 <= now_ms - self._last_ms < _JUMP_MS
        if self._must_take or not has_waited:
            self._take(now_ms, has_waited=has_waited)
        self._last_ms = now_ms
        for name, one in self.heard().items():
            spec = self._specs.get(name)
            if spec is None or spec.expect is None or one.state == "missed" or one.due_ms > now_ms:
                continue
            with self._guard:
                self._miss(name, spec.expect, one, now_ms)

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set; the body of the heartbeats' thread."""
        while not stop.is_set():
            try:
                self.step()
                self._is_late = False
            except SetpointError as error:
                if not self._is_late:  # once, not every second
                    log.warning("heartbeats are not looked at: %s", error.message)
                self._is_late = True
            except Exception:  # the loop must outlive any fault: nobody would be told any more
                log.exception("a look at heartbeats failed; the next one tries again")
            self._clock.wait(stop, _LOOK_S)

    def _take(self, now_ms: int, *, has_waited: bool) -> None:
        """Bring the rows to what is declared, and the alert book to the rows; what was due while nothing could be heard
        has its grace.
        """
        self._must_take = False
        rows = self.heard()
        expected = {name: one.expect for name, one in self._specs.items() if one.expect is not None}
        gone = rows.keys() - expected.keys()
        with self._database.begin() as transaction:
            for name, expect in expected.items():
                row = rows.get(name)
                if row is None:
                    due_ms = now_ms + _allowed_ms(expect)
                    transaction.execute(_SQL["add_heartbeat"], name=name, at_ms=now_ms, due_ms=due_ms)
                    continue
                since_ms = row.since_ms if row.last_ms is None else row.last_ms
                due_ms = min(since_ms, now_ms) + _allowed_ms(expect)
                if not has_waited:
                    due_ms = max(due_ms, now_ms + duration_ms(expect.grace))
                elif row.due_ms > due_ms:  # a grace that was given stays
                    due_ms = min(row.due_ms, now_ms + _allowed_ms(expect))
                transaction.execute(_SQL["move_heartbeat"], name=name, due_ms=due_ms, before_ms=row.due_ms)
            for name in gone:
                transaction.execute(_SQL["drop_heartbeat"], name=name)
        missed = [
            self._alert(name, expected[name], row)
            for name, row in rows.items()
            if row.state == "missed" and name in expected
        ]
        self._book.receive(missed)
        self._book.reconcile(SOURCE, {one.fingerprint for one in missed}, now_ms)

    def _miss(self, name: str, expect: Expect, one: Heard, now_ms: int) -> None:
        self._book.receive([self._alert(name, expect, one, starts_ms=now_ms)])
        event = None
        with self._database.begin() as transaction:
            if transaction.execute(_SQL["miss_heartbeat"], name=name, at_ms=now_ms, due_ms=one.due_ms):
                event = self._timeline.record(
                    transaction,
                    MISSED,
                    _summary(name, expect, one),
                    service=expect.service,
                    data={"heartbeat": name, "last_ms": one.last_ms, "due_ms": one.due_ms},
                )
        if event is not None:
            self._timeline.publish([event])
        elif (now := self.heard().get(name)) is None or now.state == "up":
            # Another server heard it meanwhile; where that one was first to miss it, the alert stays.
            self._book.receive([self._alert(name, expect, one, starts_ms=now_ms, ends_ms=now_ms)])

    def _alert(
        self,
        name: str,
        expect: Expect,
        one: Heard,
        *,
        starts_ms: int | None = None,
        ends_ms: int | None = None,
    ) -> Alert:
        labels = {
            "alertname": "HeartbeatMissed",
            "heartbeat": name,
            "service": expect.service,
            "severity": expect.severity,
        }
        notes = {
            "summary": expect.summary or _summary(name, expect, one),
            "description": _summary(name, expect, one),
            "runbook_url": expect.runbook or "",
        }
        now_ms = self._clock.now_ms()
        return Alert(
            {key: value for key, value in labels.items() if value},
            one.since_ms if starts_ms is None else starts_ms,
            now_ms,
            ends_ms,
            {key: value for key, value in notes.items() if value},
            f"{self._external_url}/heartbeats",
            source=SOURCE,
        )

    def _expected(self, name: str) -> Expect:
        spec = self._specs.get(name)
        if spec is None or spec.expect is None:
            raise NotFound(
                f"there is no Heartbeat '{name[:80]}' that is expected; apply one, or correct the address"
            )
        return spec.expect


def _allowed_ms(expect: Expect) -> int:
    return duration_ms(expect.every) + duration_ms(expect.grace)


def _summary(name: str, expect: Expect, one: Heard) -> str:
    if one.last_ms is None:
        return f"{name} was never heard; it reports every {expect.every}, and has {expect.grace} of grace"
    return f"{name} was not heard in time; it reports every {expect.every}, and has {expect.grace} of grace"


def as_json(spec: HeartbeatSpec, one: Heard | None) -> dict[str, Any]:
    """An expected heartbeat for the API."""
    assert spec.expect is not None
    return {
        "every": spec.expect.every,
        "grace": spec.expect.grace,
        "service": spec.expect.service,
        "severity": spec.expect.severity,
        "state": "waiting" if one is None else one.state,
        "since_ms": None if one is None else one.since_ms,
        "last_ms": None if one is None else one.last_ms,
        "due_ms": None if one is None else one.due_ms,
    }
