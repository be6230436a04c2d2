"""Warnings and infos, where in the query they point, and which series limitk and limit_ratio keep."""

from __future__ import annotations

import numpy as np
import pytest
from tests.promql.samples import Series, every, selecting

from setpoint.promql import parse
from setpoint.promql.budget import Budget
from setpoint.promql.errors import ExecutionError
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.hash_kernels import xxh64
from setpoint.promql.model import Matrix
from setpoint.promql.nodes import walk
from setpoint.promql.notes import shown

SERIES: Series = {
    "gauge": every(15, [1, 2, 3, 4, 5]),
    "things_total": every(15, [1, 2, 3, 4, 5]),
    **{f'many{{i="{i}"}}': every(15, [i] * 5) for i in range(200)},
}


def at_60(query: str) -> Matrix:
    return evaluate_instant(parse(query), 60_000, selecting(SERIES))


@pytest.mark.parametrize(
    ("query", "info"),
    [
        ("rate(gauge[1m])", '"gauge" (1:6)'),
        ("1 +\n  sum(increase( gauge[1m]))", '"gauge" (2:17)'),
        ("abs(rate((gauge[1m:15s])))", '"gauge" (1:10)'),
    ],
)
def test_a_rate_of_what_is_no_counter(query: str, info: str) -> None:
    expected = "PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: "
    assert at_60(query).infos == (expected + info,)


@pytest.mark.parametrize(
    "query", ["rate(things_total[1m])", "rate(gauge[1s])", "delta(gauge[1m])", "rate(no[5m])"]
)
def test_nothing_is_said_of_counters_and_of_nothing(query: str) -> None:
    result = at_60(query)
    assert (result.warnings, result.infos) == ((), ())


@pytest.mark.parametrize(
    ("query", "warning"),
    [
        ("quantile(1.5, many)", "quantile value should be between 0 and 1, got 1.5 (1:10)"),
        ("quantile(NaN, many)", "quantile value should be between 0 and 1, got NaN (1:10)"),
        ("quantile_over_time(-1, gauge[1m])", "quantile value should be between 0 and 1, got -1 (1:20)"),
        ("limit_ratio(2, many)", "ratio value should be between -1 and 1, got 2, capping to 1 (1:13)"),
        ("limit_ratio(-1.1, many)", "ratio value should be between -1 and 1, got -1.1, capping to -1 (1:13)"),
    ],
)
def test_parameters_out_of_range(query: str, warning: str) -> None:
    assert at_60(query).warnings == (f"PromQL warning: {warning}",)


def test_sorting_a_range_says_that_it_does_nothing() -> None:
    result = evaluate(parse("sort_desc(many)"), 0, 60_000, 15_000, selecting(SERIES))
    assert result.warnings == (
        "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)",
    )
    assert at_60("sort_desc(many)").warnings == ()


def test_at_most_ten_are_told() -> None:
    series = {f'gauge{i}{{i="{i}"}}': every(15, [1, 2, 3, 4, 5]) for i in range(13)}
    result = evaluate_instant(parse('rate({__name__=~"gauge.*"}[1m])'), 60_000, selecting(series))
    assert len(result.infos) == 11
    assert result.infos[10] == "3 more info annotations omitted"


def test_places_are_where_the_parts_begin() -> None:
    query = 'sum by (a) (rate(x{b="}"}[1m] offset -5m)) / ignoring(z) group_left(q) count(y) without (b) # c\n> -(2)'
    found = [(type(node).__name__, getattr(node, "place", "")) for node in walk(parse(query))]
    places = [(kind, place) for kind, place in found if place]
    assert places == [
        ("Binary", "1:1"),
        ("Binary", "1:1"),
        ("Aggregation", "1:1"),
        ("Call", "1:13"),
        ("MatrixSelector", "1:18"),
        ("Aggregation", "1:72"),
        ("VectorSelector", "1:78"),
        ("Unary", "2:3"),
        ("NumberLiteral", "2:4"),
    ]
    assert parse("a + a").left == parse("a + a").right  # type: ignore[union-attr]


def test_numbers_are_written_as_go_does() -> None:
    values = [1.0, -0.5, 1e6, 123456789.0, 1e-5, 0.0001, 100000.0, float("inf"), float("nan")]
    expected = ["1", "-0.5", "1e+06", "1.23456789e+08", "1e-05", "0.0001", "100000", "+Inf", "NaN"]
    assert [shown(value) for value in values] == expected


