"""The timeline on both state databases: append once, query by anything, tell subscribers after the commit."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.timeline import Event, Timeline

NOW_MS = 1_800_000_000_000


@pytest.fixture
def timeline(state_database: StateDatabase) -> Timeline:
    return Timeline(state_database, VirtualClock(NOW_MS))


def test_an_event_comes_back_as_it_was_told(timeline: Timeline) -> None:
    data = {"version": "1.2", "nested": [1, 2.5, None, True, "é😀\0"]}
    told = timeline.append("deploy", "Version 1.2", service="checkout", actor="kim", data=data, key="build-7")
    assert told == Event(told.id, NOW_MS, "deploy", "checkout", "kim", "Version 1.2", data, "build-7")
    assert timeline.query() == [told]


def test_the_same_key_twice_adds_and_tells_nothing(timeline: Timeline) -> None:
    heard: list[Event] = []
    timeline.subscribe(heard.append)
    first = timeline.append("deploy", "Version 1", key="a")
    assert timeline.append("deploy", "Version 1, told again", key="a") == first
    assert timeline.append("deploy", "Version 1", key="b") != first
    assert [event.key for event in timeline.query()] == ["b", "a"]
    assert [event.key for event in heard] == ["a", "b"]


def test_one_key_from_many_threads_is_one_event(timeline: Timeline) -> None:
    with ThreadPoolExecutor(8) as pool:
        events = list(
            pool.map(lambda number: timeline.append("deploy", f"from {number}", key="k"), range(24))
        )
    assert len(set(map(str, events))) == 1
    assert len(timeline.query()) == 1


def test_query_filters_and_pages(timeline: Timeline) -> None:
    events = [
        timeline.append(kind, f"{number}", service=service, at_ms=NOW_MS + at)
        for number, (kind, service, at) in enumerate(
            [
                ("deploy", "a", 5),
                ("deploy", "b", 1),
                ("demo.fault", "a", 5),
                ("demo.heal", "a", 9),
                ("deploy", "a", 0),
            ]
        )
    ]
    newest_first = [events[number] for number in (3, 2, 0, 1, 4)]
    assert timeline.query() == newest_first
    assert timeline.query(service="a") == [event for event in newest_first if event.service == "a"]
    assert timeline.query(service="") == []
    assert timeline.query(kinds=["demo.fault", "demo.heal"]) == [events[3], events[2]]
    assert timeline.query(kinds=[]) == []
    assert timeline.query(since_ms=NOW_MS + 1, until_ms=NOW_MS + 5) == [events[2], events[0]]
    paged: list[Event] = []
    while page := timeline.query(limit=2, before_id=paged[-1].id if paged else None):
        paged.extend(page)
    assert paged == newest_first
    assert timeline.query(before_id=10**9) == []


def test_a_failing_subscriber_is_logged_and_harms_nobody(
    timeline: Timeline, caplog: pytest.LogCaptureFixture
) -> None:
    heard: list[Event] = []

    def fail(event: Event) -> None:
        raise RuntimeError("subscriber broke")

    timeline.subscribe(fail)
    unsubscribe = timeline.subscribe(heard.append)
    with caplog.at_level(logging.ERROR):
        event = timeline.append("deploy", "Version 1")
    assert heard == [event] == timeline.query()
    assert "subscriber broke" in caplog.text
    unsubscribe()
    timeline.append("deploy", "Version 2")
    assert len(heard) == 1


def test_a_subscriber_sees_the_event_stored_already(timeline: Timeline) -> None:
    seen: list[list[Event]] = []

    def look(event: Event) -> None:
        thread = threading.Thread(target=lambda: seen.append(timeline.query()))  # another connection
        thread.start()
        thread.join()

    timeline.subscribe(look)
    event = timeline.append("deploy", "Version 1")
    assert seen == [[event]]


def test_a_recorded_event_goes_with_its_transaction(
    timeline: Timeline, state_database: StateDatabase
) -> None:
    with pytest.raises(RuntimeError), state_database.begin() as transaction:
        timeline.record(transaction, "deploy", "never happened")
        raise RuntimeError
    assert timeline.query() == []


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        ({"kind": ""}, "kind"),
        ({"kind": "Not a kind"}, "kind"),
        ({"kind": "a" * 101}, "kind"),
        ({"summary": " "}, "summary"),
        ({"summary": "NUL \0 inside"}, "summary"),
        ({"summary": "\ud800"}, "summary"),
        ({"actor": ""}, "actor"),
        ({"service": "s" * 256}, "service"),
        ({"key": ""}, "key"),
        ({"at_ms": -1}, "at"),
        ({"at_ms": 10**18}, "at"),
        ({"data": {"x": float("nan")}}, "data"),
        ({"data": {"x": object()}}, "data"),
        ({"data": {"x": "y" * 300_000}}, "data"),
    ],
)
def test_what_no_event_can_be_is_refused(timeline: Timeline, arguments: dict[str, object], path: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        timeline.append(**{"kind": "deploy", "summary": "Version 1"} | arguments)  # type: ignore[arg-type]
    assert [problem.path for problem in caught.value.problems] == [path]
    assert timeline.query() == []


@pytest.mark.parametrize(
    "arguments", [{"limit": 0}, {"limit": 1001}, {"before_id": 1 << 63}, {"since_ms": -(1 << 63)}]
)
def test_a_number_out_of_range_is_refused(timeline: Timeline, arguments: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        timeline.query(**arguments)  # type: ignore[arg-type]


def test_a_filter_that_no_event_can_have_finds_none(timeline: Timeline) -> None:
    timeline.append("deploy", "Version 1")
    assert timeline.query(service="\0") == timeline.query(kinds=["\0"]) == []
