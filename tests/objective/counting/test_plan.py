"""Events of many objectives counted at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.objective.counting.feed import Feed
from setpoint.objective.counting.plan import NEVER_MS, Counted, Counting, Plan, settled, summed
from setpoint.objective.from_promql import EventQuery, Grouped, of_group
from setpoint.objective.model import Objective
from setpoint.promql.nodes import LabelMatcher
from setpoint.promql.parse import parse
from setpoint.promql.show import narrowed, show
from tests.objective.memory import Samples

MINUTE_MS = 60_000
FIRST = 28_000_000  # a minute since 1970


def objective(name: str, total: str = "sum(t)", good: str | None = "sum(g)", **more: object) -> Objective:
    return Objective(name, "shop", 0.99, 86_400, total, good, **more)  # type: ignore[arg-type]


def feed(samples: Samples) -> Feed:
    return Feed(samples.select, samples.take_oldest_write_ms, samples.oldest_sample_ms, lambda: 0)


def plan(samples: Samples, *objectives: Objective) -> Plan:
    return Counting(lambda source: feed(samples)).plan(objectives)


def count(made: Plan, first: int, end: int, slot_s: int = 60) -> Counted:
    return made.count(np.arange(len(made.objectives)), first, end, slot_s)


@pytest.fixture
def samples() -> Samples:
    return Samples()


def test_a_ready_made_ratio_is_one_event_of_a_minute(samples: Samples) -> None:
    for minute, value in enumerate((0.25, 1.5, float("nan"), 0.0)):
        samples.add("ratio", (FIRST + minute + 1) * MINUTE_MS, value)
    made = plan(
        samples,
        objective("good", "ratio", None, kind="raw"),
        objective("bad", "ratio", None, kind="raw", raw_is_failure=True),
    )
    found, cut = settled(count(made, FIRST, FIRST + 4))
    assert found.good.tolist() == [[0.25, 1.0, 0.0, 0.0], [0.75, 0.0, 0.0, 1.0]]
    assert found.total.tolist() == [[1, 1, 0, 1]] * 2
    assert found.present.tolist() == [[True, True, False, True]] * 2
    assert cut.tolist() == [[False, True, False, False]] * 2


@pytest.mark.parametrize(
    ("op", "expected"),
    [("lt", [1, 0, 0, 0]), ("lte", [1, 1, 0, 0]), ("gt", [0, 0, 0, 1]), ("gte", [0, 1, 0, 1])],
)
def test_a_value_is_compared_at_the_end_of_each_minute(
    samples: Samples, op: str, expected: list[float]
) -> None:
    for minute, value in enumerate((0.4, 0.5, float("nan"), float("inf"))):
        samples.add("seconds", (FIRST + minute) * MINUTE_MS + 1, 0.9)
        samples.add("seconds", (FIRST + minute + 1) * MINUTE_MS, value)
    made = plan(samples, objective("fast", "seconds", None, kind="threshold", op=op, value=0.5))
    found = count(made, FIRST, FIRST + 4)
    assert found.good.tolist() == [expected]
    assert found.total.tolist() == [[1, 1, 0, 1]]
    assert found.present.tolist() == [[True, True, False, True]]
    assert not made.by_slice.any() and not made.is_additive.any()


def test_a_query_that_cannot_be_computed_leaves_the_others_alone(samples: Samples) -> None:
    for at, value in ((0, 0.0), (1, 10.0)):
        samples.add("t", (FIRST + at) * MINUTE_MS, value, pod="a")
        samples.add("t", (FIRST + at) * MINUTE_MS, value, pod="b")
        samples.add("g", (FIRST + at) * MINUTE_MS, value)
    made = plan(samples, objective("several", "t"), objective("well"))
    found = count(made, FIRST, FIRST + 1)
    assert list(found.errors) == [0] and isinstance(found.errors[0], InvalidInput)
    assert "total query returns 2 series" in found.errors[0].message
    assert found.total.tolist() == [[0], [20]] and found.good.tolist() == [[0], [10]]


def test_slices_sum_to_minutes(samples: Samples) -> None:
    for at in range(0, 61, 5):
        samples.add("t", FIRST * MINUTE_MS + at * 1000, float(at))
    made = plan(samples, objective("one", good=None, bad_query="sum(b)"))
    found = count(made, FIRST * 12, FIRST * 12 + 12, 5)
    assert found.total.tolist() == [[5.0] * 12]
    minute = summed(found, 12)
    assert minute.first == FIRST and minute.total.tolist() == minute.good.tolist() == [[60.0]]


def test_changes_are_told_once_and_survive_a_new_plan(samples: Samples) -> None:
    counting = Counting(lambda source: feed(samples))
    made = counting.plan([objective("one"), objective("spans", engine="spans")])
    assert made.take_changes().tolist() == [NEVER_MS, NEVER_MS]
    samples.add("t", FIRST * MINUTE_MS, 1.0)
    assert made.take_changes().tolist() == [FIRST * MINUTE_MS, NEVER_MS]
    assert made.take_changes().tolist() == [NEVER_MS, NEVER_MS]
    samples.add("t", FIRST * MINUTE_MS, 1.0)
    made = counting.plan([objective("one")])
    assert made.take_changes().tolist() == [FIRST * MINUTE_MS]


@given(
    st.lists(
        st.text('a_01"\\\\\n{}é', max_size=6) | st.sampled_from(["group_0", "group_1", "group__1"]),
        min_size=2,
    )
)
@settings(max_examples=100)
def test_a_query_of_a_group_is_the_query_with_its_labels(values: list[str]) -> None:
    for query in (
        "sum by (a) (t) / sum(u offset 1m)",
        'label_replace(t{x="group_0"}, "y", "group_1", "x", "(.*)")',
    ):
        group = {f"label {number}" if number else "a": value for number, value in enumerate(values)}
        matchers = [LabelMatcher(name, "=", value) for name, value in group.items()]
        assert of_group(query, group) == show(narrowed(parse(query), matchers))


def _sums(query: str) -> tuple[Grouped, ...]:
    formula = EventQuery(query, role="total", is_counter=True).formula
    return () if formula is None else formula.sums


def test_a_sum_by_labels_that_its_matchers_fix_is_one_number_and_needs_no_labels_of_series() -> None:
    query = of_group("sum by (service) (requests_total)", {"service": "cart"})
    assert [one.is_one for one in _sums(query)] == [True]
    assert [one.is_one for one in _sums(f"1 - 2 * {query}")] == [True]
    assert [one.labels for one in _sums('sum by (service, pod) (t{service="cart"})')] == [("pod",)]
    for several in ('sum by (service) (t{service=~"cart|shop"})', 'sum by (service) (t{service!="cart"})'):
        assert [one.labels for one in _sums(several)] == [("service",)]
    # A label decides what it meets here: the query language has to say.
    assert _sums(f"{query} or vector(0)") == () == _sums(f"{query} / sum(t)")
