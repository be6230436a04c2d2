"""Arithmetic in durations is computed before the query is parsed; plain durations and other texts stay as they are."""

from __future__ import annotations

import pytest

from setpoint.promql import QueryError, parse
from setpoint.promql.durations import fold_durations
from setpoint.promql.nodes import walk


@pytest.mark.parametrize(
    ("query", "folded"),
    [
        ("rate(x[5m])", "rate(x[5m])"),
        ("x[5m:] offset 1h30m", "x[5m:] offset 1h30m"),
        ("x[1h*2]", "x[7200000ms]"),
        ("x[ 24m + ((1.5*2m) + 2m) ]", "x[1740000ms]"),
        ("x[1h30m % 1h:2*15s]", "x[1800000ms:30000ms]"),
        ("x[5m:step()]", "x[300000ms:15000ms]"),
        ("x[max_of(4*STEP(), 1m)] offset range()", "x[60000ms] offset 3600000ms"),
        ("x offset (2 ^ 2) + 1", "x offset 4000ms + 1"),
        ("x offset (-2 ^ 2)", "x offset -4000ms"),
        ("x offset -step() * 2", "x offset -15000ms * 2"),
        ("x offset (1h - 60m)", "x "),
        ("x offset 2 ^ 2", "x offset 2 ^ 2"),
        ('x{a="[1h*2] offset (1)"} # [1+1]', 'x{a="[1h*2] offset (1)"} # [1+1]'),
        ('sum by (offset) (x{offset="a"})', 'sum by (offset) (x{offset="a"})'),
        ("x[5m", "x[5m"),
        ("x[]", "x[]"),
    ],
)
def test_what_becomes_of_durations(query: str, folded: str) -> None:
    assert fold_durations(query, step_ms=15_000, range_ms=3_600_000) == folded


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("x[5m - 1h]", "duration must be greater than 0"),
        ("x[step()]", "duration must be greater than 0"),
        ("x[5m / 0]", "division by zero"),
        ("x[5m % (1 - 1)]", "modulo by zero"),
        ("x[9^999]", "out of range"),
        ("x[(-1)^0.5]", "out of range"),
        ("x[2 * banana]", "'banana' is no duration"),
        ("x[2 * (1m]", "expected ')'"),
        ("x[min_of(1m)]", "expected ','"),
    ],
)
def test_durations_that_cannot_be(query: str, says: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse(query)
    assert says in raised.value.message
    assert raised.value.http_status == 400


def test_places_are_those_of_the_text_that_was_written() -> None:
    node = parse("sum(rate(x[1h * 2] offset (2 * 3m))) + y")
    found = [getattr(part, "place", "") for part in walk(node)]
    assert found == ["1:1", "1:1", "1:5", "1:10", "", "1:40"]
