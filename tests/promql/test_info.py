"""info(): labels of info series join those of a series with the same instance and job."""

from __future__ import annotations

import pytest
from tests.promql.samples import Series, every, selecting

from setpoint.errors import InvalidInput
from setpoint.promql import parse
from setpoint.promql.errors import ExecutionError
from setpoint.promql.evaluate import evaluate, evaluate_instant

SERIES: Series = {
    'up{instance="a",job="x",zone="own"}': every(60, [1] * 20),
    'up{instance="b",job="x"}': every(60, [1] * 20),
    "lonely": every(60, [1] * 20),
    'target_info{instance="a",job="x",zone="z1",version="1"}': every(60, [1, 1, 1]),
    'target_info{instance="a",job="x",zone="z1",version="2"}': every(60, [None, None, 1, 1, 1]),
    'build_info{instance="a",job="x",commit="c0ffee"}': every(60, [1] * 20),
}


def labels_at(query: str, seconds: float) -> list[dict[str, str]]:
    found = evaluate_instant(parse(query), int(seconds * 1000), selecting(SERIES))
    return [{name: value for name, value in labels.items() if name != "__name__"} for labels in found.labels]


A, B = {"instance": "a", "job": "x", "zone": "own"}, {"instance": "b", "job": "x"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("info(up)", [A | {"version": "1"}, B]),
        ('info(up, {version=~".+"})', [A | {"version": "1"}]),
        ('info(up, {version="3"})', []),
        ('info(up, {zone=~".*"})', [A, B]),
        ("info(up, {})", [A | {"version": "1"}, B]),
        ('info(up, {__name__="build_info"})', [A | {"commit": "c0ffee"}, B]),
        ('info(up, {__name__=~".+_info"})', [A | {"commit": "c0ffee", "version": "1"}, B]),
        ('info(up, {__name__!="target_info"})', [A | {"commit": "c0ffee"}, B]),
        ("info(lonely)", [{}]),
        ('info(lonely, {version=~".+"})', []),
        (
            "info(build_info)",
            [{"instance": "a", "job": "x", "version": "1", "zone": "z1", "commit": "c0ffee"}],
        ),
        ("info(target_info)", [{"instance": "a", "job": "x", "version": "1", "zone": "z1"}]),
        ("sum by (version) (info(up))", [{"version": "1"}, {}]),
    ],
)
def test_labels_that_are_added(query: str, expected: list[dict[str, str]]) -> None:
    assert labels_at(query, 60) == expected


def test_the_newest_info_series_counts_and_may_change() -> None:
    found = evaluate(parse('info(up{instance="a"})'), 180_000, 900_000, 60_000, selecting(SERIES))
    steps = {
        labels.get("version", ""): row.tolist()
        for labels, row in zip(found.labels, found.present, strict=True)
    }
    # The newest sample of version 2 is at 240 s; 300 s later there is none.
    assert steps == {"2": [True] * 6 + [False] * 7, "": [False] * 6 + [True] * 7}


def test_two_newest_ones_are_refused() -> None:
    with pytest.raises(ExecutionError, match="found duplicate series for info metric"):
        labels_at("info(up)", 120)
    with pytest.raises(InvalidInput):
        labels_at("info(up, up + up)", 60)


def test_the_time_of_the_first_selector_counts() -> None:
    assert labels_at("info(up offset 10m)", 660) == [A | {"version": "1"}, B]
    assert labels_at("info(up @ 60)", 1200) == [A | {"version": "1"}, B]
