"""Bad events are shared out exactly, and as decision 0032 says: by properties, and case by case with the numbers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike

from setpoint.objective.attribution.split import QUIET_MINUTES, Candidate, Minutes, Split, split

FIRST = 28_999_980  # a multiple of 60
DAY = 1440


def minutes(
    bad: ArrayLike,
    *,
    total: float = 100.0,
    spent: ArrayLike | None = None,
    gaps: Sequence[int] = (),
    slot: int = 1,
    by_chance: bool = True,
    allowed: float = 0.01,
) -> Minutes:
    """Minutes of `total` events each, a day of quiet ones before `bad` begins."""
    column = np.concatenate((np.zeros(DAY), np.asarray(bad, np.float64)))
    column = np.concatenate((column, np.zeros(-len(column) % slot)))
    present = np.ones(len(column), np.bool_)
    present[[DAY + gap for gap in gaps]] = False
    return Minutes(
        FIRST,
        np.where(present, column, 0.0),
        np.where(present, total, 0.0),
        present,
        np.where(present, column, 0.0) if spent is None else np.asarray(spent, np.float64),
        allowed,
        slot,
        by_chance,
    )


def at(*intervals: tuple[int, int], rank: int = 1, **further: object) -> Candidate:
    """A candidate by minutes after the quiet day."""
    moved = tuple((FIRST + DAY + low, FIRST + DAY + high) for low, high in intervals)
    return Candidate(rank, moved, **further)  # type: ignore[arg-type]


def spent(found: Split) -> list[float]:
    """What each candidate spent."""
    return [float(part.spent.sum()) for part in found.parts]


def exact(found: Split) -> None:
    """Parts and rest add up without any rounding, over all and in each minute, in floats and in rationals."""
    per_minute = [Fraction(value) for value in found.rest.tolist()]
    for part in found.parts:
        assert (part.spent > 0).all()
        assert (np.diff(part.minutes) > 0).all()
        for minute, value in zip(part.minutes.tolist(), part.spent.tolist(), strict=True):
            per_minute[minute - FIRST] += Fraction(value)
    assert per_minute == [Fraction(value) for value in found.spent.tolist()]
    parts = [*(float(part.spent.sum()) for part in found.parts), float(found.rest.sum())]
    whole = float(found.spent.sum())
    for order in itertools.islice(itertools.permutations(parts), 6):
        assert sum(order) == whole
    assert sum(map(Fraction, parts)) == Fraction(whole)


amounts = st.one_of(st.just(0.0), st.integers(0, 500).map(float), st.floats(0, 1e6), st.floats(0, 1e-6))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Minutes, list[Candidate]]:
    slot = draw(st.sampled_from((1, 1, 5, 60)))
    size = draw(st.integers(1, 4)) * 60
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    bad = np.zeros(size)
    for _ in range(draw(st.integers(0, 6))):
        low = draw(st.integers(0, size - 1))
        bad[low : low + draw(st.integers(1, 40))] += draw(amounts)
    bad *= rng.random(size) < draw(st.sampled_from((0.2, 1.0)))
    total = bad + rng.integers(0, 100, size)
    present = rng.random(size) < draw(st.sampled_from((0.5, 1.0)))
    bad, total = np.where(present, bad, 0.0), np.where(present, total, 0.0)
    budget = bad.copy()
    if slot > 1 or draw(st.booleans()):  # slices, or a budget that was adjusted
        budget = np.zeros(size)
        budget[slot - 1 :: slot] = [draw(st.one_of(amounts, st.floats(-50, 0))) for _ in range(size // slot)]
    candidates = []
    for _ in range(draw(st.integers(0, 6))):
        edges = sorted(draw(st.lists(st.integers(-50, size + 50), min_size=2, max_size=6, unique=True)))
        pairs = tuple((FIRST + low, FIRST + high) for low, high in zip(edges[::2], edges[1::2], strict=False))
        within = draw(st.none() | st.just(((FIRST + 30, FIRST + 90),)))
        candidates.append(Candidate(draw(st.integers(1, 3)), pairs, draw(st.booleans()), within))
    by_chance, whole = draw(st.booleans()), draw(st.booleans())
    return Minutes(FIRST, bad, total, present, budget, 0.01, slot, by_chance, whole), candidates


@settings(max_examples=100, deadline=None)
@given(cases())
def test_causes_and_the_rest_are_what_was_spent(case: tuple[Minutes, list[Candidate]]) -> None:
    columns, candidates = case
    found = split(columns, candidates)
    exact(found)
    assert found.spent == pytest.approx(columns.spent, rel=1e-9, abs=found.unit * 2)
    assert (found.rest >= np.minimum(0.0, found.spent)).all()
    for part, candidate in zip(found.parts, candidates, strict=True):
        each = columns.slot_minutes
        allowed = {minute // each for low, high in candidate.intervals for minute in range(low, high)}
        assert {minute // each for minute in part.minutes.tolist()} <= allowed
        assert [(run.low, run.high) for run in part.runs] == sorted((run.low, run.high) for run in part.runs)


def test_whole_events_stay_whole() -> None:
    columns = minutes([0.0] * 10 + [7.0] * 10 + [0.0] * 10)
    found = split(columns, [at((10, 20))])
    assert spent(found) == [70.0]
    assert float(found.rest.sum()) == 0.0
    assert found.unit < 1e-9


def test_what_would_be_bad_anyhow_stays_unexplained() -> None:
    columns = minutes([1.0] * 60 + [21.0] * 30 + [1.0] * 30)
    found = split(columns, [at((60, 90))])
    assert spent(found) == [pytest.approx(30 * 20)]
    run = found.parts[0].runs[0]
    assert (run.bad, run.total, run.baseline, run.expected) == (630, 3000, 0.01, 30)
    assert run.excess == run.bad - run.expected
    exact(found)


def test_chance_blames_nobody() -> None:
    """200 deploys over quarter of a year of steady errors, which none of them changed."""
    rng = np.random.default_rng(5)
    bad = rng.binomial(100, 0.002, 90 * DAY).astype(np.float64)
    columns = minutes(bad)
    deploys = [at((int(low), 90 * DAY), until_quiet=True) for low in rng.integers(DAY, 89 * DAY, 200)]
    found = split(columns, deploys)
    exact(found)
    assert sum(spent(found)) < 0.02 * bad.sum()


def test_few_events_of_a_small_service_are_seen_over_hours() -> None:
    one_in_ten = [0.0] * 300
    columns = minutes([*one_in_ten, *([1.0] + [0.0] * 9) * 30], total=0.1)
    found = split(columns, [at((300, 600), until_quiet=True)])
    assert spent(found) == [30]


def test_overlapping_causes_of_one_rank_share_equally_and_the_more_specific_goes_first() -> None:
    columns = minutes([0.0] * 60 + [12.0] * 30)
    equals = split(columns, [at((60, 90)), at((70, 80))])
    assert spent(equals) == [12 * 20 + 6 * 10, 6 * 10]
    exact(equals)
    ranked = split(columns, [at((60, 90), rank=2), at((60, 70), rank=1)])
    assert spent(ranked) == [12 * 20, 12 * 10]
    three = split(columns, [at((60, 90)), at((60, 90)), at((60, 90))])
    exact(three)
    assert spent(three) == [pytest.approx(120, abs=1e-6)] * 3


def test_a_less_specific_cause_keeps_the_level_before_the_more_specific_one() -> None:
    """A deploy costs 10 a minute for three hours; a fault in its third adds 30 more for half an hour."""
    bad = [0.0] * 60 + [10.0] * 180
    for minute in range(200, 230):
        bad[minute] += 30.0
    found = split(minutes(bad), [at((60, 240), rank=2, until_quiet=True), at((200, 230), rank=1)])
    assert spent(found) == [pytest.approx(1800), pytest.approx(900)]
    exact(found)


def test_trouble_from_before_is_not_blamed_on_what_came_into_it() -> None:
    columns = minutes([0.0] * 30 + [20.0] * 240)
    late = split(columns, [at((180, 270), until_quiet=True)])
    assert spent(late) == [0]
    assert late.rest.sum() == 20 * 240


def test_a_deploy_is_over_once_it_was_quiet_for_an_hour() -> None:
    bad = (
        [0.0] * 10
        + [15.0] * 20
        + [0.0] * (QUIET_MINUTES - 10)
        + [15.0] * 10
        + [0.0] * (QUIET_MINUTES + 400)
        + [9.0] * 10
    )
    found = split(minutes(bad), [at((0, len(bad)), until_quiet=True)])
    assert spent(found) == [15 * 30]
    assert float(found.rest.sum()) == 90
    slow = [0.0] * (QUIET_MINUTES + 1) + [15.0] * 20
    assert spent(split(minutes(slow), [at((0, len(slow)), until_quiet=True)])) == [0]


def test_without_anything_before_it_what_the_target_allows_is_usual() -> None:
    bad = np.full(60, 3.0)
    columns = Minutes(FIRST, bad, np.full(60, 100.0), np.ones(60, np.bool_), bad, 0.01)
    found = split(columns, [Candidate(1, ((FIRST, FIRST + 60),))])
    assert spent(found) == [pytest.approx(120)]
    assert found.parts[0].runs[0].reference_minutes == 0


def test_gaps_cost_nothing_and_are_no_reference() -> None:
    columns = minutes([0.0] * 60 + [8.0] * 20, gaps=[*range(30, 60), 65, 66])
    found = split(columns, [at((60, 80))])
    assert spent(found) == [8 * 18]
    assert found.parts[0].runs[0].reference_minutes == 60 or found.parts[0].runs[0].reference_minutes > 60


def test_no_bad_events() -> None:
    columns = minutes([0.0] * 60)
    found = split(columns, [at((0, 60)), at((10, 60), until_quiet=True)])
    assert spent(found) == [0, 0]
    assert found.unit == 1
    exact(split(columns, []))


@pytest.mark.parametrize("slot", [5, 60])
def test_a_slice_belongs_to_what_broke_its_minutes(slot: int) -> None:
    """A fault of ten minutes fails the slice in whose first half it was; its event is booked when the slice ends."""
    bad = np.zeros(120)
    bad[60:70] = 30.0
    judged = np.zeros(DAY + 120)
    failed = range(DAY + 60, DAY + 70, slot)
    for start in failed:
        judged[start + slot - 1] = 1.0
    columns = minutes(bad, spent=judged, slot=slot)
    found = split(columns, [at((60, 70)), at((100, 120), rank=2)])
    assert spent(found) == [len(failed), 0]
    assert found.parts[0].minutes.tolist() == [FIRST + start + slot - 1 for start in failed]
    exact(found)


def test_a_composite_of_slices_knows_no_minutes_in_them() -> None:
    bad = np.zeros(DAY + 120)
    bad[DAY + 119] = 1.0
    columns = Minutes(
        FIRST, bad, (bad >= 0).astype(np.float64), np.ones(len(bad), np.bool_), bad, 0.01, 60, False, True
    )
    found = split(columns, [at((65, 70))])
    assert spent(found) == [1]


def test_silence_that_counts_as_bad_is_explained_by_what_happened_then() -> None:
    bad = np.zeros(60)
    budget = np.zeros(DAY + 60)
    budget[DAY + 20 : DAY + 40] = 80.0
    columns = minutes(bad, spent=budget, gaps=range(20, 40))
    found = split(columns, [at((15, 30)), at((30, 60), rank=2)])
    assert spent(found) == [800, 800]
    exact(found)


def test_what_an_adjustment_took_out_is_nobodys() -> None:
    bad = [0.0] * 30 + [10.0] * 20
    budget = np.zeros(DAY + 50)
    budget[DAY + 30 : DAY + 40] = 5.0
    found = split(minutes(bad, spent=budget), [at((30, 50))])
    assert spent(found) == [50]
    exact(found)


def test_within_limits_where_a_candidate_can_spend() -> None:
    columns = minutes([0.0] * 60 + [9.0] * 30)
    inside = ((FIRST + DAY + 70, FIRST + DAY + 75),)
    found = split(columns, [at((60, 90), until_quiet=True, within=inside)])
    assert spent(found) == [45]


def test_intervals_at_and_beyond_the_edges() -> None:
    columns = minutes([5.0] * 20)
    found = split(columns, [at((-2 * DAY, -DAY)), at((20, 30)), at((0, 900)), at((-5, 1), rank=2)])
    assert spent(found) == [0, 0, 100, 0]
