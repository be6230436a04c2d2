"""Noise of alert rules: figures worked out by hand, sums that must agree, and a month of fifty thousand events."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.model import Labels, fingerprint_of
from setpoint.alert.quality.firing import Firing, firings_of
from setpoint.alert.quality.mend import formulas, lead, proposals, team_formula
from setpoint.alert.quality.noise import BUNDLE_MS, SHIFT_MS, Habits, Noise, measure
from setpoint.timeline import Event

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
MONDAY = 1_799_020_800_000  # 2027-01-04 00:00:00 UTC
WEEK = (MONDAY, MONDAY + 7 * DAY)


def _firing(at: int, lasts: int | None = 10 * MINUTE, **told: Any) -> Firing:
    """One that begins `at` milliseconds into the week."""
    known: dict[str, Any] = {"rule": "Slow", "source": "rules", "identity": "a", "service": "checkout"}
    known |= {"team": "shop", "severity": "page", "has_runbook": True} | told
    begin = MONDAY + at
    if known.get("answered_ms") is not None:
        known["answered_ms"] += begin
    return Firing(**known, started_ms=begin, ended_ms=None if lasts is None else begin + lasts)


def _noise(*firings: Firing, **habits: Any) -> Noise:
    return measure(sorted(firings, key=lambda one: one.started_ms), *WEEK, Habits(**habits))


def test_a_week_by_hand() -> None:
    """Three pages in a shift, one of them the same interruption as another; one at night; one that was answered."""
    noise = _noise(
        _firing(9 * HOUR),  # for nothing
        _firing(9 * HOUR + 30_000, rule="Errors", identity="b"),  # the same interruption
        _firing(10 * HOUR, answered_ms=2 * MINUTE),  # somebody looked
        _firing(11 * HOUR, identity="c"),  # for nothing
        _firing(2 * DAY + 23 * HOUR),  # for nothing, at night
        _firing(3 * DAY + 12 * HOUR, severity="ticket", rule="Disk", identity="d", lasts=None),
    )
    assert (noise.pages, noise.night_pages, noise.wasted, noise.firings) == (4, 1, 3, 6)
    slow, disk, errors = (noise.rules[0], *noise.rules[1:])
    assert [one.rule for one in noise.rules] == ["Slow", "Disk", "Errors"]
    assert (slow.firings, slow.pages, slow.bundled, slow.night_pages) == (4, 4, 0, 1)
    assert (slow.wasted, slow.wasted_at_night, slow.noise) == (3, 1, 4)
    assert (slow.unanswered, slow.ended, slow.again, slow.share) == (3, 4, 0, 1.0)
    assert (slow.longest_ms, slow.median_ms, slow.is_firing) == (10 * MINUTE, 10 * MINUTE, False)
    assert (errors.pages, errors.bundled, errors.firings) == (0, 1, 1)
    assert (disk.pages, disk.is_paging, disk.is_firing) == (0, False, True)
    assert disk.longest_ms == 3 * DAY + 12 * HOUR
    (team,) = noise.teams
    assert (team.team, team.pages, team.shifts, team.over) == ("shop", 4, 14.0, 1)
    assert team.per_shift == pytest.approx(4 / 14)
    assert team.worst == (MONDAY + 8 * HOUR, 3)
    assert lead(noise) == "4 pages in 7 days, 1 of them at night; 3 came to nothing."
    assert team_formula(team).startswith("pages per shift = pages / shifts of 12 h = 4 / 14 = 0.29; 2 are")
    told = formulas(slow, noise)
    assert told["noise"] == "noise = pages for nothing + those at night = 3 + 1 = 4"
    assert told["pages"] == "pages = firings − within 60 s of another page of the team = 4 − 0 = 4"
    assert told["share"] == "share = its pages / all pages = 4 / 4 = 100 %"


def test_teams_are_woken_apart() -> None:
    noise = _noise(
        _firing(HOUR), _firing(HOUR + 1, team="web", identity="b"), _firing(HOUR + 2, identity="c")
    )
    assert [(one.team, one.pages) for one in noise.teams] == [("shop", 1), ("web", 1)]
    at_the_edge = _noise(_firing(HOUR), _firing(HOUR + BUNDLE_MS, identity="b"))
    assert at_the_edge.pages == 2


@pytest.mark.parametrize(
    ("zone", "hour", "is_night"),
    [
        ("UTC", 22, True),
        ("UTC", 8, False),
        ("UTC", 7, True),
        ("Europe/Vienna", 21, True),
        ("Europe/Vienna", 7, False),
        ("America/New_York", 7, True),
        ("America/New_York", 2, False),
        ("Asia/Kathmandu", 16, False),  # 21:45 there
    ],
)
def test_night_is_the_teams(zone: str, hour: int, is_night: bool) -> None:
    assert _noise(_firing(hour * HOUR), zones={"shop": zone}).night_pages == is_night


def test_what_night_is_can_be_said() -> None:
    assert _noise(_firing(7 * HOUR), night=(22, 6)).night_pages == 0
    assert _noise(_firing(13 * HOUR), night=(12, 14)).night_pages == 1


def test_a_shift_in_which_the_clock_changes_is_one() -> None:
    """In Vienna the night of 28 March 2027 has 11 hours; two pages before and one after the change are one shift's."""
    evening = 1_806_181_200_000  # 2027-03-27 22:00 in Vienna
    night = [_firing(evening - MONDAY + hours * HOUR, identity=str(hours)) for hours in (0, 2, 8)]
    noise = measure(night, evening - DAY, evening + DAY, Habits(zones={"shop": "Europe/Vienna"}))
    assert noise.teams[0].worst == (evening - 2 * HOUR, 3)
    assert noise.teams[0].over == 1


