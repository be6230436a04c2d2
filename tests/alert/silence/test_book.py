"""The book of silences: Alertmanager's rules for changes, the timeline, restarts, replicas; on both real databases."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.model import Alert
from setpoint.alert.route.matcher import Matcher, parse_matchers
from setpoint.alert.silence.book import KEPT_MS, SilenceBook
from setpoint.alert.silence.index import SilenceIndex
from setpoint.alert.silence.model import Recurrence, Silence
from setpoint.alert.silence.rows import silence_of_event
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound
from setpoint.timeline import Timeline

NOW_MS = 1_799_496_000_000
HOUR_MS = 3_600_000
NIGHTLY = Recurrence("2027-01-09T23:00:00", "Europe/Berlin", "FREQ=DAILY", 60)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW_MS)


@pytest.fixture
def timeline(state_database: StateDatabase, clock: VirtualClock) -> Timeline:
    return Timeline(state_database, clock)


@pytest.fixture
def make(state_database: StateDatabase, timeline: Timeline, clock: VirtualClock) -> Callable[[], SilenceBook]:
    return lambda: SilenceBook(state_database, timeline, clock)


@pytest.fixture
def book(make: Callable[[], SilenceBook]) -> SilenceBook:
    return make()


def silence(text: str = 'service="checkout"', hours: float = 2, **fields: object) -> Silence:
    made = Silence(
        "", parse_matchers(text), NOW_MS, NOW_MS + round(hours * HOUR_MS), "ada", "deploy of the cart"
    )
    return replace(made, **fields)  # type: ignore[arg-type]


def kinds(timeline: Timeline) -> list[str]:
    return [event.kind for event in reversed(timeline.query())]


def test_a_silence_mutes_until_it_ends(book: SilenceBook, clock: VirtualClock) -> None:
    silence_id = book.post(silence())
    assert book.mutes({"service": "checkout", "severity": "page"}, NOW_MS) == (silence_id,)
    assert book.mutes({"service": "cart"}, NOW_MS) == ()
    assert book.mutes({"service": "checkout"}, NOW_MS + 2 * HOUR_MS) == ()
    assert book.next_change_ms(NOW_MS) == NOW_MS + 2 * HOUR_MS
    version = book.version
    book.expire(silence_id)
    assert book.version > version
    assert book.mutes({"service": "checkout"}, clock.now_ms()) == ()
    assert book.next_change_ms(NOW_MS) is None
    book.expire(silence_id)
    found = book.get(silence_id)
    assert found is not None
    assert found.state(NOW_MS) == "expired"


def test_changes_keep_the_id_where_the_past_stays_as_it_was(book: SilenceBook, clock: VirtualClock) -> None:
    first = book.post(silence())
    clock.advance(60_000 / 1000)
    held = book.get(first)
    assert held is not None
    assert book.post(replace(held, ends_ms=held.ends_ms + HOUR_MS, comment="longer")) == first
    moved = book.post(replace(held, matchers=parse_matchers('service="cart"')))
    assert moved != first
    old, new = book.get(first), book.get(moved)
    assert old is not None and new is not None
    assert old.state(clock.now_ms()) == "expired"
    assert new.starts_ms == clock.now_ms()
    assert book.mutes({"service": "cart"}, clock.now_ms()) == (moved,)
    assert book.mutes({"service": "checkout"}, clock.now_ms()) == ()
    again = book.post(replace(old, ends_ms=clock.now_ms() + HOUR_MS))
    assert again not in (first, moved)


def test_a_silence_to_come_can_be_ended_before_it_begins(book: SilenceBook) -> None:
    silence_id = book.post(silence(starts_ms=NOW_MS + HOUR_MS))
    assert book.mutes({"service": "checkout"}, NOW_MS) == ()
    book.expire(silence_id)
    found = book.get(silence_id)
    assert found is not None
    assert (found.starts_ms, found.ends_ms) == (NOW_MS, NOW_MS)
    assert book.mutes({"service": "checkout"}, NOW_MS + HOUR_MS) == ()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (silence(matchers=()), "at least one matcher required"),
        (silence('a=~".*"'), "at least one matcher must not match the empty string"),
        (silence('service=""'), "at least one matcher must not match the empty string"),
        (silence(ends_ms=NOW_MS), "start time must be before end time"),
        (silence(starts_ms=NOW_MS - 2, ends_ms=NOW_MS - 1), "end time can't be in the past"),
        (silence(ends_ms=10**16), "1970 and 9999"),
        (silence(matchers=(Matcher("", "x"),)), "invalid label name"),
        (silence(matchers=(Matcher("a", "\0"),)), "invalid label value"),
        (silence(comment="\0"), "no text"),
        (silence(comment="x" * 20_000), "at most"),
        (silence(matchers=(Matcher("a", "b"),) * 200), "at most 100"),
        (silence(recurrence=replace(NIGHTLY, rule="FREQ=SOMETIMES")), "FREQ"),
        (silence(recurrence=replace(NIGHTLY, time_zone="Mars")), "time zone"),
        (silence(recurrence=replace(NIGHTLY, start="2027-03-01T00:00:00")), "never takes place"),
    ],
)
def test_what_cannot_be_posted_is_told(book: SilenceBook, wrong: Silence, told: str) -> None:
    with pytest.raises(InvalidInput) as error:
        book.post(wrong)
    assert told in error.value.message
    assert book.all() == []


def test_what_is_not_there_is_told(book: SilenceBook) -> None:
    with pytest.raises(NotFound):
        book.post(silence(id="none"))
    with pytest.raises(NotFound):
        book.expire("none")
    assert book.get("none") is None


def test_a_restart_changes_nothing(book: SilenceBook, make: Callable[[], SilenceBook]) -> None:
    ids = [book.post(silence(text, 48, recurrence=NIGHTLY if text[0] == "r" else None)) for text in TEXTS]
    book.expire(ids[0])
    after = make()
    assert after.all() == book.all()
    for labels in ({"service": "checkout"}, {"r": "1"}, {"x": 'q"\n'}):
        for hour in range(48):
            assert after.mutes(labels, NOW_MS + hour * HOUR_MS) == book.mutes(labels, NOW_MS + hour * HOUR_MS)


TEXTS = ('a="b"', 'service=~"check.*",x!="1"', 'r="1"', 'x="q\\"\\n"', "service!~'cart',service=~'.+'")


def test_the_timeline_tells_who_silenced_what(
    book: SilenceBook, timeline: Timeline, clock: VirtualClock
) -> None:
    first = book.post(silence(), actor="grace")
    held = book.get(first)
    assert held is not None
    book.post(replace(held, ends_ms=NOW_MS + HOUR_MS))
    book.post(silence('team="a"', 0.5))
    book.tend()
    clock.advance(HOUR_MS / 1000)
    book.tend()
    book.tend()
    events = list(reversed(timeline.query()))
    told = [(event.kind, event.actor, event.service) for event in events]
    assert told[:3] == [
        ("silence.created", "grace", "checkout"),
        ("silence.changed", "ada", "checkout"),
        ("silence.created", "ada", ""),
    ]
    assert sorted(told[3:]) == [
        ("silence.expired", "setpoint", ""),
        ("silence.expired", "setpoint", "checkout"),
    ]
    assert 'silenced {service="checkout"} until 2027-01-09' in events[0].summary
    assert silence_of_event(events[0].data) == replace(held, updated_ms=0)
    assert {event.at_ms for event in events[3:]} == {NOW_MS + HOUR_MS // 2, NOW_MS + HOUR_MS}


def test_one_ended_by_hand_is_told_once(
    book: SilenceBook, timeline: Timeline, make: Callable[[], SilenceBook]
) -> None:
    book.expire(book.post(silence()), actor="grace")
    book.tend()
    make().tend()
    assert kinds(timeline) == ["silence.created", "silence.expired"]


def test_what_ended_while_nothing_ran_is_told_at_the_start(
    book: SilenceBook, timeline: Timeline, clock: VirtualClock, make: Callable[[], SilenceBook]
) -> None:
    book.post(silence())
    clock.advance(5 * HOUR_MS / 1000)
    make().tend()
    make().tend()
    assert kinds(timeline) == ["silence.created", "silence.expired"]


def test_what_ended_long_ago_is_dropped(
    book: SilenceBook, clock: VirtualClock, make: Callable[[], SilenceBook]
) -> None:
    old, kept = book.post(silence(hours=1)), book.post(silence(hours=100))
    clock.advance(KEPT_MS / 1000)
    book.tend()
    assert {one.id for one in book.all()} == {old, kept}
    clock.advance(2 * HOUR_MS / 1000)
    book.tend()
    assert [one.id for one in book.all()] == [kept]
    assert [one.id for one in make().all()] == [kept]
    assert book.post(silence('a="b"', starts_ms=clock.now_ms(), ends_ms=clock.now_ms() + 1))


def test_replicas_hear_of_each_other(book: SilenceBook, make: Callable[[], SilenceBook]) -> None:
    other = make()
    silence_id = book.post(silence())
    assert other.mutes({"service": "checkout"}, NOW_MS) == ()
    assert other.refresh()
    assert not other.refresh()
    assert other.mutes({"service": "checkout"}, NOW_MS) == (silence_id,)
    other.expire(silence_id)
    book.tend()
    assert book.mutes({"service": "checkout"}, NOW_MS) == ()
    held = book.get(silence_id)
    assert held is not None
    other.post(silence("b=c"))
    assert book.post(silence("d=e"))
    assert len(book.all()) == 3


def test_preview(book: SilenceBook) -> None:
    alerts = [Alert({"a": str(number % 2), "n": str(number)}, 0, 0) for number in range(6)]
    assert [one.labels["n"] for one in book.preview(parse_matchers('a="1"'), alerts)] == ["1", "3", "5"]


LABELS = st.fixed_dictionaries({}, optional=dict.fromkeys(("a", "b", "c"), st.sampled_from(["x", "y"])))
MATCHERS = st.lists(
    st.builds(
        Matcher,
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["x", "y", "", "x|y"]),
        st.sampled_from(["=", "!=", "=~", "!~"]),
    ),
    min_size=1,
    max_size=3,
).map(tuple)


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(0, 5), MATCHERS),
            st.tuples(st.just("drop"), st.integers(0, 5), st.just(())),
            st.tuples(st.just("ask"), st.just(0), st.just(())),
        ),
        max_size=25,
    ),
    asked=st.lists(LABELS, min_size=1, max_size=5),
)
@settings(max_examples=200, deadline=None)
def test_the_index_finds_what_matches(
    steps: list[tuple[str, int, tuple[Matcher, ...]]], asked: list[dict[str, str]]
) -> None:
    index = SilenceIndex()
    known: dict[str, Silence] = {}
    for what, number, matchers in [*steps, ("ask", 0, ())]:
        if what == "put":
            known[str(number)] = Silence(str(number), matchers, 0, 1, "", "")
            index.put([known[str(number)]])
        elif what == "drop":
            known.pop(str(number), None)
            index.put((), [str(number)])
        else:
            for labels in asked:
                expected = sorted(one.id for one in known.values() if one.matches(labels))
                assert [one.id for one in index.matching(labels)] == expected


def test_a_thousand_silences_and_ten_thousand_alerts() -> None:
    chance = random.Random(1)
    silences = [
        Silence(
            str(number),
            (Matcher("service", f"s{number}"),) if number % 10 else (Matcher("pod", f"p{number}.*", "=~"),),
            0,
            1,
            "",
            "",
        )
        for number in range(1000)
    ]
    alerts = [
        {"alertname": "a", "service": f"s{number % 2000}", "pod": f"p{chance.randrange(10**6)}"}
        for number in range(10_000)
    ]
    index = SilenceIndex()
    index.put(silences)
    started = time.monotonic()
    found = [len(index.matching(labels)) for labels in alerts]
    first_s = time.monotonic() - started
    index.put([Silence("new", (Matcher("service", "s1"),), 0, 1, "", "")])
    started = time.monotonic()
    assert sum(len(index.matching(labels)) for labels in alerts) == sum(found) + 5
    again_s = time.monotonic() - started
    print(f"first {first_s:.2f} s, after one more {again_s:.2f} s")
    assert first_s < 30
    assert again_s < 10
