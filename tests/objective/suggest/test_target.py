"""A target from what was kept: each bound alone, and all of them by property."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.objective.suggest.model import Dependency, History
from setpoint.objective.suggest.target import LEVELS, WINDOW_S, history_of, percent, target_for

DAY_S = 86_400
NAN = math.nan


def kept(bad: float, total: float, days: int = 28) -> History:
    return History(DAY_S, days, total - bad, total, 1 - bad / total, 0, bad)


@pytest.mark.parametrize(
    ("bad", "total", "days", "target", "told"),
    [
        (0, 1e9, 28, 0.9999, "more is not suggested"),
        (600, 1e6, 28, 0.999, "not 99.95 %: 120 % of the budget would have gone"),
        (667, 1e6, 28, 0.995, "not 99.9 %: 66.7 % of the budget would have gone"),
        (0, 100_000, 28, 0.9999, "more is not suggested"),
        (0, 99_000, 28, 0.9995, "at 99,000 HTTP requests in four weeks it allows 9.9 failures"),
        (0, 377, 1, 0.99, "only 377 HTTP requests were seen"),
        (900_000, 1e6, 28, None, "not 50 %"),
        (0, 5, 28, None, "only 5 HTTP requests were seen"),
    ],
)
def test_each_bound(bad: float, total: float, days: int, target: float | None, told: str) -> None:
    found, reasons = target_for(kept(bad, total, days), "HTTP requests", ())
    assert found == target
    assert told in reasons[-1]


def test_dependencies_multiply() -> None:
    found, reasons = target_for(
        kept(0, 1e9), "calls", [Dependency("a", 0.999, "a-x"), Dependency("b", 0.999, "b-x")]
    )
    assert found == 0.995
    assert reasons[-1].endswith("(a 99.9 % × b 99.9 % = 99.8 %)")
    assert target_for(kept(0, 1e9), "calls", [Dependency("a", 0.999, "a-x")])[0] == 0.999


@given(
    total=st.floats(1, 1e9),
    share=st.floats(0, 1),
    days=st.integers(1, 90),
    targets=st.lists(st.sampled_from([0.9, 0.99, 0.999, 0.9999]), max_size=4),
)
def test_a_target_can_be_kept(total: float, share: float, days: int, targets: list[float]) -> None:
    history = kept(total * share, total, days)
    others = [Dependency(f"s{at}", one, "x") for at, one in enumerate(targets)]
    found, reasons = target_for(history, "calls", others)
    assert reasons
    if found is None:
        return
    assert found in LEVELS
    assert found < 1
    assert found <= history.ratio or share == 0
    assert found <= math.prod(targets) + 1e-9
    assert total * WINDOW_S / (days * DAY_S) * (1 - found) >= 9.99


def test_stretches_without_events_are_not_counted() -> None:
    end_ms = 100 * DAY_S * 1000
    found = history_of([NAN, 90, 0, 120], [NAN, 100, 0, 100], DAY_S, end_ms)
    assert found is not None
    assert (found.steps, found.good, found.total) == (2, 190, 200)
    assert (found.worst, found.worst_bad, found.worst_ms) == (0.9, 10, 97 * DAY_S * 1000)
    assert history_of([NAN, NAN], [0, NAN], DAY_S, end_ms) is None
    missing = history_of([NAN], [100], DAY_S, end_ms)
    assert missing is not None
    assert missing.ratio == 0


@pytest.mark.parametrize(
    ("ratio", "text"),
    [(1, "100 %"), (0.9999999, "99.99999 %"), (0.9995, "99.95 %"), (0.5, "50 %"), (0, "0 %"), (-1, "−100 %")],
)
def test_no_figure_reads_better_than_it_is(ratio: float, text: str) -> None:
    assert percent(ratio) == text
