"""The reader over head and store equals a dictionary, and a rebuilt head equals the store."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from setpoint.telemetry import Head, Matcher, Reader, SignalStore, rebuild_head
from tests.telemetry.naive import Naive, Sample, answer, batch

NOW_MS = SystemClock().now_ms()
HORIZON_MS = 100
WIDE = (NOW_MS - 1000, NOW_MS + 1000)

offsets = st.integers(-220, 60)
samples = st.lists(
    st.tuples(st.integers(0, 2), offsets, st.integers(0, 10**6).map(float)), min_size=1, max_size=25
)
queries = st.tuples(
    st.sampled_from([[], [Matcher("pod", "=", "1")], [Matcher("pod", "!~", "0|1")]]), offsets, offsets
)


def labelled(written: list[tuple[int, int, float]]) -> list[Sample]:
    return [({"__name__": "m", "pod": str(pod)}, NOW_MS + offset, value) for pod, offset, value in written]


def ramp(first: int, last: int) -> list[Sample]:
    return labelled([(pod, offset, float(offset)) for offset in range(first, last) for pod in range(3)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    before=samples,
    after=st.lists(samples, max_size=3),
    evict_at=st.none() | st.integers(0, 120),
    asked=st.lists(queries, min_size=1, max_size=5),
)
def test_equals_a_dictionary_over_the_boundary(
    telemetry_database: TelemetryDatabase,
    before: list[tuple[int, int, float]],
    after: list[list[tuple[int, int, float]]],
    evict_at: int | None,
    asked: list[tuple[list[Matcher], int, int]],
) -> None:
    for table in ("series", "samples"):
        telemetry_database.command(f"TRUNCATE TABLE {table}")
    store, naive, head = SignalStore(telemetry_database), Naive(), Head(HORIZON_MS)
    store.write_metrics([batch(labelled(before))])
    naive.write(labelled(before))
    reader = Reader(head, store)
    assert answer(reader.select([], *WIDE)) == naive.select([], *WIDE)
    rebuild_head(store, head, NOW_MS)
    for place, written in enumerate(after):
        store.write_metrics([batch(labelled(written))])
        head.append(batch(labelled(written)))
        naive.write(labelled(written))
        if place == 0 and evict_at is not None:
            head.evict(NOW_MS + evict_at)
    assert answer(reader.select([], *WIDE)) == naive.select([], *WIDE)
    for query, start, end in asked:
        expected = naive.select(query, NOW_MS + start, NOW_MS + end)
        assert answer(reader.select(query, NOW_MS + start, NOW_MS + end)) == expected


def test_a_range_within_the_head_never_asks_the_database(telemetry_database: TelemetryDatabase) -> None:
    store, head = SignalStore(telemetry_database), Head(HORIZON_MS)
    store.write_metrics([batch(ramp(-200, 0))])
    rebuild_head(store, head, NOW_MS)
    reader = Reader(head, store)
    telemetry_database.command("RENAME TABLE samples TO samples_away")
    try:
        inside = answer(reader.select([], NOW_MS - HORIZON_MS, NOW_MS))
        with pytest.raises(Unavailable):
            reader.select([], NOW_MS - HORIZON_MS - 1, NOW_MS)
    finally:
        telemetry_database.command("RENAME TABLE samples_away TO samples")
    assert [len(found) for _, found, _ in inside] == [99, 99, 99]


def test_a_late_sample_below_the_boundary_counts_once(telemetry_database: TelemetryDatabase) -> None:
    store, head = SignalStore(telemetry_database), Head(HORIZON_MS)
    rebuild_head(store, head, NOW_MS)
    late = labelled([(0, -150, 1.0), (0, -50, 2.0)])
    store.write_metrics([batch(late)])
    head.append(batch(late))
    (found,) = answer(Reader(head, store).select([], *WIDE))
    assert found[1:] == ([NOW_MS - 150, NOW_MS - 50], [1.0, 2.0])


def test_a_range_before_the_head_comes_from_the_store(telemetry_database: TelemetryDatabase) -> None:
    store, head = SignalStore(telemetry_database), Head(HORIZON_MS)
    store.write_metrics([batch(ramp(-200, 0))])
    rebuild_head(store, head, NOW_MS)
    found = answer(Reader(head, store).select([], NOW_MS - 201, NOW_MS - 150))
    assert [(len(times), times[-1]) for _, times, _ in found] == [(51, NOW_MS - 150)] * 3


def test_a_rebuilt_head_equals_the_store_and_says_how_far_it_is(
    telemetry_database: TelemetryDatabase,
) -> None:
    store, head = SignalStore(telemetry_database), Head(HORIZON_MS)
    store.write_metrics([batch(ramp(-200, 0))])
    heard: list[tuple[int, int]] = []
    assert rebuild_head(store, head, NOW_MS, lambda done, total: heard.append((done, total))) == 297
    assert heard == [(297, 297)]
    assert head.covers_from_ms == NOW_MS - HORIZON_MS
    assert head.take_oldest_write_ms() == NOW_MS - 99
    assert answer(head.select([], 0, NOW_MS)) == answer(store.read_samples([], NOW_MS - HORIZON_MS, NOW_MS))


def test_a_rebuild_keeps_what_arrived_meanwhile(telemetry_database: TelemetryDatabase) -> None:
    store, head = SignalStore(telemetry_database), Head(HORIZON_MS)
    store.write_metrics([batch(labelled([(0, -10, 1.0), (0, -5, 1.0)]))])
    head.append(batch(labelled([(0, -5, 2.0), (0, -1, 3.0)])))
    rebuild_head(store, head, NOW_MS)
    assert [values for _, _, values in answer(head.select([], 0, NOW_MS))] == [[1.0, 2.0, 3.0]]


def test_an_empty_store_is_covered_at_once(telemetry_database: TelemetryDatabase) -> None:
    head = Head(HORIZON_MS)
    assert rebuild_head(SignalStore(telemetry_database), head, NOW_MS) == 0
    assert head.covers_from_ms == NOW_MS - HORIZON_MS
