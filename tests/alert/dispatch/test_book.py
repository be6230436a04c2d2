"""The book of alerts on both databases: what is stored before `receive` returns, and what a restart finds."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from setpoint.alert.dispatch.book import GRACE_MS, AlertBook
from setpoint.alert.dispatch.tend import KEEP_MS, Tender
from setpoint.alert.model import Alert
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import Unavailable
from setpoint.timeline import Timeline
from tests.alert.dispatch.world import START_MS

TERM_MS = 240_000


def alert(name: str = "Down", *, at_ms: int = START_MS, term_ms: int | None = None, **fields: Any) -> Alert:
    """An alert that is told at an instant, as Prometheus tells it: it ends after a term unless it is told again."""
    fields.setdefault("starts_ms", START_MS)
    ends_ms = None if term_ms is None else at_ms + term_ms
    return Alert({"alertname": name, "service": "shop"}, updated_ms=at_ms, ends_ms=ends_ms, **fields)


def give_each(book: AlertBook, name: str, count: int) -> None:
    """Bring alerts one by one."""
    for index in range(count):
        book.receive([alert(f"{name}{index}")])


class Shelf:
    """A book that can be opened again, and counts what is written."""

    def __init__(self, database: StateDatabase) -> None:
        self.database = database
        self.clock = VirtualClock(START_MS)
        self.timeline = Timeline(database, self.clock)
        self.open()

    def open(self) -> None:
        self.book = AlertBook(self.database, self.clock)
        self.tender = Tender(self.book, self.timeline, self.clock)

    def events(self) -> list[tuple[str, str]]:
        found = self.timeline.query(kinds=["alert.fired", "alert.resolved"], limit=1000)
        return [(event.kind, event.data["labels"]["alertname"]) for event in reversed(found)]

    def seq(self) -> int:
        with self.database.read() as transaction:
            row = transaction.row("SELECT COALESCE(MAX(seq), 0) AS value FROM alerts")
        assert row is not None
        return int(row["value"])


@pytest.fixture
def shelf(state_database: StateDatabase) -> Shelf:
    return Shelf(state_database)


def test_what_was_received_is_there_after_a_restart(shelf: Shelf) -> None:
    given = [
        alert(
            "A",
            annotations={"summary": "ü \U0001f600 \0"},
            values={"burn": 14.4, "none": None},
            targets=("t",),
        ),
        alert(
            "B",
            term_ms=TERM_MS,
            generator_url="http://prometheus.example.org",
            is_timeout=True,
            source="rules",
        ),
    ]
    shelf.book.receive(given)
    shelf.open()
    assert sorted(shelf.book.alerts(), key=lambda one: one.name) == given
    assert shelf.book.get(given[0].fingerprint) == given[0]
    assert shelf.book.get("nothing") is None


def test_nothing_is_taken_of_what_cannot_be_stored(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.book.receive([alert("A")])

    def broken(**_: Any) -> Any:
        raise Unavailable("the test says so")

    monkeypatch.setattr(shelf.database, "begin", broken)
    heard: list[Alert] = []
    shelf.book.subscribe(heard.extend)
    with pytest.raises(Unavailable):
        shelf.book.receive([alert("B"), alert("A", at_ms=START_MS + 1, annotations={"a": "b"})])
    assert [one.name for one in shelf.book.alerts()] == ["A"]
    assert heard == []
    monkeypatch.undo()
    shelf.book.receive([alert("B")])
    assert [one.name for one in heard] == ["B"]


def test_one_that_the_database_refuses_does_not_keep_others_from_it(shelf: Shelf) -> None:
    """Two callers in one commit, one with what cannot be written."""
    bad = replace(alert("B"), values={"x": object()})  # type: ignore[dict-item]
    started, go = threading.Event(), threading.Event()
    failed: list[BaseException] = []

    def slow(_: Sequence[Alert]) -> None:
        started.set()
        go.wait(60)

    def give(one: Alert) -> None:
        try:
            shelf.book.receive([one])
        except TypeError as error:
            failed.append(error)

    shelf.book.subscribe(slow)
    first = threading.Thread(target=give, args=(alert("First"),))
    first.start()
    assert started.wait(60)
    others = [threading.Thread(target=give, args=(one,)) for one in (alert("A"), bad)]
    for thread in others:
        thread.start()
    while shelf.book._waiting < 2:
        threading.Event().wait(0.01)
    go.set()
    for thread in (first, *others):
        thread.join(60)
    assert len(failed) == 1
    assert {one.name for one in shelf.book.alerts()} == {"First", "A"}
    shelf.open()
    assert {one.name for one in shelf.book.alerts()} == {"First", "A"}


def test_who_waits_too_long_or_in_too_long_a_row_is_told_so(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("setpoint.alert.dispatch.book._PATIENCE_S", 0.05)
    monkeypatch.setattr("setpoint.alert.dispatch.book._WAITING_MOST", 2)
    started, go = threading.Event(), threading.Event()

    def slow(_: Sequence[Alert]) -> None:
        started.set()
        go.wait(60)

    shelf.book.subscribe(slow)
    first = threading.Thread(target=shelf.book.receive, args=([alert("First")],))
    first.start()
    assert started.wait(60)
    with pytest.raises(Unavailable, match="takes no alerts"):
        shelf.book.receive([alert("Late")])
    monkeypatch.setattr("setpoint.alert.dispatch.book._PATIENCE_S", 60)
    second = threading.Thread(target=give_each, args=(shelf.book, "second", 1))
    second.start()
    while not shelf.book._queue:
        threading.Event().wait(0.01)
    with pytest.raises(Unavailable, match="wait to be stored"):
        shelf.book.receive([alert("A"), alert("B")])
    go.set()
    first.join(60)
    second.join(60)
    assert {one.name for one in shelf.book.alerts()} == {"First", "second0"}


def test_callers_that_come_together_share_commits(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = [0]
    begin = shelf.database.begin

    def counted(**given: Any) -> Any:
        begun[0] += 1
        return begin(**given)

    monkeypatch.setattr(shelf.database, "begin", counted)
    threads = [
        threading.Thread(target=give_each, args=(shelf.book, f"{number}-", 20)) for number in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(shelf.book.alerts()) == 320
    assert begun[0] <= 320
    shelf.open()
    assert len(shelf.book.alerts()) == 320


def test_telling_again_that_it_fires_is_not_written_each_time(shelf: Shelf) -> None:
    shelf.book.receive([alert(term_ms=TERM_MS)])
    written = []
    for minute in range(1, 31):
        shelf.clock.advance(60)
        before = shelf.seq()
        shelf.book.receive([alert(at_ms=shelf.clock.now_ms(), term_ms=TERM_MS)])
        written.append(shelf.seq() - before)
        [now] = shelf.book.alerts()
        assert now.ends_ms == shelf.clock.now_ms() + TERM_MS
        stored = AlertBook(shelf.database, shelf.clock).alerts()[0]
        assert stored.ends_ms is not None
        assert stored.ends_ms - shelf.clock.now_ms() >= TERM_MS / 2, minute
    assert sum(written) <= 15


def test_a_row_says_at_any_instant_that_what_fires_fires(shelf: Shelf) -> None:
    """Senders that come at odd times: the sweep moves the end before it is reached."""
    shelf.book.receive([alert(term_ms=TERM_MS)])
    for pause_s in (60, 239, 1, 100, 200, 230, 5, 239):
        for _ in range(pause_s):
            shelf.clock.advance(1)
            shelf.tender.advance(shelf.clock.now_ms())
            stored = shelf.book.entries()[0].stored
            assert not stored.is_resolved(shelf.clock.now_ms())
        shelf.book.receive([alert(at_ms=shelf.clock.now_ms(), term_ms=TERM_MS)])


def test_what_fired_when_setpoint_died_still_fires_after_a_long_absence(shelf: Shelf) -> None:
    shelf.book.receive([alert("A", term_ms=TERM_MS), alert("B", term_ms=TERM_MS)])
    shelf.clock.advance(60)
    shelf.book.receive([replace(alert("B"), ends_ms=shelf.clock.now_ms(), updated_ms=shelf.clock.now_ms())])
    shelf.clock.advance(3600)
    shelf.open()
    states = {one.name: one.is_resolved(shelf.clock.now_ms()) for one in shelf.book.alerts()}
    assert states == {"A": False, "B": True}
    shelf.clock.advance(GRACE_MS / 1000 + 1)
    states = {one.name: one.is_resolved(shelf.clock.now_ms()) for one in shelf.book.alerts()}
    assert states == {"A": True, "B": True}


def test_what_had_ended_by_itself_before_a_restart_stays_ended(shelf: Shelf) -> None:
    shelf.book.receive([alert(term_ms=TERM_MS)])
    for _ in range(260):
        shelf.clock.advance(1)
        shelf.tender.advance(shelf.clock.now_ms())
    shelf.open()
    assert shelf.book.alerts()[0].is_resolved(shelf.clock.now_ms())


def test_the_timeline_is_told_once_of_each_beginning_and_end(shelf: Shelf) -> None:
    shelf.book.receive([alert("A"), alert("Own", source="objective")])
    shelf.tender.advance(START_MS)
    shelf.open()
    shelf.tender.advance(START_MS)
    assert shelf.events() == [("alert.fired", "A")]
    shelf.clock.advance(60)
    now_ms = shelf.clock.now_ms()
    shelf.book.receive([replace(alert("A", at_ms=now_ms), ends_ms=now_ms)])
    shelf.open()
    shelf.tender.advance(now_ms)
    shelf.tender.advance(now_ms)
    assert shelf.events() == [("alert.fired", "A"), ("alert.resolved", "A")]
    shelf.clock.advance(60)
    shelf.book.receive([alert("A", at_ms=shelf.clock.now_ms(), starts_ms=shelf.clock.now_ms())])
    shelf.tender.advance(shelf.clock.now_ms())
    assert shelf.events()[2:] == [("alert.fired", "A")]
    [event] = shelf.timeline.query(kinds=["alert.resolved"])
    assert event.service == "shop"
    assert event.summary == "A resolved after 1 min"
    assert event.data["fingerprint"] == alert("A").fingerprint


def test_a_crash_between_the_events_and_the_rows_tells_nothing_twice(shelf: Shelf) -> None:
    shelf.book.receive([alert("A")])
    shelf.tender.advance(START_MS)
    with shelf.database.begin() as transaction:
        transaction.execute("UPDATE alerts SET told = ''")
    shelf.open()
    shelf.tender.advance(START_MS)
    assert shelf.events() == [("alert.fired", "A")]


def test_what_ended_is_kept_for_a_while_and_then_dropped(shelf: Shelf) -> None:
    shelf.book.receive([alert("A"), replace(alert("B"), ends_ms=START_MS)])
    dropped: list[Alert] = []
    shelf.book.on_drop = dropped.extend
    for _ in range(KEEP_MS // 10_000 - 1):
        shelf.clock.advance(10)
        shelf.tender.advance(shelf.clock.now_ms())
        assert len(shelf.book.alerts()) == 2
    for _ in range(3):
        shelf.clock.advance(10)
        shelf.tender.advance(shelf.clock.now_ms())
    assert [one.name for one in shelf.book.alerts()] == ["A"]
    assert [one.name for one in dropped] == ["B"]
    shelf.open()
    assert [one.name for one in shelf.book.alerts()] == ["A"]


def test_a_source_that_starts_ends_what_it_does_not_know(shelf: Shelf) -> None:
    shelf.book.receive([alert("A", source="rules"), alert("B", source="rules"), alert("C")])
    shelf.clock.advance(10)
    shelf.book.reconcile("rules", [alert("A").fingerprint], shelf.clock.now_ms())
    states = {one.name: one.is_resolved(shelf.clock.now_ms()) for one in shelf.book.alerts()}
    assert states == {"A": False, "B": True, "C": False}


def test_what_is_told_after_the_clock_went_back_counts(shelf: Shelf) -> None:
    shelf.book.receive([alert("A", term_ms=TERM_MS), alert("B")])
    shelf.clock.advance(-100)
    now_ms = shelf.clock.now_ms()
    shelf.book.receive([replace(alert("B", at_ms=now_ms), ends_ms=now_ms)])
    assert {one.name: one.is_resolved(now_ms) for one in shelf.book.alerts()} == {"A": False, "B": True}
    shelf.tender.advance(now_ms)
    shelf.clock.advance(-3600)
    shelf.open()
    now_ms = shelf.clock.now_ms()
    states = {one.name: one.is_resolved(now_ms) for one in shelf.book.alerts()}
    assert states["A"] is False
    assert states["B"] is (not shelf.book.is_shared)


def test_an_end_in_the_future_may_come_sooner(shelf: Shelf) -> None:
    shelf.book.receive([alert(term_ms=10 * TERM_MS, is_timeout=True)])
    shelf.book.receive([alert(at_ms=START_MS + 1, term_ms=TERM_MS, is_timeout=True)])
    shelf.open()
    assert shelf.book.alerts()[0].ends_ms == START_MS + 1 + TERM_MS


def test_an_alert_with_hostile_texts_reaches_the_timeline(shelf: Shelf) -> None:
    labels = {"alertname": "x\0y\U0001f600", "service": "s" * 1000}
    shelf.book.receive([Alert(labels, START_MS, START_MS, annotations={"summary": "a\nb" + "c" * 5000})])
    shelf.tender.advance(START_MS)
    assert len(shelf.timeline.query(kinds=["alert.fired"])) == 1


def test_replicas_see_each_others_alerts(_postgresql: Any) -> None:
    dsn = _postgresql.new_database()
    databases = [StateDatabase(dsn) for _ in range(2)]
    clock = VirtualClock(START_MS)
    one, other = (AlertBook(database, clock) for database in databases)
    heard: list[Alert] = []
    other.subscribe(heard.extend)
    one.receive([alert("A")])
    other.pull()
    assert [each.name for each in heard] == ["A"]
    other.receive(
        [replace(alert("A", at_ms=START_MS + 5), annotations={"a": "1"}, starts_ms=START_MS - 60_000)]
    )
    one.receive([alert("B", at_ms=START_MS + 6)])
    merged = one.get(alert("A").fingerprint)
    assert merged is not None
    assert (merged.starts_ms, merged.annotations) == (START_MS - 60_000, {"a": "1"})
    threads = [
        threading.Thread(target=give_each, args=(book, name, 50))
        for book in (one, other)
        for name in ("x", "y")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    one.pull()
    other.pull()
    assert sorted(each.name for each in one.alerts()) == sorted(each.name for each in other.alerts())
    assert len(one.alerts()) == 102
    for database in databases:
        database.close()
