"""Episodes, sights and totals on minutes that are written by hand, and the tape against sums one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.objective.backtest.backtest import Candidate, backtest
from setpoint.objective.backtest.episodes import episodes
from setpoint.objective.backtest.model import Backtest
from setpoint.objective.backtest.tape import Tape
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import AlertPolicy, Calendar, Condition, NoData, Objective
from tests.objective.alert_desk import SLO

DAY = 1440
NOW = 30_000_000
"""The running minute."""
AT_90 = replace(SLO, target=0.9, window_s=7 * DAY * 60)


class Minutes:
    """The past of one objective: bad of 100 events in each of the last minutes; None: no data."""

    def __init__(self, objective: Objective, bad: Sequence[float | None]) -> None:
        self._objective, self._bad = objective, bad
        self.first = NOW - len(bad)

    def objective(self, name: str) -> Objective:
        return self._objective

    def first_ms(self, name: str) -> int | None:
        known = [at for at, one in enumerate(self._bad) if one is not None]
        return (self.first + known[0]) * 60_000 if known else None

    def events(self, name: str, start_ms: int, end_ms: int, *, raw: bool = False) -> Slots:
        first, end = start_ms // 60_000, end_ms // 60_000 + 1
        cells = [self._bad[at - self.first] if self.first <= at < NOW else None for at in range(first, end)]
        good = np.array([0.0 if one is None else 100.0 - one for one in cells])
        present = np.array([one is not None for one in cells])
        return Slots(first, good, 100.0 * present, present)

    def tape(self) -> Tape:
        slots = self.events("", self.first * 60_000, (NOW - 1) * 60_000)
        return Tape(self._objective, slots, slots, 90)

    def replayed(self, *candidates: Candidate, days: float = 7, **more: float) -> Backtest:
        start_ms = round((NOW - days * DAY) * 60_000)
        own = Candidate("own", self._objective.policies)
        return backtest(self, "checkout", candidates or (own,), start_ms, NOW * 60_000, **more)


def _found(bad: Sequence[float | None], objective: Objective = AT_90) -> list[tuple[int, int, float]]:
    """Episodes as (first minute, minutes, bad) from the begin of the list."""
    past = Minutes(objective, bad)
    return [
        (one.begin_ms // 60_000 - past.first, (one.end_ms - one.begin_ms) // 60_000, one.bad)
        for one in episodes(past.tape(), past.first, NOW)
    ]


def test_an_outage_is_one_episode_of_its_minutes() -> None:
    assert _found([0] * 200 + [100] * 12 + [0] * 200) == [(200, 12, 1200)]


def test_noise_before_and_after_does_not_belong_to_it() -> None:
    assert _found([5] * 200 + [80] * 20 + [5] * 200) == [(200, 20, 1600)]


def test_what_flickers_is_one_and_half_an_hour_of_calm_is_its_end() -> None:
    flicker = ([100] * 2 + [0] * 10) * 5
    assert _found([0] * 100 + flicker + [0] * 100) == [(100, 50, 1000)]
    assert _found([0] * 100 + [100] * 5 + [0] * 36 + [100] * 5 + [0] * 100) == [(100, 5, 500), (141, 5, 500)]


def test_a_budget_that_is_spent_as_allowed_is_none() -> None:
    assert _found([10] * 500) == []
    assert _found([0, 20] * 300) == [], "a single minute says nothing"


def test_one_that_goes_on_is_open_and_one_that_began_before_is_whole() -> None:
    past = Minutes(AT_90, [0] * 100 + [50] * 60)
    (one,) = episodes(past.tape(), NOW - 20, NOW)
    assert (one.is_open, one.bad) == (True, 3000)
    assert one.window_total == 16_000
    assert one.spent == pytest.approx(3000 / 1600)


def test_an_episode_in_long_slices() -> None:
    """Slices of an hour: a bad one, three that are good, and it is over."""
    hourly = replace(AT_90, method="Timeslices", slice_s=3600, slice_target=0.9)
    aligned = -(NOW - 20 * 60) % 60
    slot: list[float | None] = [None] * 59
    bad: list[float | None] = [100 if hour in (6, 7) else 0 for hour in range(20)]
    cells = slot[:aligned] + [cell for one in bad for cell in (*slot, one)]
    found = _found(cells[: 20 * 60], hourly)
    assert len(found) == 1
    assert found[0][2] == 200


def _policy(over: float, minutes: int = 5, severity: str = "page", **more: object) -> AlertPolicy:
    burning = Condition("burnrate", "gt", over, lookback_s=60 * minutes)
    return AlertPolicy(f"over-{over:g}", severity, (burning,), **more)  # type: ignore[arg-type]


STORY: Sequence[float | None] = (
    [0] * 3000 + [60] * 30 + [0] * 600 + [25] * 90 + [0] * 300 + [52] * 6 + [0] * 300
)


def test_what_a_side_sees_and_misses() -> None:
    past = Minutes(AT_90, STORY)
    found = past.replayed(
        Candidate("a", (_policy(1.5), _policy(1.2, severity="ticket"))), Candidate("b", (_policy(5.5),))
    )
    assert [round(one.bad) for one in found.episodes] == [1800, 2250]
    assert found.small_episodes == 1
    a, b = (side.totals for side in found.sides)
    assert (a.seen, a.missed, a.pages, a.noise, a.tickets) == (2, 0, 3, 1, 3)
    assert (b.seen, b.missed, b.unheard, b.pages) == (1, 1, 1, 1)
    first, second = found.episodes
    assert first.sights[0].delay_s == 120, "two minutes of 60 in five are 24 of 100, over 1.5 × 10"
    assert first.sights[0].spent == pytest.approx(120 / first.allowed)
    assert first.sights[1].delay_s == 300
    assert second.sights[1].page_ms is None
    assert found.sides[0].alerts[-1].is_noise


def test_who_is_not_told_is_not_paged() -> None:
    past = Minutes(AT_90, STORY)
    silent = _policy(1.5, when_breaching=False, when_no_data=True)
    totals = past.replayed(Candidate("a", (silent,))).sides[0].totals
    assert (totals.pages, totals.seen, totals.unheard) == (0, 0, 2)


def test_without_the_severity_page_all_count() -> None:
    side = Minutes(AT_90, STORY).replayed(Candidate("a", (_policy(1.5, severity="critical"),))).sides[0]
    assert side.totals.pages == 3
    assert "all its alerts count as pages" in side.warnings[0]


def test_nobody_is_told() -> None:
    side = Minutes(AT_90, STORY).replayed(Candidate("a", ())).sides[0]
    assert (side.totals.unheard, side.alerts_total) == (2, 0)
    assert "nobody is told" in side.warnings[0]


def test_silence_pages_for_no_episode_and_is_no_noise() -> None:
    told = replace(AT_90, no_data=NoData("alert", 300), policies=())
    totals = Minutes(told, [0] * 500 + [None] * 60 + [0] * 500).replayed().sides[0].totals
    assert (totals.pages, totals.silences, totals.noise) == (1, 1, 0)
    assert totals.paged_s == pytest.approx(56 * 60, abs=60)


def test_an_alert_that_began_before_is_known() -> None:
    past = Minutes(AT_90, [0] * 1000 + [60] * 200)
    side = past.replayed(Candidate("a", (_policy(2),)), days=100 / DAY).sides[0]
    assert len(side.alerts) == 1
    assert side.alerts[0].from_ms < (NOW - 100) * 60_000
    assert side.totals.paged_s == 100 * 60, "of the stretch"


def test_minutes_that_are_bad_for_their_silence_are_seen_when_they_are_old_enough() -> None:
    """As live: a minute without data is bad only once it is older than `after`."""
    bad = replace(AT_90, no_data=NoData("bad", 600))
    slots = Minutes(bad, [0] * 100 + [100] * 50).events("", (NOW - 150) * 60_000, (NOW - 1) * 60_000)
    raw = replace(slots, present=np.arange(150) < 100)
    tape = Tape(bad, slots, raw, 600)
    end = np.array([NOW - 45, NOW - 41, NOW - 40, NOW - 39, NOW])
    good, total = tape.counts(np.full(5, NOW - 150), end, end)
    assert (total - good).tolist() == [0, 0, 0, 100, 4000]


def test_a_look_further_back_than_the_window_is_refused() -> None:
    with pytest.raises(InvalidInput, match="looks back 10 d"):
        Minutes(AT_90, STORY).replayed(Candidate("a", (_policy(2, minutes=10 * DAY),)))


_CELLS = st.lists(st.one_of(st.none(), st.integers(0, 100)), min_size=1, max_size=400)


@settings(max_examples=60, deadline=None)
@given(bad=_CELLS, looks=st.lists(st.tuples(st.integers(-20, 420), st.integers(1, 400)), min_size=1))
def test_any_window_is_the_sum_of_its_minutes(bad: list[int | None], looks: list[tuple[int, int]]) -> None:
    past = Minutes(AT_90, bad)
    starts = np.array([past.first + low for low, _ in looks])
    ends = starts + np.array([long for _, long in looks])
    found, total = past.tape().bad_and_total(starts, ends)
    for at, (low, long) in enumerate(looks):
        some = [one for one in bad[max(0, low) : max(0, low + long)] if one is not None]
        assert (found[at], total[at]) == (sum(some), 100 * len(some))


@settings(max_examples=60, deadline=None)
@given(bad=st.lists(st.sampled_from([0, 0, 0, 5, 12, 100, None]), min_size=40, max_size=500))
def test_episodes_are_apart_and_their_loss_is_more_than_allowed(bad: list[float | None]) -> None:
    found = _found(bad)
    end = -1
    for begin, minutes, lost in found:
        some = bad[begin : begin + minutes]
        assert begin >= end, "in order, and apart"
        assert minutes > 0
        assert lost == sum(one or 0 for one in some)
        assert lost > 0.1 * 100 * sum(one is not None for one in some)
        assert some[0], "begins with a loss"
        end = begin + minutes


@pytest.mark.parametrize("days", [1, 3])
def test_windows_of_a_calendar_begin_where_it_does(days: int) -> None:
    calendar = Calendar("2026-01-01T00:00:00", "America/New_York", days, "d")
    of_days = replace(AT_90, calendar=calendar, is_rolling=False, window_s=days * DAY * 60)
    past = Minutes(of_days, [1] * 6 * DAY)
    ends = np.arange(NOW - 4 * DAY, NOW) + 1
    own = past.tape().windows(ends)
    assert ((own.elapsed_s + own.ends_s) >= (days * 24 - 1) * 3600).all()
    assert (own.total == 100 * (ends - np.maximum(own.starts, past.first))).all()
    assert len(np.unique(own.starts)) in {4 // days + 1, 4 // days + 2}
