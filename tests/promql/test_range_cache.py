"""Range queries answered with and without the cache are the same to the bit, whatever was written in between."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.promql.samples import STALE, labels_of
from tests.telemetry.naive import accepted

from setpoint.promql import parse
from setpoint.promql.budget import Budget
from setpoint.promql.context import Options
from setpoint.promql.encode import encode
from setpoint.promql.evaluate import evaluate
from setpoint.promql.from_telemetry import (
    HistogramColumns,
    Matcher,
    SampleColumns,
    SelectHistograms,
    StoredHistograms,
)
from setpoint.promql.model import Matrix
from setpoint.promql.range_cache import RangeCache
from setpoint.promql.steadiness import reach_of
from setpoint.telemetry.columns import gather, label_key
from setpoint.telemetry.write_log import WriteLog

STEP_MS = 15_000
HOUR_MS = 3_600_000

STEADY = [
    "x_total",
    "x_total offset 1m",
    "rate(x_total[1m])",
    "rate(x_gauge[2m])",
    "increase(x_total[90s] offset 30s)",
    "irate(x_total[2m]) > 0.1",
    "sum by (a) (rate(x_total[1m]))",
    "sum by (a) (rate(x_gauge[1m]))",
    "avg without (b) (x_gauge * 0.1)",
    "stddev(x_gauge)",
    "topk(2, x_gauge)",
    "count by (a) (sum by (a, b) (x_total))",
    "sum by (a) (rate(x_total[1m])) / sum by (a) (rate(y_total[2m]))",
    "x_total / on (a, b) group_left () y_total",
    "x_total and on (a) y_total > 3",
    "x_gauge or y_total",
    "max_over_time(x_gauge[5m])",
    "min(min_over_time(x_gauge[20m]))",
    "changes(x_gauge[10m]) + resets(x_gauge[10m])",
    "deriv(x_gauge[2m])",
    "stddev_over_time(x_gauge[3m])",
    "absent(y_total)",
    "histogram_quantile(0.9, sum by (le, a) (rate(h_bucket[2m])))",
    "histogram_quantile(2, rate(h_bucket[2m]))",
    'label_replace(x_total, "c", "$1-", "a", "(.*)") * 2',
    "-clamp_max(x_gauge, 10)",
    "timestamp(x_total)",
]
OTHERS = [
    "sum_over_time(x_gauge[5m])",
    "max_over_time(x_gauge[5m:30s])",
    "sum(sum by (a) (x_gauge))",
    "x_total offset -1m",
    "x_total @ end()",
    "x_total @ 0",
    "x_total - start()",
    "sort(x_total)",
    "limit_ratio(0.5, x_total)",
    'sum({a="1"})',
    "exp(x_gauge)",
    "scalar(x_total) + x_total",
    "topk(scalar(y_total), x_total)",
    "quantile(0.5, x_total)",
    'count_values("v", x_total)',
    "time()",
    "vector(1)",
]
SERIES = [
    *(f'{name}{{a="{a}",b="{b}"}}' for name in ("x_total", "x_gauge") for a in "12" for b in "345"),
    *(f'y_total{{a="{a}",b="3"}}' for a in "12"),
    *(f'h_bucket{{a="1",le="{le}"}}' for le in ("0.1", "1", "+Inf")),
]


class World:
    """Samples in a dictionary, written and selected as a store does, and a cache over them."""

    def __init__(self, worth_s: float = 0.0, limit_bytes: int = 64 << 20) -> None:
        self.samples: dict[str, dict[int, float]] = {}
        self.log = WriteLog(length=5)
        self.state = 0
        self.fetched = 0
        self.cache = RangeCache(
            self.log, lambda: self.state, lambda: 0, worth_s=worth_s, limit_bytes=limit_bytes
        )

    def write(self, series: str, at_ms: int, value: float) -> None:
        self.samples.setdefault(series, {})[at_ms] = value
        self.log.note(at_ms)

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        pieces = []
        for text, held in self.samples.items():
            labels = labels_of(text)
            times = sorted(at_ms for at_ms in held if start_ms < at_ms <= end_ms)
            if times and accepted(matchers, labels):
                values = np.array([held[at_ms] for at_ms in times])
                pieces.append((labels, np.array(times, np.int64), values))
        found = gather(sorted(pieces, key=lambda piece: label_key(piece[0])))
        self.fetched += len(found.timestamps_ms)
        return found

    def ask(
        self, query: str, start_ms: int, end_ms: int, histograms: SelectHistograms | None = None
    ) -> tuple[str, Matrix]:
        """The cached answer, which is asserted to be the computed one."""
        node = parse(query, step_ms=STEP_MS, range_ms=end_ms - start_ms)
        grid = start_ms, end_ms, STEP_MS
        options = Options()

        def said(compute: Callable[[], Matrix]) -> tuple[str, Matrix | None]:
            with np.errstate(all="ignore"):
                try:
                    matrix = compute()
                except Exception as error:  # noqa: BLE001 — a query that fails has to fail in both ways
                    return repr(error), None
            text = b"".join(encode(matrix, is_range=True)).decode()
            return f"{text} {matrix.warnings} {matrix.infos}", matrix

        budget = Budget(options.max_samples)
        before = self.fetched
        kept, matrix = said(
            lambda: self.cache.evaluate(
                query, node, grid, self.select, options=options, budget=budget, histograms=histograms
            )
        )
        self.fetched, cost = before, self.fetched - before
        computed, _ = said(lambda: evaluate(node, *grid, self.select, options=options, histograms=histograms))
        assert kept == computed
        self.fetched = cost
        return kept, matrix if matrix is not None else Matrix.empty(np.empty(0, np.int64))


def filled(minutes: int = 60) -> World:
    world = World()
    for place, series in enumerate(SERIES):
        for k in range(minutes * 4):
            world.write(series, HOUR_MS + k * STEP_MS + 17 * place, k * (1.1 + place) % (97 + place))
    return world


END_MS = HOUR_MS + 58 * 60_000


@pytest.mark.parametrize("query", STEADY)
def test_a_step_later_only_the_new_steps_are_computed(query: str) -> None:
    world = filled()
    world.ask(query, END_MS - 30 * 60_000, END_MS)
    whole = world.fetched
    if "needed to be fixed" in world.ask(query, END_MS - 30 * 60_000, END_MS)[0]:
        return
    assert world.fetched == 0, "the same range again"
    later_ms = END_MS + STEP_MS
    world.ask(query, later_ms - 30 * 60_000, later_ms)
    assert world.fetched < whole * 0.8
    assert world.cache.hits == 2
    assert world.cache.steps_kept == 121 + 119


@pytest.mark.parametrize("query", OTHERS)
def test_a_query_whose_steps_may_depend_on_each_other_is_not_kept(query: str) -> None:
    assert reach_of(parse(query, step_ms=STEP_MS, range_ms=HOUR_MS), 300_000) is None
    world = filled(20)
    for _ in range(2):
        world.ask(query, HOUR_MS + 300_000, HOUR_MS + 600_000)
    assert (world.cache.hits, world.cache.misses, world.cache.size_bytes) == (0, 0, 0)


def test_a_late_sample_changes_a_kept_step() -> None:
    world = filled()
    query = "sum(x_total offset 1m)"
    before = world.ask(query, END_MS - 30 * 60_000, END_MS)[1]
    late_ms = END_MS - 10 * 60_000
    world.write('x_total{a="9"}', late_ms, 1e6)
    after = world.ask(query, END_MS - 30 * 60_000, END_MS)[1]
    changed = np.flatnonzero((before.values != after.values).any(axis=0))
    assert after.times_ms[changed[0]] == late_ms + 60_000
    assert world.cache.steps_kept == changed[0], "those before it were kept"


def test_an_info_comes_back_also_when_only_kept_steps_have_it() -> None:
    world = filled(45)
    for later in range(4):
        end_ms = END_MS - 15 * 60_000 + later * STEP_MS * 8
        said, matrix = world.ask("rate(x_gauge[2m])", end_ms - 30 * 60_000, end_ms)
        assert "might not be a counter" in said
    assert world.cache.hits == 2, "only where the new steps have it as well"
    assert len(matrix.labels) == 6


def test_who_is_a_little_behind_finds_the_steps_before() -> None:
    world = filled()
    for later in (0, 4, 1, 6, 3):
        end_ms = END_MS - 40 * STEP_MS + later * STEP_MS
        world.ask("sum by (a) (rate(x_total[1m]))", end_ms - 30 * 60_000, end_ms)
    assert (world.cache.hits, world.cache.misses) == (4, 1)


def test_what_the_database_loses_is_lost() -> None:
    world = filled()
    world.ask("x_total", END_MS - 30 * 60_000, END_MS)
    world.samples.clear()
    world.state += 1
    assert world.ask("x_total", END_MS - 30 * 60_000, END_MS)[1].labels == ()


def test_native_histograms_are_computed_anew() -> None:
    world = filled()
    nothing = StoredHistograms((), HistogramColumns(np.empty(0, np.int32), np.empty(0, np.int64), []))
    for histograms in (None, lambda matchers, start_ms, end_ms: nothing):
        world.ask("x_total", END_MS - 30 * 60_000, END_MS, histograms)
        world.write("x_total", END_MS, 1)
    assert world.cache.hits == 0
    assert world.cache.misses == 2
    assert world.cache.size_bytes == 0


def test_memory_is_bounded_and_the_longest_unused_goes_first() -> None:
    world = filled(20)
    size = World(limit_bytes=1 << 18)
    size.samples = world.samples
    for k in range(100):
        size.ask(f"x_total + {k}", HOUR_MS + 300_000, HOUR_MS + 900_000)
        size.ask("x_total", HOUR_MS + 300_000, HOUR_MS + 900_000)
        assert size.cache.size_bytes <= 1 << 18
    assert size.cache.hits == 99
    size.ask("x_total + 0", HOUR_MS + 300_000, HOUR_MS + 900_000)
    assert size.cache.hits == 99


def test_what_costs_little_is_not_kept() -> None:
    world = World(worth_s=60)
    world.write("x_total", HOUR_MS, 1)
    world.ask("x_total", HOUR_MS, 2 * HOUR_MS)
    assert (world.cache.misses, world.cache.size_bytes) == (1, 0)


def test_a_log_of_writes_never_says_too_late() -> None:
    log, rng = WriteLog(length=4), np.random.default_rng(5)
    noted: list[int] = []
    for at_ms in np.cumsum(rng.integers(-5, 10, 300)).tolist():
        log.note(at_ms)
        noted.append(at_ms)
        for mark in range(len(noted)):
            assert log.oldest_since_ms(mark) <= min(noted[mark:])
        assert log.oldest_since_ms(len(noted) - 1) == at_ms
        assert log.oldest_since_ms(log.mark()) > 2**60


values = st.one_of(
    st.integers(0, 50).map(float),
    st.floats(-1e3, 1e3, width=32),
    st.sampled_from([STALE, math.nan, math.inf, -math.inf, 0.0, -0.0, 1e300]),
)
minutes = st.integers(0, 40)
writes = st.lists(st.tuples(st.sampled_from(SERIES), minutes, st.integers(0, 59), values), max_size=12)
asking = st.tuples(st.sampled_from(STEADY), st.integers(0, 8), st.sampled_from([2, 10, 25, 40]))


@settings(max_examples=150, deadline=None)
@given(
    start=st.lists(st.tuples(st.sampled_from(SERIES), minutes, minutes, st.integers(0, 999)), max_size=8),
    turns=st.lists(st.tuples(writes, st.lists(asking, max_size=4), st.booleans()), max_size=6),
    query=st.sampled_from(STEADY),
)
def test_random_queries_and_writes(
    start: list[tuple[str, int, int, int]],
    turns: list[tuple[list[tuple[str, int, int, float]], list[tuple[str, int, int]], bool]],
    query: str,
) -> None:
    """The clock goes on a step each turn; samples come at any time of the last 40 minutes."""
    world = World()
    for series, first, length, seed in start:
        made = np.random.default_rng(seed).integers(-2, 30, length * 4 + 1).cumsum() % 400 / 7
        for k, value in enumerate(made.tolist()):
            world.write(series, HOUR_MS + first * 60_000 + k * STEP_MS + seed, value)
    now_ms = HOUR_MS + 40 * 60_000
    for written, asked, goes in turns:
        for series, minute, second, value in written:
            world.write(series, now_ms - minute * 60_000 - second * 1000, value)
        for text, back, length in [(query, 0, 25), *asked]:
            end_ms = now_ms - back * STEP_MS
            world.ask(text, end_ms - length * 60_000, end_ms)
        now_ms += STEP_MS if goes else 0
