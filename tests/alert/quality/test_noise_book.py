"""What is kept of the timeline for noise: read once, then only what is new; figures are those of all events."""

from __future__ import annotations

from setpoint.alert.notices import alert_of
from setpoint.alert.quality.firing import KINDS
from setpoint.alert.quality.noise_book import DAYS_MAX, NoiseBook, Teams
from setpoint.alert.route.matcher import parse_matchers
from setpoint.alert.silence.book import SilenceBook
from setpoint.alert.silence.model import Silence
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.timeline import Timeline

DAY_MS, MINUTE_MS = 86_400_000, 60_000
NOW_MS = 1_799_496_000_000


def _book(database: StateDatabase, clock: VirtualClock) -> NoiseBook:
    teams = Teams({"checkout": "shop"}, {"shop": "Europe/Vienna"})
    return NoiseBook(database, clock, lambda: teams)


def _tell(timeline: Timeline, kind: str, at_ms: int, name: str = "Slow", **labels: str) -> None:
    told = {"alertname": name, "service": "checkout", "severity": "page"} | labels
    data = {
        "fingerprint": f"{name}{sorted(labels.items())}",
        "labels": told,
        "severity": "page",
        "source": "rules",
    }
    timeline.append(
        kind, "-", service="checkout", at_ms=at_ms, data=data | {"starts_ms": at_ms, "annotations": {}}
    )


def test_only_what_is_new_is_read_and_the_figures_are_those_of_all(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    book = _book(sqlite_database, clock)
    assert book.measure(7).firings == 0
    for round_ in range(4):
        begin = NOW_MS - 3 * DAY_MS + round_ * 20 * MINUTE_MS
        _tell(timeline, "alert.fired", begin)
        _tell(timeline, "alert.resolved", begin + 10 * MINUTE_MS)
        assert book.measure(7) == _book(sqlite_database, clock).measure(7)
    noise = book.measure(7)
    assert (noise.pages, noise.rules[0].again, noise.teams[0].team) == (4, 3, "shop")
    assert noise.teams[0].zone == "Europe/Vienna"
    assert book.measure(7, team="web").firings == book.measure(7, service="search").firings == 0
    assert book.measure(7, team="shop").firings == 4


def test_what_is_old_is_forgotten(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    book = _book(sqlite_database, clock)
    _tell(timeline, "alert.fired", NOW_MS - 20 * DAY_MS)
    _tell(timeline, "alert.resolved", NOW_MS - 19 * DAY_MS)
    assert (book.measure(28).firings, book.measure(7).firings) == (1, 0)
    clock.advance(30 * 86_400)
    _tell(timeline, "alert.fired", clock.now_ms() - MINUTE_MS, "New")
    assert [rule.rule for rule in book.measure(DAYS_MAX).rules] == ["New"]


def test_a_silence_of_the_book_answers(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    silences, book = SilenceBook(sqlite_database, timeline, clock), _book(sqlite_database, clock)
    _tell(timeline, "alert.fired", NOW_MS - 5 * MINUTE_MS, zone="a")
    _tell(timeline, "alert.fired", NOW_MS - 2 * MINUTE_MS, zone="b")
    matchers = parse_matchers('zone="b", service=~"check.*"')
    silences.post(Silence("", matchers, NOW_MS, NOW_MS + DAY_MS, "ann", "on it"))
    for zone in "ab":
        _tell(timeline, "alert.resolved", NOW_MS + MINUTE_MS, zone=zone)
    clock.advance(120)
    (rule,) = book.measure(7).rules
    assert (rule.firings, rule.ended, rule.unanswered) == (2, 2, 1)


def test_events_that_nobody_should_have_written_do_no_harm(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    for kind in KINDS:
        for data in ({}, {"fingerprint": 1, "labels": 3}, {"matchers": [{"name": 1}], "annotations": [1]}):
            timeline.append(kind, "-", data=data)
    assert _book(sqlite_database, clock).measure(7).pages == 0


def test_alerts_of_objectives_are_called_as_the_book_calls_them(sqlite_database: StateDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    data = {
        "objective": "avail",
        "policy": "page-1h",
        "severity": "page",
        "state": "firing",
        "since_ms": NOW_MS - MINUTE_MS,
        "reason": "-",
        "values": {},
        "display_name": "",
        "policy_display_name": "",
        "labels": {"team": ["shop", "web"], "empty": []},
        "targets": [],
        "is_default": True,
    }
    event = timeline.append("alert.fired", "-", service="checkout", at_ms=NOW_MS - MINUTE_MS, data=data)
    row = {"id": event.id, "at_ms": event.at_ms, "kind": event.kind, "service": event.service, "summary": "-"}
    alert = alert_of(row | {"data": data}, "http://127.0.0.1:7070", NOW_MS)
    timeline.append("notification.sent", "-", data={"alerts": [alert.fingerprint], "firing": 1})
    noise = _book(sqlite_database, clock).measure(1)
    assert (noise.pages, noise.counts_unsent, noise.rules[0].rule) == (1, False, "avail: page-1h")
    assert noise.rules[0].teams == ("shop",)


def test_a_team_that_nobody_was_told_of_has_as_many_pages_alone_as_among_all(
    sqlite_database: StateDatabase,
) -> None:
    clock = VirtualClock(NOW_MS)
    timeline = Timeline(sqlite_database, clock)
    for team in ("shop", "web"):
        labels = {"alertname": f"Slow {team}", "team": team, "severity": "page"}
        data = {"fingerprint": team, "labels": labels}
        timeline.append("alert.fired", "-", data=data, at_ms=NOW_MS - MINUTE_MS)
    timeline.append("notification.sent", "-", data={"alerts": ["shop"], "firing": 1})
    book = _book(sqlite_database, clock)
    told = {team: (noise := book.measure(1, team=team)).pages for team in ("shop", "web", None)}
    assert told == {"shop": 1, "web": 0, None: 1}
    assert noise.unsent == 1
