"""The kernels against the walk: random requests in sequence, stored or failed, and mutated bodies.

Whatever the walk makes of a request, the kernels make of it, sample for sample and reason for reason; whatever the
protobuf library refuses, they refuse.
"""

from __future__ import annotations

import math
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from tests.telemetry.receive.decoding import Subject
from tests.telemetry.receive.messages import NOW_MS, NOW_NS, add_attributes, full_metrics_request
from tests.telemetry.receive.test_hostile import mutations
from tests.telemetry.receive.walk import Walk

SECOND_NS = 1_000_000_000
TEXTS = st.sampled_from(["", "a", "b", "service.name", "service.version", "x.y", "x_y", "0", "é", "_", "job"])
VALUES = st.one_of(
    st.sampled_from(["", "v", "ü" * 20, True, 7, 2.5, b"\x00\xff", ["a", 1], {"k": None}, None])
)
STRANGE = st.dictionaries(TEXTS, VALUES, max_size=3)
ATTRIBUTES: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.just({}), st.just({}), st.just({"a": "v"}), STRANGE
)
RESOURCES = st.one_of(st.just({"service.name": "a"}), st.just({"service.name": "a"}), STRANGE)
FLOATS = st.sampled_from([0.0, 1.0, 2.5, -1.0, 1e300, math.nan, math.inf, -math.inf])
GOOD_TIMES = st.sampled_from([NOW_NS - step * SECOND_NS for step in (0, 1, 2, 3, 60, 4000)] + [NOW_NS - 1000])
BAD_TIMES = st.sampled_from(
    [0, 1, NOW_NS + 700 * SECOND_NS, NOW_NS + 600 * SECOND_NS, 2**64 - 1, NOW_NS - 40 * 86_400 * SECOND_NS]
)
TIMES = st.integers(0, 19).flatmap(lambda choice: GOOD_TIMES if choice else BAD_TIMES)
STARTS = st.sampled_from([0, 5, *(NOW_NS - step * SECOND_NS for step in (0, 1, 2, 30, 3600, 3601, 5000, -5))])
COUNTS = st.sampled_from([0, 1, 3, 2**63, 2**64 - 1])
BOUNDS = st.sampled_from(
    [[], *[[1.0]] * 4, [0.5, 1.0], [1.0, 0.5], [1.0, math.inf], [math.nan], [math.inf], [-1.0, 0.0]]
)


@st.composite
def requests(draw: st.DrawFn) -> Any:
    request = full_metrics_request().__class__()
    for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
        resource_metrics = request.resource_metrics.add()
        add_attributes(resource_metrics.resource.attributes, draw(RESOURCES))
        resource_metrics.schema_url = draw(TEXTS)
        for _ in range(draw(st.sampled_from([0, 1, 1, 2]))):
            scope_metrics = resource_metrics.scope_metrics.add()
            scope_metrics.scope.name = draw(TEXTS)
            for _ in range(draw(st.integers(0, 3))):
                draw_metric(draw, scope_metrics.metrics.add())
    return request


def draw_metric(draw: st.DrawFn, metric: Any) -> None:
    metric.name = draw(st.sampled_from(["m", "m", "m", "n.total", "???"]))
    metric.unit = draw(st.sampled_from(["", "", "", "s", "1"]))
    metric.description = draw(st.sampled_from(["", "", "é"]))
    shape = draw(st.sampled_from(["gauge", "sum", "sum", "sum", "histogram", "histogram", "summary", ""]))
    if not shape:
        return
    data = getattr(metric, shape)
    data.SetInParent()
    if shape in ("sum", "histogram"):
        data.aggregation_temporality = draw(st.sampled_from([0, *[1] * 5, *[2] * 5]))
    if shape == "sum":
        data.is_monotonic = draw(st.sampled_from([True, True, False]))
    for _ in range(draw(st.integers(0, 3))):
        point = data.data_points.add(time_unix_nano=draw(TIMES), start_time_unix_nano=draw(STARTS))
        add_attributes(point.attributes, draw(ATTRIBUTES))
        point.flags = draw(st.sampled_from([0, 0, 0, 0, 1, 2**32 - 1]))
        draw_values(draw, shape, point)


def draw_values(draw: st.DrawFn, shape: str, point: Any) -> None:
    if shape in ("gauge", "sum"):
        match draw(st.integers(0, 9)):
            case 0:
                pass
            case 1 | 2:
                point.as_int = draw(st.sampled_from([0, 1, 5, -(2**63), 2**63 - 1]))
            case _:
                point.as_double = draw(FLOATS)
        return
    point.count = draw(COUNTS)
    if shape == "summary" or draw(st.booleans()):
        point.sum = draw(FLOATS)
    if shape == "histogram":
        bounds = draw(BOUNDS)
        point.explicit_bounds.extend(bounds)
        wanted = len(bounds) + 1 if draw(st.integers(0, 9)) else draw(st.integers(0, 2))
        point.bucket_counts.extend(draw(st.lists(COUNTS, min_size=wanted, max_size=wanted)))
    else:
        for level in draw(st.lists(st.sampled_from([0.0, 0.5, 0.99]), max_size=3)):
            point.quantile_values.add(quantile=level, value=draw(FLOATS))


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[Any, bool]]:
    """Requests that mostly are about the same series at other times, and whether each is stored."""
    first = draw(requests())
    sequence = [(first, True)]
    for _ in range(draw(st.integers(0, 4))):
        again = first.__class__.FromString(first.SerializeToString())
        for resource_metrics in again.resource_metrics:
            for scope_metrics in resource_metrics.scope_metrics:
                for metric in scope_metrics.metrics:
                    shape = metric.WhichOneof("data")
                    for point in getattr(metric, shape).data_points if shape else ():
                        point.time_unix_nano, point.start_time_unix_nano = draw(TIMES), draw(STARTS)
        sequence.append((again, draw(st.sampled_from([True, True, False]))))
    return sequence


@settings(max_examples=300, deadline=None, database=None)
@given(sequences())
def test_random_requests_in_sequence(sequence: list[tuple[Any, bool]]) -> None:
    subject, walk = Subject(), Walk(NOW_MS)
    for request, is_stored in sequence:
        body = request.SerializeToString()
        found, expected = subject.decode(body), walk.decode(body)
        assert subject.seen(found) == expected.samples
        assert found.items == expected.items
        assert found.rejections.count == expected.rejections.count
        assert reasons(found.rejections) == reasons(expected.rejections)
        if is_stored:
            subject.store(found)
            walk.stored(expected)
        else:
            found.on_failed()


def reasons(rejections: Any) -> dict[str, int]:
    """Reasons up to the comma or semicolon where some go on to say what to do."""
    found: dict[str, int] = {}
    for reason, count in rejections._reasons.items():
        is_short = reason.startswith("a delta")
        shown = re.split(r"[,;]| \(metric", reason)[0] if is_short else reason
        found[shown] = found.get(shown, 0) + count
    return found


@settings(max_examples=2000, deadline=None, database=None)
@given(mutations(full_metrics_request().SerializeToString()))
def test_mutated_bodies(body: bytes) -> None:
    subject, walk = Subject(), Walk(NOW_MS)
    try:
        expected = walk.decode(body)
    except InvalidInput:
        expected = None
    try:
        found = subject.decode(body)
    except InvalidInput:
        assert expected is None
        return
    assert expected is not None
    assert subject.seen(found) == expected.samples
    assert found.items == expected.items
    assert found.rejections.count == expected.rejections.count