def test_flapping_counts_only_the_same_alert_and_only_shortly_after() -> None:
    noise = _noise(
        _firing(9 * HOUR, MINUTE, answered_ms=1),
        _firing(9 * HOUR + 3 * MINUTE, MINUTE, answered_ms=1),  # 2 minutes after
        _firing(9 * HOUR + 19 * MINUTE, MINUTE, answered_ms=1),  # 15 minutes after: still
        _firing(9 * HOUR + 36 * MINUTE, MINUTE, answered_ms=1),  # 16 minutes after: no more
        _firing(9 * HOUR + 38 * MINUTE, MINUTE, identity="b", answered_ms=1),
    )
    (rule,) = noise.rules
    assert (rule.again, rule.gaps_ms) == (2, (2 * MINUTE, 15 * MINUTE))
    assert rule.wasted == 2
    (flaps,) = proposals(rule)
    assert flaps.reason == "it flaps: 2 of 5 firings came shortly after the same alert had ended"
    assert flaps.mend == "set keep_firing_for: 15m; it would have joined 2 of these 2 to the one before"


def test_what_fired_before_the_window_is_known_to_flapping_only() -> None:
    noise = _noise(_firing(-MINUTE * 5, MINUTE), _firing(MINUTE, MINUTE))
    assert (noise.firings, noise.rules[0].again) == (1, 1)


def test_what_nobody_answers_should_go() -> None:
    noise = _noise(*[_firing(HOUR * hour, 3 * MINUTE, identity=str(hour)) for hour in range(9, 15)])
    first, second = proposals(noise.rules[0])
    assert first.reason == "all 6 firings ended before anyone looked: it may not be actionable"
    assert first.mend.startswith("delete it, or lower it to a ticket")
    assert second.mend == "raise `for` by 5m: 6 of 6 firings would not have been; the others come later"
    burn = _noise(
        *[
            _firing(HOUR * hour, 3 * MINUTE, identity=str(hour), objective="checkout-availability")
            for hour in range(9, 15)
        ]
    )
    assert proposals(burn.rules[0])[1].mend.endswith("and try it: setpoint backtest checkout-availability")


