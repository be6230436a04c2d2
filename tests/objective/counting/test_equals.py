"""Counting many objectives at once gives what counting each by itself gives, whatever happens to their series."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import SetpointError
from setpoint.objective.counting import sums as counting_sums
from setpoint.objective.counting.count import EventCounter
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.plan import NEVER_MS, Counted, Counting, Plan
from setpoint.objective.model import Objective
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.selector_index import SelectorIndex
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.naive import batch

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
BEGIN_MS = 28_000_000 * MINUTE_MS
STALE = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
METRICS, CODES, PODS = ("a", "b"), ("200", "500"), ("x", "y", "z")

SELECTORS = (
    "{m}",
    '{m}{{code="200"}}',
    '{m}{{code!~"5.."}}',
    '{m}{{pod=~"x|y"}}',
    '{m}{{pod="x",code="500"}}',
    '{m}{{pod="nobody"}}',
    '{m}{{pod!="z"}}',
)
SHAPES = (
    "sum({s})",
    "sum({s})",
    "sum({s})",
    "{s}",
    "sum by (code) ({s})",
    "sum without (pod, code) ({s})",
    "sum by (pod) ({s}) * 2",
    "1 - sum by (pod, code) ({s})",
    "sum by (code) ({s}) or vector(0)",
    "sum by (code) ({s}) / sum({r})",
    "sum by (code) ({s}) - sum by (code) ({r})",
    "{s} / 4",
    "sum({s}) / 3",
    "2 * sum({s}) - 1",
    "-sum({s})",
    "sum({s}) - sum({r})",
    "sum({s}) + sum({r})",
    "sum({s}) / sum({r})",
    "sum({s}) or vector(0)",
    "(sum({s}) or vector(1)) + sum({r})",
    "avg({s})",
    "sum({s} * 2)",
    "sum(sum by (pod) ({s}))",
    "{s} + {r}",
    "sum({s} offset 1m)",
)


def objective(rng: random.Random, name: str) -> Objective:
    def query() -> str:
        one, other = (rng.choice(SELECTORS).format(m=rng.choice(METRICS)) for _ in range(2))
        return rng.choice(SHAPES).format(s=one, r=other)

    kind = rng.choice(("ratio", "ratio", "ratio", "ratio", "raw", "threshold"))
    good = query() if kind == "ratio" and rng.random() < 0.5 else None
    return Objective(
        name,
        "shop",
        0.99,
        86_400,
        query(),
        good,
        query() if kind == "ratio" and good is None else None,
        is_counter=rng.random() < 0.7,
        kind=kind,  # type: ignore[arg-type]
        raw_is_failure=rng.random() < 0.5,
        op=rng.choice(("lt", "lte", "gt", "gte")),
        value=float(rng.randrange(40)),
    )


@dataclass
class World:
    """A head that things happen to, and what was written since `written` was last cleared."""

    rng: random.Random
    now_ms: int = BEGIN_MS
    table: SeriesTable = field(default_factory=SeriesTable)
    written: list[tuple[Labels, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.head = Head(3 * HOUR_MS, self.table)
        self.head.complete_from(0)
        self.values: dict[tuple[str, ...], float] = {}

    def series(self) -> Labels:
        rng = self.rng
        return {"__name__": rng.choice(METRICS), "code": rng.choice(CODES), "pod": rng.choice(PODS)}

    def value(self, labels: Labels) -> float:
        key = tuple(labels.values())
        at = self.values.get(key, 0.0)
        drawn = self.rng.random()
        if drawn < 0.05:
            return self.rng.choice((float("nan"), float("inf"), STALE, -3.0))
        if drawn < 0.1:
            at = 0.0
        self.values[key] = at + self.rng.randrange(20)
        return self.values[key]

    def write(self, samples: Sequence[tuple[Labels, int, float]]) -> None:
        if samples:
            self.head.append(batch(samples))
            self.written += [(labels, at_ms) for labels, at_ms, _ in samples]

    def scrape(self) -> None:
        """A few rounds of samples of some series."""
        chosen = [self.series() for _ in range(self.rng.randrange(1, 8))]
        for _ in range(self.rng.choice((1, 4, 30))):
            self.now_ms += self.rng.choice((1000, 5000, 15_000, 15_000))
            self.write(
                [(one, self.now_ms, self.value(one)) for one in {str(one): one for one in chosen}.values()]
            )

    def late(self) -> None:
        """Samples in any order, some where there is one already."""
        some = []
        for _ in range(self.rng.randrange(1, 6)):
            one = self.series()
            at_ms = self.now_ms - self.rng.choice(
                (0, 5000, 60_000, 7 * MINUTE_MS, 80 * MINUTE_MS, 4 * HOUR_MS)
            )
            some.append((one, at_ms, self.value(one)))
        self.write(some)

    def pause(self) -> None:
        self.now_ms += self.rng.choice((MINUTE_MS, 50 * MINUTE_MS, 70 * MINUTE_MS, 4 * HOUR_MS))

    def flush(self) -> None:
        self.head.seal()
        list(self.head.unflushed())
        self.head.flushed()

    def evict(self) -> None:
        self.head.evict(self.now_ms)

    def happen(self, *, is_short: bool = False) -> None:
        short = self.scrape, self.scrape, self.scrape, self.late, self.flush
        self.rng.choice(short if is_short else (*short, self.pause, self.evict))()


def expected(plan: Plan, world: World, first: int, end: int, slot_s: int) -> Counted:
    """Each objective counted by itself."""
    shape = len(plan.objectives), end - first
    found = Counted(first, np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_), errors := {})
    for number, one in enumerate(plan.objectives):
        try:
            slots = EventCounter(one, world.head.select).count(first, end, slot_s)
        except SetpointError as error:
            errors[number] = error
            continue
        found.good[number], found.total[number], found.present[number] = (
            slots.good,
            slots.total,
            slots.present,
        )
    return found


def assert_equal(found: Counted, right: Counted, plan: Plan) -> None:
    messages = [{number: error.message for number, error in one.errors.items()} for one in (found, right)]
    assert messages[0] == messages[1]
    for number, one in enumerate(plan.objectives):
        for name in ("present", "total", "good"):
            mine, theirs = getattr(found, name)[number], getattr(right, name)[number]
            assert mine.tolist() == theirs.tolist(), (name, one)


def feed_of(head: Head) -> Feed:
    return Feed(head.select, head.take_oldest_write_ms, lambda: None, lambda: 0, head=head)


def check(world: World, plan: Plan) -> None:
    slot_s = world.rng.choice((5, 60))
    end = world.now_ms // (slot_s * 1000) + world.rng.choice((0, 1, 2))
    first = end - world.rng.choice((1, 3, 12, 130))
    found = plan.count(np.arange(len(plan.objectives)), first, end, slot_s)
    assert_equal(found, expected(plan, world, first, end, slot_s), plan)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_equals_counting_one_by_one(seed: int) -> None:
    follow(seed)


def test_equals_it_in_small_pieces_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting_sums, "_CELLS_AT_ONCE", 7)
    for seed in range(4):
        follow(seed)


def follow(seed: int) -> None:
    rng = random.Random(seed)
    world = World(rng)
    world.scrape()
    counting = Counting(lambda source: feed_of(world.head))
    plan = counting.plan([objective(rng, f"o{number}") for number in range(8)])
    for step in range(12):
        world.happen()
        check(world, plan)
        if step == 6:
            plan = counting.plan(
                [*plan.objectives[3:], *(objective(rng, f"p{number}") for number in range(3))]
            )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_tells_the_oldest_new_sample_of_each_objective(seed: int) -> None:
    world = World(random.Random(seed))
    world.scrape()
    queries = ('a{code="200"}', 'a{pod!="z"}', "b", 'b{pod="nobody"}')
    counting = Counting(lambda source: feed_of(world.head))
    asked = [Objective(query, "shop", 0.9, 86_400, f"sum({query})", f"avg({query})") for query in queries]
    plan = counting.plan(asked)
    index = SelectorIndex(
        [
            (Matcher("__name__", "=", "a"), Matcher("code", "=", "200")),
            (Matcher("__name__", "=", "a"), Matcher("pod", "!=", "z")),
            (Matcher("__name__", "=", "b"),),
            (Matcher("__name__", "=", "b"), Matcher("pod", "=", "nobody")),
        ]
    )
    world.written.clear()
    for step in range(12):
        if step == 6:
            plan = counting.plan(asked)
        if step % 2:  # what is gone before somebody asks, hours later, is not told
            world.happen(is_short=True)
        world.happen()
        right = [NEVER_MS] * len(asked)
        places, numbers = index.match([labels for labels, _ in world.written])
        for place, number in zip(places.tolist(), numbers.tolist(), strict=True):
            right[number] = min(right[number], world.written[place][1])
        world.written.clear()
        for told, oldest in zip(plan.take_changes().tolist(), right, strict=True):
            assert told <= oldest
        assert plan.take_changes().tolist() == [NEVER_MS] * len(asked)


def test_new_samples_of_one_objective_leave_the_others_alone() -> None:
    world = World(random.Random(1))
    for pod in PODS:
        world.write([({"__name__": "a", "pod": pod}, BEGIN_MS, 1.0)])
    counting = Counting(lambda source: feed_of(world.head))
    plan = counting.plan(
        [Objective(pod, "shop", 0.9, 86_400, f'sum(a{{pod="{pod}"}})', "sum(b)") for pod in PODS]
    )
    assert plan.take_changes().tolist() == [NEVER_MS] * 3
    world.write([({"__name__": "a", "pod": "y"}, BEGIN_MS + 15_000, 2.0)])
    assert plan.take_changes().tolist() == [NEVER_MS, BEGIN_MS + 15_000, NEVER_MS]
    world.write([({"__name__": "a", "pod": "x"}, BEGIN_MS - 40_000, 2.0)])
    world.write([({"__name__": "a", "pod": "new"}, BEGIN_MS + 15_000, 2.0)])
    assert plan.take_changes().tolist() == [BEGIN_MS - 40_000, NEVER_MS, NEVER_MS]
    world.write([({"__name__": "b"}, BEGIN_MS + 20_000, 2.0), ({"__name__": "b"}, BEGIN_MS + 30_000, 2.0)])
    assert plan.take_changes().tolist() == [BEGIN_MS + 20_000] * 3


@pytest.mark.parametrize("objectives", [200])
def test_counts_what_was_recorded(objectives: int) -> None:
    """Births, resets and a service that is gone, counted by hand."""
    world = World(random.Random(1))
    names = [f"service-{number}" for number in range(objectives)]
    counting = Counting(lambda source: feed_of(world.head))
    plan = counting.plan(
        [
            Objective(
                name, "shop", 0.9, 86_400, f'sum(http{{service="{name}"}})',
                f'sum(http{{service="{name}",code!~"5.."}})',
            )
            for name in names
        ]
    )  # fmt: skip
    for at, (ok, bad) in enumerate(((10, 0), (30, 2), (3, 5), (4, 5))):
        at_ms = BEGIN_MS + at * 15_000
        world.write(
            [({"__name__": "http", "service": name, "code": "200"}, at_ms, ok) for name in names]
            + [({"__name__": "http", "service": name, "code": "500"}, at_ms, bad) for name in names if at]
        )
    found = plan.count(np.arange(objectives), BEGIN_MS // 15_000, BEGIN_MS // 15_000 + 4, 15)
    assert found.total.tolist() == [[20.0, 6.0, 1.0, 0.0]] * objectives
    assert found.good.tolist() == [[20.0, 3.0, 1.0, 0.0]] * objectives
    assert found.present.tolist() == [[True, True, True, False]] * objectives
    assert plan.by_slice.all() and plan.is_additive.all() and not plan.speaks_in_silence.any()
