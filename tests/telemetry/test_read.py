"""The reader over head and store equals a dictionary, whatever was late, flushed or started anew."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.errors import Unavailable
from setpoint.telemetry import Matcher
from tests.telemetry.engine import Engine, clear
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


steps = st.lists(
    samples | st.sampled_from(["flush", "restart"]) | st.integers(0, 120), min_size=1, max_size=8
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=steps, asked=st.lists(queries, min_size=1, max_size=5))
def test_equals_a_dictionary_whatever_was_flushed_or_started_anew(
    telemetry_database: TelemetryDatabase,
    taken: list[list[tuple[int, int, float]] | str | int],
    asked: list[tuple[list[Matcher], int, int]],
) -> None:
    """A number moves the clock forward by so many ms and evicts; after every step the answer is the same."""
    clear(telemetry_database)
    naive, moved_ms = Naive(), 0
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    try:
        for step in taken:
            if isinstance(step, list):
                engine.send(batch(labelled(step)))
                naive.write(labelled(step))
            elif step == "flush":
                engine.flush()
            elif step == "restart":
                engine.close()
                engine = Engine(telemetry_database, NOW_MS + moved_ms, HORIZON_MS)
            elif isinstance(step, int):
                moved_ms += step
                engine.flush()  # what no chunk holds stays in the head
                engine.head.evict(NOW_MS + moved_ms)
            assert answer(engine.reader.select([], *WIDE)) == naive.select([], *WIDE), step
        for query, start, end in asked:
            expected = naive.select(query, NOW_MS + start, NOW_MS + end)
            assert answer(engine.reader.select(query, NOW_MS + start, NOW_MS + end)) == expected
        assert engine.store.oldest_sample_ms() == min(
            (time_ms for held in naive.samples.values() for time_ms in held), default=None
        )
    finally:
        engine.close()


@pytest.fixture
def engine(telemetry_database: TelemetryDatabase) -> Iterator[Engine]:
    """What it holds was flushed and its head rebuilt."""
    first = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    first.send(batch(ramp(-200, 0)))
    first.flush()
    first.close()
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    yield engine
    engine.close()


def test_a_range_within_the_head_never_asks_the_database(
    engine: Engine, telemetry_database: TelemetryDatabase
) -> None:
    telemetry_database.command("RENAME TABLE blocks TO blocks_away")
    try:
        inside = answer(engine.reader.select([], NOW_MS - HORIZON_MS, NOW_MS))
        with pytest.raises(Unavailable):
            engine.reader.select([], NOW_MS - HORIZON_MS - 1, NOW_MS)
    finally:
        telemetry_database.command("RENAME TABLE blocks_away TO blocks")
    assert [len(found) for _, found, _ in inside] == [99, 99, 99]


def test_a_late_sample_below_the_boundary_is_found_at_once_and_counts_once(engine: Engine) -> None:
    late = labelled([(3, -150, 1.0), (3, -50, 2.0)])
    engine.send(batch(late))
    for _ in range(2):
        found = answer(engine.reader.select([Matcher("pod", "=", "3")], *WIDE))
        assert [part[1:] for part in found] == [([NOW_MS - 150, NOW_MS - 50], [1.0, 2.0])]
        engine.flush()


def test_a_range_before_the_head_comes_from_the_store(engine: Engine) -> None:
    found = answer(engine.reader.select([], NOW_MS - 201, NOW_MS - 150))
    assert [(len(times), times[-1]) for _, times, _ in found] == [(51, NOW_MS - 150)] * 3


def test_a_rebuilt_head_equals_the_store(engine: Engine) -> None:
    assert engine.head.covers_from_ms == NOW_MS - HORIZON_MS
    stored = answer(engine.store.read_samples([], NOW_MS - HORIZON_MS, NOW_MS))
    assert answer(engine.head.select([], NOW_MS - HORIZON_MS, NOW_MS)) == stored


def test_an_empty_store_is_covered_at_once(telemetry_database: TelemetryDatabase) -> None:
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    assert engine.rebuilt == 0
    assert engine.head.covers_from_ms == NOW_MS - HORIZON_MS
    engine.close()