def test_other_reasons() -> None:
    long = _noise(_firing(1, None, has_runbook=False))
    assert [one.mend.split(":")[0] for one in proposals(long.rules[0])] == [
        "add the annotation runbook_url"
    ], "seven days are not over yet"
    longer = measure([_firing(-DAY, None)], MONDAY - 2 * DAY, WEEK[1], Habits())
    assert proposals(longer.rules[0])[0].reason.replace("\xa0", " ") == (
        "one firing lasted 8 d: nobody waits for it to end"
    )
    nights = _noise(_firing(23 * HOUR), _firing(DAY + 23 * HOUR))
    assert proposals(nights.rules[0])[0].reason == "2 of 2 pages at night came to nothing"
    assert lead(_noise()) == "Nothing fired in 7 days."
    assert (
        lead(_noise(_firing(1, severity="ticket"))) == "1 alert fired in 7 days; none of them woke anybody."
    )


def test_what_nobody_was_told_of_is_no_page_where_others_were() -> None:
    unheard = _firing(HOUR, identity="b")
    assert _noise(unheard).pages == 1
    noise = _noise(_firing(9 * HOUR, is_told=True), unheard)
    assert (noise.pages, noise.unsent, noise.counts_unsent) == (1, 1, False)
    assert "firings that somebody was told of" in formulas(noise.rules[0], noise)["pages"]


