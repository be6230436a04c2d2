"""The window kernels against plain Python: the exact increase is additive, rate is Prometheus's to the last
bit.
"""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.samples import close

from setpoint.promql import kernels
from setpoint.promql.exact import PREVIOUS_SAMPLE_MS

Sample = tuple[int, float]

# The time limit of the test is enough; the machine may be busy.
unhurried = settings(deadline=None)

_counts = st.integers(0, 2**40).map(float)
_odd_values = st.one_of(
    _counts, st.floats(0, 1e6), st.sampled_from([math.nan, math.inf, -math.inf, 1e17, 0.35])
)


def _series(
    values: st.SearchStrategy[float], longest_gap_ms: int = 90_000
) -> st.SearchStrategy[list[Sample]]:
    """Samples with ascending timestamps, gaps and resets."""

    def build(steps: list[tuple[int, float]]) -> list[Sample]:
        at_ms, samples = 0, []
        for gap_ms, value in steps:
            at_ms += gap_ms
            samples.append((at_ms, value))
        return samples

    return st.lists(st.tuples(st.integers(1, longest_gap_ms), values), max_size=40).map(build)


def _columns(samples: Sequence[Sample]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return (
        np.array([0, len(samples)], np.int64),
        np.array([t for t, _ in samples], np.int64),
        np.array([v for _, v in samples], np.float64),
    )


def _exact(samples: Sequence[Sample], ends: Sequence[int], window_ms: int) -> tuple[list[float], list[bool]]:
    values, present = kernels.exact_increase(
        *_columns(samples), np.array(ends, np.int64), window_ms, PREVIOUS_SAMPLE_MS
    )
    return values[0].tolist(), present[0].tolist()


def _naive_exact(samples: Sequence[Sample], end: int, window_ms: int) -> float | None:
    """The definition, word for word."""
    finite = [(t, v) for t, v in samples if math.isfinite(v)]
    rises = []
    for i, (t, v) in enumerate(finite):
        if not end - window_ms < t <= end:
            continue
        if i == 0 or t - finite[i - 1][0] > PREVIOUS_SAMPLE_MS:
            rises.append(0.0)
        else:
            before = finite[i - 1][1]
            rises.append(v - before if v >= before else v)
    return math.fsum(rises) if rises else None


@unhurried
@given(_series(_odd_values, 2_000_000), st.integers(1, 5_000_000), st.integers(1, 500_000))
def test_exact_increase_equals_the_definition(samples: list[Sample], window_ms: int, step_ms: int) -> None:
    samples = [(t, abs(v)) for t, v in samples]
    ends = [i * step_ms for i in range(60)]
    values, present = _exact(samples, ends, window_ms)
    for end, value, there in zip(ends, values, present, strict=True):
        expected = _naive_exact(samples, end, window_ms)
        assert there == (expected is not None)
        if expected is not None:
            # The naive differences round each; those of the kernel do not.
            assert close(value, expected, 1e-9) or abs(value - expected) <= 1e-16 * max(
                v for _, v in samples if math.isfinite(v)
            ) * len(samples)


@unhurried
@given(_series(_counts), st.integers(1, 30), st.integers(1_000, 120_000))
def test_exact_increase_of_whole_numbers_is_additive(
    samples: list[Sample], minutes: int, minute_ms: int
) -> None:
    ends = [(i + 1) * minute_ms for i in range(minutes)]
    parts, _ = _exact(samples, ends, minute_ms)
    whole, _ = _exact(samples, [minutes * minute_ms], minutes * minute_ms)
    assert sum(parts) == whole[0]


@unhurried
@given(_series(_odd_values.map(abs)), st.integers(1, 30), st.integers(1_000, 120_000))
def test_exact_increase_is_additive(samples: list[Sample], minutes: int, minute_ms: int) -> None:
    parts, _ = _exact(samples, [(i + 1) * minute_ms for i in range(minutes)], minute_ms)
    whole, _ = _exact(samples, [minutes * minute_ms], minutes * minute_ms)
    assert close(math.fsum(parts), whole[0], 1e-12)


@unhurried
@given(_series(_counts), st.integers(0, 40))
def test_exact_increase_does_not_depend_on_what_was_fetched_before(samples: list[Sample], first: int) -> None:
    """One more hour of history than a window needs changes nothing."""
    end, window_ms = 3_600_000, 60_000
    late = [(t + 2_000_000, v) for t, v in samples]
    needed = [(t, v) for t, v in late if t > end - window_ms - PREVIOUS_SAMPLE_MS]
    assert _exact(late, [end], window_ms) == _exact(needed, [end], window_ms)


def test_exact_increase_keeps_small_steps_after_a_reset_from_a_large_value() -> None:
    samples = [(1000, 1e17), (2000, 0.25), (3000, 0.5), (4000, 0.25), (5000, 1.0)]
    assert _exact(samples, [5000], 4000) == ([0.25 + 0.25 + 0.25 + 0.75], [True])


def test_exact_increase_says_where_there_is_nothing() -> None:
    samples = [(1000, 5.0), (100_000, 7.0)]
    assert _exact(samples, [1000, 60_000, 100_000], 30_000) == ([0.0, 0.0, 2.0], [True, False, True])


def _naive_rate(
    samples: Sequence[Sample], end: int, range_ms: int, counter: bool, per_second: bool
) -> float | None:
    """prometheus/prometheus, promql/functions.go at v3.14: extrapolatedRate for floats without start
    timestamps.
    """
    inside = [(t, v) for t, v in samples if end - range_ms < t <= end]
    if len(inside) < 2:
        return None
    rise = inside[-1][1] - inside[0][1]
    if counter:
        for (_, before), (_, after) in itertools.pairwise(inside):
            if after < before:
                rise += before
    to_start = (inside[0][0] - (end - range_ms)) / 1000
    to_end = (end - inside[-1][0]) / 1000
    sampled = (inside[-1][0] - inside[0][0]) / 1000
    average = sampled / (len(inside) - 1)
    threshold = average * 1.1
    if to_start >= threshold:
        to_start = average / 2
    if counter:
        to_zero = to_start
        if rise > 0 and inside[0][1] >= 0:
            to_zero = sampled * (inside[0][1] / rise)
        to_start = min(to_zero, to_start)
    if to_end >= threshold:
        to_end = average / 2
    factor = (sampled + to_start + to_end) / sampled
    if per_second:
        factor /= range_ms / 1000
    return rise * factor


@pytest.mark.parametrize(("counter", "per_second"), [(True, True), (True, False), (False, False)])
@unhurried
@given(samples=_series(_odd_values), range_ms=st.integers(1, 600_000), step_ms=st.integers(1, 120_000))
def test_rate_is_that_of_prometheus(
    counter: bool, per_second: bool, samples: list[Sample], range_ms: int, step_ms: int
) -> None:
    ends = [i * step_ms for i in range(40)]
    values, present = kernels.extrapolated(
        *_columns(samples), np.array(ends, np.int64), range_ms, counter, per_second
    )
    for j, end in enumerate(ends):
        expected = _naive_rate(samples, end, range_ms, counter, per_second)
        assert bool(present[0, j]) == (expected is not None)
        if expected is not None:
            assert close(float(values[0, j]), expected, 1e-14)


@unhurried
@given(_series(_odd_values), st.integers(1, 600_000), st.integers(1, 120_000))
def test_folds_equal_plain_python(samples: list[Sample], range_ms: int, step_ms: int) -> None:
    ends = [i * step_ms for i in range(40)]
    grid = np.array(ends, np.int64)
    plain: dict[int, Callable[[list[float]], float]] = {
        kernels.COUNT: lambda window: float(len(window)),
        kernels.LAST: lambda window: window[-1],
        kernels.FIRST: lambda window: window[0],
        kernels.MAX: lambda window: max((v for v in window if not math.isnan(v)), default=math.nan),
        kernels.MIN: lambda window: min((v for v in window if not math.isnan(v)), default=math.nan),
        kernels.RESETS: lambda window: float(sum(b < a for a, b in itertools.pairwise(window))),
    }
    for code, function in plain.items():
        values, present = kernels.fold(
            code, *_columns(samples), grid, range_ms, np.zeros(40), np.zeros(40), grid, 1
        )
        for j, end in enumerate(ends):
            window = [v for t, v in samples if end - range_ms < t <= end]
            assert bool(present[0, j]) == bool(window)
            if window:
                assert close(float(values[0, j]), function(window))


@unhurried
@given(st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=20), st.floats(0, 1))
def test_quantile_over_time_interpolates_with_nan_lowest(values: list[float], q: float) -> None:
    samples = [(i + 1, value) for i, value in enumerate(values)]
    grid = np.array([len(values)], np.int64)
    found, _ = kernels.fold(
        kernels.QUANTILE, *_columns(samples), grid, 1000, np.array([q]), np.zeros(1), grid, 1
    )
    ordered = sorted(values, key=lambda value: -math.inf if math.isnan(value) else value)
    rank = q * (len(values) - 1)
    lower = math.floor(rank)
    upper = min(len(values) - 1, lower + 1)
    weight = rank - lower
    assert close(float(found[0, 0]), ordered[lower] * (1 - weight) + ordered[upper] * weight)


def test_a_window_of_the_exact_increase_costs_the_same_whatever_its_length() -> None:
    """Not by the clock: a window over everything and one over a minute touch the same prefix sums."""
    samples = [(i * 1000, float(i % 100)) for i in range(10_000)]
    whole, _ = _exact(samples, [9_999_000], 10_000_000)
    parts, _ = _exact(samples, [i * 60_000 + 39_000 for i in range(167)], 60_000)
    assert whole[0] == sum(parts)


def test_warm_loads_from_the_cache() -> None:
    kernels.warm()
    program = (
        "from setpoint.promql import group_kernels, kernels; kernels.warm(); "
        "made = {name: one.stats for module in (kernels, group_kernels) for name, one in vars(module).items() "
        "if hasattr(one, 'stats')}; "
        "print(sum(bool(one.cache_hits) for one in made.values()), "
        "[name for name, one in made.items() if one.cache_misses])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded, _, compiled = done.stdout.strip().partition(" ")
    assert int(loaded) >= 9  # the kernels that Python calls; what they call comes with them
    assert compiled == "[]"
