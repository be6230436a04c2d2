"""When a flush notifies, case by case; and how an alert that is told again merges with what is known."""

from __future__ import annotations

import pytest

from setpoint.alert.dispatch.decide import NO_REPEATS, Told, decide
from setpoint.alert.dispatch.merge import merge, received
from setpoint.alert.model import Alert
from setpoint.alert.notify.model import Notification
from tests.alert.dispatch.world import START_MS

MINUTE_MS = 60_000


def told(firing: str, resolved: str = "", age_min: int = 5) -> Told:
    """Fingerprints are letters here."""
    at_ms = START_MS - age_min * MINUTE_MS
    return Told(frozenset(firing), frozenset(resolved), at_ms, at_ms)


def waiting(firing: str, resolved: str = "") -> Notification:
    """What was decided before and is not heard."""
    return Notification(
        "ops", "webhook[0]", "{}", {}, (), tuple(firing), tuple(resolved), "first", START_MS - 1
    )


@pytest.mark.parametrize(
    ("before", "firing", "resolved", "sends_resolved", "reason"),
    [
        (None, "a", "", True, "first"),
        (None, "", "a", True, None),
        (told("a"), "a", "", True, None),
        (told("ab"), "a", "", True, None),
        (told("a"), "ab", "", True, "new_alerts"),
        (told("a"), "b", "a", False, "new_alerts"),
        (told("ab"), "a", "b", True, "new_resolved"),
        (told("ab"), "a", "b", False, None),
        (told("a", "b"), "a", "b", True, None),
        (told("a"), "", "a", True, "all_resolved"),
        (told("a"), "", "a", False, "all_resolved"),
        (told("", "a"), "", "b", True, None),
        (told("a", age_min=59), "a", "", True, None),
        (told("a", age_min=60), "a", "", True, "repeat"),
        (told("ab", age_min=61), "a", "b", False, "repeat"),
        (told("", "a", age_min=61), "", "a", True, None),
    ],
)
def test_against_what_was_told(
    before: Told | None, firing: str, resolved: str, sends_resolved: bool, reason: str | None
) -> None:
    decision = decide(
        before,
        None,
        frozenset(firing),
        frozenset(resolved),
        send_resolved=sends_resolved,
        repeat_interval_ms=60 * MINUTE_MS,
        now_ms=START_MS,
    )
    assert decision.reason == reason
    assert decision.words


@pytest.mark.parametrize(
    ("before", "pending", "firing", "resolved", "sends_resolved", "reason"),
    [
        (None, waiting("a"), "a", "", True, None),
        (None, waiting("a"), "ab", "", True, "first"),
        (None, waiting("a"), "", "a", True, "all_resolved"),
        (None, waiting("a"), "", "a", False, None),
        (told("a"), waiting("ab"), "a", "b", True, "new_resolved"),
        (told("a"), waiting("ab"), "a", "b", False, None),
        (told("a", "b"), waiting("ab"), "a", "b", True, "new_resolved"),
        (told("a", age_min=300), waiting("a"), "a", "", True, None),
        (told("a"), waiting("", "a"), "a", "", True, "new_alerts"),
    ],
)
def test_against_what_is_on_its_way(  # noqa: PLR0917 — columns of a table
    before: Told | None,
    pending: Notification,
    firing: str,
    resolved: str,
    sends_resolved: bool,
    reason: str | None,
) -> None:
    decision = decide(
        before,
        pending,
        frozenset(firing),
        frozenset(resolved),
        send_resolved=sends_resolved,
        repeat_interval_ms=60 * MINUTE_MS,
        now_ms=START_MS,
    )
    assert decision.reason == reason


def test_who_is_told_once() -> None:
    decision = decide(
        told("a", age_min=10**6),
        None,
        frozenset("a"),
        frozenset(),
        send_resolved=True,
        repeat_interval_ms=NO_REPEATS,
        now_ms=START_MS,
    )
    assert decision.reason is None


def alert(starts: int, ends: int | None, updated: int, *, is_timeout: bool = False, note: str = "") -> Alert:
    """Seconds from the start of the world."""
    return Alert(
        {"alertname": "Down"},
        START_MS + starts * 1000,
        START_MS + updated * 1000,
        None if ends is None else START_MS + ends * 1000,
        {"note": note},
        is_timeout=is_timeout,
    )


@pytest.mark.parametrize(
    ("known", "new", "starts", "ends"),
    [
        (alert(0, 300, 0, is_timeout=True), alert(60, 360, 60, is_timeout=True), 0, 360),
        (alert(0, 600, 0), alert(60, 360, 60, is_timeout=True), 0, 600),  # a told end beats a timeout
        (alert(0, 600, 0, is_timeout=True), alert(60, 360, 60), 0, 360),
        (alert(0, 300, 0), alert(0, 60, 60), 0, 60),  # it ended
        (alert(0, 60, 60), alert(0, 50, 61), 0, 60),  # of two ends the later
        (alert(0, None, 0), alert(10, 60, 60), 0, 60),
        (alert(0, 300, 0), alert(10, None, 60), 0, None),
        (alert(0, 50, 50), alert(55, 300, 60), 55, 300),  # another time: nothing overlaps
        (alert(30, 300, 30), alert(20, 400, 60), 20, 400),
    ],
)
def test_what_stands_after_it_was_told_again(known: Alert, new: Alert, starts: int, ends: int | None) -> None:
    now_ms = START_MS + 60_000
    merged = received(known, new, now_ms)
    assert merged.starts_ms == START_MS + starts * 1000
    assert merged.ends_ms == (None if ends is None else START_MS + ends * 1000)
    assert merged.updated_ms == new.updated_ms


def test_texts_are_the_newest_in_either_order() -> None:
    old, new = alert(0, 300, 0, note="old"), alert(10, 310, 10, note="new")
    assert merge(old, new, START_MS) == merge(new, old, START_MS)
    assert merge(old, new, START_MS).annotations == {"note": "new"}
    assert received(None, new, START_MS) is new