_FIRINGS = st.lists(
    st.builds(
        _firing,
        st.integers(-DAY, 8 * DAY),
        st.none() | st.integers(0, DAY),
        rule=st.sampled_from("xyz"),
        identity=st.sampled_from("abcd"),
        team=st.sampled_from(["", "shop", "web"]),
        severity=st.sampled_from(["page", "critical", "ticket"]),
        answered_ms=st.none() | st.integers(0, HOUR),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(_FIRINGS)
def test_sums_agree(firings: Sequence[Firing]) -> None:
    noise = _noise(*firings)
    assert sum(rule.pages for rule in noise.rules) == noise.pages == sum(team.pages for team in noise.teams)
    assert sum(rule.firings for rule in noise.rules) == noise.firings
    assert sum(rule.night_pages for rule in noise.rules) == noise.night_pages
    assert sum(rule.wasted for rule in noise.rules) == noise.wasted
    for rule in noise.rules:
        assert rule.wasted_at_night <= min(rule.wasted, rule.night_pages)
        assert rule.pages + rule.bundled <= rule.firings
        assert rule.unanswered <= rule.ended <= rule.firings
    if noise.pages:
        assert sum(rule.share or 0 for rule in noise.rules) == pytest.approx(1)
    for team in noise.teams:
        assert team.shifts == 7 * DAY / SHIFT_MS


# ---- from events -----------------------------------------------------------------------------------------------------


def _event(number: int, at: int, kind: str, service: str = "checkout", **data: object) -> Event:
    return Event(number, MONDAY + at, kind, service, "setpoint", "-", data)


def _mutes(_: Mapping[str, Any]) -> Callable[[Labels], bool]:
    return lambda labels: labels.get("zone") == "b"


OF_BURN = fingerprint_of(
    {
        "alertname": "page-1h",
        "objective": "avail",
        "severity": "page",
        "service": "checkout",
        "team": "shop,web",
    }
)
"""What the alert book calls the alert of an objective, which its own events do not name."""


def test_events_become_firings() -> None:
    slow: dict[str, Any] = {
        "fingerprint": "f1",
        "labels": {"alertname": "Slow", "zone": "a"},
        "severity": "Critical",
        "source": "rules",
    }
    burn: dict[str, Any] = {
        "objective": "avail",
        "policy": "page-1h",
        "severity": "page",
        "labels": {"team": ["shop", "web"]},
    }
    found = firings_of(
        [
            _event(1, 0, "alert.fired", **slow),
            _event(2, 10, "alert.fired", **slow),  # told again: it fires already
            _event(3, 20, "alert.acknowledged", fingerprint="f1"),
            _event(9, 30, "alert.acknowledged", fingerprint="f1"),
            _event(4, 40, "notification.sent", alerts=["f1", "unknown"], firing=1),
            _event(5, 100, "alert.resolved", **slow),
            _event(6, 200, "alert.fired", **burn),
            _event(7, 250, "alert.seen", fingerprint=OF_BURN),
            _event(10, 260, "notification.sent", alerts=[OF_BURN], firing=1),
            _event(
                8, 900, "alert.resolved", fingerprint="f9", starts_ms=MONDAY - 50, labels={"alertname": "Old"}
            ),
        ],
        {"checkout": "owners"},
        _mutes,
    )
    old, first, second = found
    assert (old.started_ms, old.ended_ms, old.rule) == (MONDAY - 50, MONDAY + 900, "Old")
    assert (first.rule, first.team, first.severity, first.source) == ("Slow", "owners", "critical", "rules")
    assert (first.started_ms, first.ended_ms, first.answered_ms) == (MONDAY, MONDAY + 100, MONDAY + 20)
    assert first.is_told
    assert (second.rule, second.team, second.objective) == ("avail: page-1h", "shop", "avail")
    assert (second.ended_ms, second.answered_ms, second.is_told) == (None, MONDAY + 250, True)


def test_a_silence_answers_what_it_mutes() -> None:
    fired = [
        _event(number, number, "alert.fired", fingerprint=zone, labels={"alertname": "A", "zone": zone})
        for number, zone in enumerate("ab", 1)
    ]
    found = firings_of([*fired, _event(3, 50, "silence.created", matchers="zone=b")], {}, _mutes)
    assert [one.answered_ms for one in found] == [None, MONDAY + 50]


def test_a_notification_that_comes_after_the_end_counts() -> None:
    told: dict[str, Any] = {"fingerprint": "f", "labels": {"alertname": "A"}}
    found = firings_of(
        [
            _event(1, 0, "alert.fired", **told),
            _event(2, 5, "alert.resolved", **told),
            _event(3, 9, "notification.sent", alerts=["f"], firing=1),
        ],
        {},
        _mutes,
    )
    assert [one.is_told for one in found] == [True]


def test_a_large_notification_tells_of_all_that_fire_in_its_group() -> None:
    fired = [
        _event(number, number, "alert.fired", fingerprint=zone, labels={"alertname": "A", "zone": zone})
        for number, zone in enumerate("abc", 1)
    ]
    sent = _event(4, 50, "notification.sent", alerts=["a"], firing=2, group_labels={"zone": "b"})
    assert [one.is_told for one in firings_of([*fired, sent], {}, _mutes)] == [True, True, False]


def test_events_of_any_shape_do_no_harm() -> None:
    odd: list[dict[str, Any]] = [
        {},
        {"fingerprint": 3},
        {"fingerprint": "x", "labels": [1]},
        {"fingerprint": "x", "labels": {"a": None, "b": {"c": 1}}, "severity": None, "annotations": "none"},
        {"objective": "o"},
        {"firing": {"a": 1}},
        {"alerts": 3, "firing": "x", "group_labels": [1]},
    ]
    kinds = ["alert.fired", "alert.resolved", "notification.sent", "alert.seen", "silence.created"]
    events = [
        _event(number, number, kind, **data)
        for number, (kind, data) in enumerate((kind, data) for kind in kinds for data in odd)
    ]
    measure(firings_of(events, {}, _mutes), *WEEK)


def _costs_s(firings: int) -> float:
    """Processor's time of this thread for a week with so many firings of 300 rules."""
    events = []
    for number in range(firings):
        at = 1 + number * (7 * DAY // firings)
        labels = {"alertname": f"rule-{number % 300}", "team": f"t{number % 9}"}
        told: dict[str, Any] = {"fingerprint": f"{number % 3000}", "labels": labels, "severity": "page"}
        events.append(_event(2 * number, at, "alert.fired", **told))
        events.append(_event(2 * number + 1, at + 10_000, "alert.resolved", **told))
    began = time.thread_time()
    noise = measure(firings_of(events, {}, _mutes), *WEEK, Habits(zones={"t1": "Europe/Vienna"}))
    assert noise.firings == firings
    return time.thread_time() - began


def test_fifty_thousand_events_cost_no_more_each_than_five_thousand() -> None:
    """Half a second altogether on the machine it was written on; here only that it does not grow with the square."""
    assert _costs_s(25_000) < 30 * _costs_s(2_500) + 0.5