def test_the_hash_is_xxh64() -> None:
    texts = [b"", b"a", b"abc", b"Nobody inspects the spammish repetition"]
    offsets = np.cumsum([0, *map(len, texts)])
    hashes = xxh64(np.frombuffer(b"".join(texts), np.uint8), offsets)
    assert [hex(one) for one in hashes.tolist()] == [
        "0xef46db3751d8e999",
        "0xd24ec4f1a98c6e5b",
        "0x44bc2cf5ad770999",
        "0xfbcea83c8a378bf1",
    ]


def test_a_ratio_and_its_complement_are_all_series() -> None:
    kept, rest = at_60("limit_ratio(0.3, many)"), at_60("limit_ratio(-0.7, many)")
    assert 30 < len(kept.labels) < 90
    together = sorted(int(labels["i"]) for labels in (*kept.labels, *rest.labels))
    assert together == list(range(200))
    assert at_60("limit_ratio(0, many)").labels == ()
    assert len(at_60("limit_ratio(1, many)").labels) == 200
    with pytest.raises(ExecutionError, match="Ratio value is NaN"):
        at_60("limit_ratio(NaN, many)")


def test_limitk_keeps_the_first_of_each_group() -> None:
    series = {f'm{{g="{i % 2}",i="{i}"}}': every(15, [None, 1] if i < 4 else [1, 1]) for i in range(8)}
    found = evaluate(
        parse("limitk by (g) (2, m)"), 0, 15_000, 15_000, selecting(series), budget=Budget(10_000)
    )
    held = [
        {int(labels["i"]) for labels, row in zip(found.labels, found.present, strict=True) if row[step]}
        for step in range(2)
    ]
    assert held == [{4, 5, 6, 7}, {0, 1, 2, 3}]
    assert at_60("limitk(0, many)").labels == ()
    assert len(at_60("limitk(1000, many)").labels) == 200


def test_classic_buckets_that_are_wrong() -> None:
    series: Series = {
        'b{le="1"}': every(15, [5, 5]),
        'b{le="2"}': every(15, [4, 6]),
        'b{le="4"}': every(15, [3, 7]),
        'b{le="+Inf"}': every(15, [9, 9]),
        'b{le="x"}': every(15, [1, 1]),
        "b": every(15, [1, 1]),
    }
    select = selecting(series)
    found = evaluate_instant(parse("histogram_quantile(0.9, b)"), 0, select)
    assert found.warnings == (
        'PromQL warning: bucket label "le" is missing or has a malformed value of "x" (1:25)',
        'PromQL warning: bucket label "le" is missing or has a malformed value of "" (1:25)',
    )
    assert found.infos == (
        "PromQL info: input to histogram_quantile needed to be fixed for monotonicity (see "
        "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile), from buckets 2 to 4, "
        "with a max diff of 2, over 1 samples from 1970-01-01T00:00:00Z to 1970-01-01T00:00:00Z (1:25)",
    )
    assert not evaluate_instant(parse("histogram_quantile(0.9, b)"), 15_000, select).infos
    outside = evaluate_instant(parse("histogram_quantile(2, b)"), 0, select)
    assert "PromQL warning: quantile value should be between 0 and 1, got 2 (1:20)" in outside.warnings


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (r'count_values("a\xc5z", many)', r'invalid label name "a\xc5z"'),
        (
            r'label_replace(many, "\xff", "", "i", ".*")',
            r'invalid destination label name in label_replace(): "\xff"',
        ),
        ('label_join(many, "", "-", "i")', 'invalid destination label name in label_join(): ""'),
        ('label_replace(many, "a", "", "i", "(.*")', "invalid regular expression in label_replace(): (.*"),
        ("topk(NaN, nothing)", "Parameter value is NaN"),
    ],
)
def test_names_and_expressions_that_cannot_be(query: str, message: str) -> None:
    with pytest.raises(ExecutionError) as raised:
        at_60(query)
    assert message in raised.value.message


def test_literals_are_read_as_go_reads_them() -> None:
    text = r'"\xc3\xa9 \u00e9 \101 \n \\ \" é"'
    assert evaluate_instant(parse(text), 0, selecting({})).text == 'é é A \n \\ " é'
    assert evaluate_instant(parse(r'"\xff"'), 0, selecting({})).text == "\ufffd"
    labels = at_60(r'label_replace(things_total, "名", "\xc3\xa9", "", "")').labels
    assert labels == ({"__name__": "things_total", "名": "é"},)
