"""Every kind of node in words, and words for everything that can be computed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.promql import parse
from setpoint.promql.explain import duration_in_words, explain
from setpoint.promql.nodes import ExactIncrease, LabelMatcher, VectorSelector
from setpoint.promql.supported import AGGREGATIONS, FUNCTIONS
from setpoint.promql.words import hint

EXPLAINED = {
    # selectors
    "up": "up",
    'up{job="shop"}': "up where job is shop",
    'a{b!="1", c=~"2.*", d!~"3"}': "a where b is not 1, c matches 2.* and d does not match 3",
    'a{b="", c!=""}': "a where b is empty and c is not empty",
    '{__name__=~"http_.*", job="shop"}': "every series where the metric's name matches http_.* and job is shop",
    "a offset 1h30m": "a 1 hour 30 minutes earlier",
    "a offset -1s": "a 1 second later",
    "a @ 0": "a at 1970-01-01T00:00:00.000Z",
    "a @ end() offset 5m": "a at the end of the shown time 5 minutes earlier",
    "a[5m]": "the samples over 5 minutes of a",
    "a[1d:1m]": "the samples over 1 day of a, taken every 1 minute",
    # literals and signs
    "42": "42",
    "0.1": "0.1",
    '"text"': '"text"',
    "-a": "minus a",
    # calls
    "rate(a[5m])": "per-second rate over 5 minutes of a",
    "max_over_time(rate(a[5m])[1h:1m] offset 1d)": "highest value over 1 hour of "
    "(per-second rate over 5 minutes of a), taken every 1 minute 1 day earlier",
    "quantile_over_time(0.9, a[1h])": "0.9 quantile over 1 hour of a",
    "abs(a - b)": "absolute value of (a minus b)",
    "hour()": "hour of the day (UTC) of now",
    "round(a)": "a, rounded",
    "round(a, 5)": "a, rounded to multiples of 5",
    "time()": "the time of each step, in Unix seconds",
    "absent(a)": "1 if there is no a",
    "predict_linear(a[1h], 3600)": "value expected 3600 seconds ahead, by the straight line over 1 hour of a",
    # aggregations
    'sum by (job) (rate(http_requests_total{code=~"5.."}[5m]))': "per-second rate over 5 minutes of "
    "http_requests_total where code matches 5.., summed by job",
    "sum(a)": "a, summed over all series",
    "avg by (x, y, z) (a)": "a, averaged by x, y and z",
    "max without (pod) (a)": "a, the highest over pod, keeping the other labels",
    "sum without () (a)": "a, summed for each set of labels",
    "sum(a + b)": "(a plus b), summed over all series",
    "topk(3, a)": "the 3 largest of a",
    "bottomk by (job) (3, sum by (job, x) (a))": "the 3 smallest of (a, summed by job and x), for each job",
    "quantile(0.5, a)": "the 0.5 quantile across the series of a",
    'count_values("v", a)': 'how many series have each value of a, with the value as the label "v"',
    # operators
    "a / b": "a divided by b",
    "sum(a) / 2": "(a, summed over all series) divided by 2",
    "a > 5": "a, only where greater than 5",
    "a > bool 5": "1 where a is greater than 5, else 0",
    "a </ 5": "a, of its observations only those up to 5",
    "a >/ 5": "a, of its observations only those above 5",
    "a and b": "a, where there is also b",
    "a or b": "a; where there is none, b",
    "a unless on (job) b": "a, where there is no b (matched on job)",
    "a * ignoring (x) b": "a times b (matched without regard to x)",
    "a * on (instance) group_left (version) b": "a times b (matched on instance, "
    "many on the left to one on the right, which lends version)",
    "a + on () group_right () b": "a plus b (matched whatever the labels, many on the right to one on the left)",
}


@pytest.mark.parametrize(("query", "words"), EXPLAINED.items())
def test_in_words(query: str, words: str) -> None:
    assert explain(parse(query)) == words


def test_the_exact_increase_of_objectives() -> None:
    node = ExactIncrease(VectorSelector((LabelMatcher("__name__", "=", "a"),)), 60_000)
    assert explain(node) == "exact increase over 1 minute of a"


def test_fill_is_told() -> None:
    assert explain(parse("a + fill_left(0) b")) == "a plus b (0 where the left side has none)"


@pytest.mark.parametrize("name", sorted(FUNCTIONS | AGGREGATIONS))
def test_everything_that_can_be_computed_has_words(name: str) -> None:
    assert hint(name), f"add {name} to setpoint.promql.words"
    assert "{" not in hint(name)


def test_hints() -> None:
    assert hint("rate") == "per-second rate over a range"
    assert hint("clamp") == "…, held between … and …"
    assert hint("topk") == "the … largest"
    assert hint("abs") == "absolute value"
    assert not hint("no_such_function")


@given(st.integers(1, 10**12))
@settings(max_examples=50)
def test_durations_say_all_of_it(duration_ms: int) -> None:
    sizes = {"day": 86_400_000, "hour": 3_600_000, "minute": 60_000, "second": 1000, "millisecond": 1}
    told = re.findall(r"(\d+) ([a-z]+?)s?(?: |$)", duration_in_words(duration_ms))
    assert sum(int(amount) * sizes[unit] for amount, unit in told) == duration_ms
    assert duration_in_words(-duration_ms) == duration_in_words(duration_ms)
