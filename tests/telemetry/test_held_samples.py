"""Held samples equal those that are read, whatever was written late, flushed, evicted or asked before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.database import TelemetryDatabase
from setpoint.telemetry.held_samples import HeldSamples, NotAtHand
from setpoint.telemetry.model import Matcher, SampleColumns
from tests.telemetry.engine import Engine, clear
from tests.telemetry.naive import Sample, batch

NOW_MS = 1_789_000_000_000
HORIZON_MS = 300_000
MATCHERS = ([Matcher("__name__", "=", "m")], [Matcher("pod", "=~", "0|2")], [Matcher("pod", "=", "none")])

written = st.lists(
    st.tuples(st.sampled_from(["m", "n"]), st.integers(0, 3), st.integers(-900, 0), st.integers(0, 99)),
    min_size=1,
    max_size=6,
)
asked = st.tuples(st.just("ask"), st.sampled_from(MATCHERS), st.integers(-900, 90), st.integers(0, 700))
turns = st.lists(
    written | asked | st.sampled_from(["flush", "evict"]) | st.integers(1, 30), min_size=2, max_size=14
)


def labelled(samples: list[tuple[str, int, int, int]], now_ms: int) -> list[Sample]:
    return [
        ({"__name__": name, "pod": str(pod)}, now_ms + offset * 1000, float(value))
        for name, pod, offset, value in samples
    ]


def said(columns: SampleColumns) -> list[tuple[list[tuple[str, str]], list[int], list[float]]]:
    return [
        (
            sorted(labels.items()),
            columns.timestamps_ms[start:end].tolist(),
            columns.values[start:end].tolist(),
        )
        for labels, start, end in zip(columns.labels, columns.offsets[:-1], columns.offsets[1:], strict=True)
    ]


def held_of(engine: Engine, database: TelemetryDatabase, **options: Any) -> HeldSamples:
    return HeldSamples(engine.reader, engine.store.writes, partial(database.revision, "blocks"), **options)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(taken=turns)
def test_equals_reading_whatever_was_late_flushed_or_evicted(
    telemetry_database: TelemetryDatabase, taken: list[Any]
) -> None:
    """A number moves the clock on by so many steps of 10 s; a question is asked as time goes on ever again."""
    clear(telemetry_database)
    now_ms = NOW_MS
    engine = Engine(telemetry_database, now_ms, HORIZON_MS)
    held = held_of(engine, telemetry_database)
    questions: list[tuple[list[Matcher], int, int]] = [(MATCHERS[0], -600, 0), (MATCHERS[1], -60, 0)]
    try:
        ramp = [("m", pod, second, second % 97) for second in range(-900, 1, 10) for pod in range(2)]
        engine.send(batch(labelled(ramp, now_ms)))
        for turn in taken:
            if isinstance(turn, list):
                engine.send(batch(labelled(turn, now_ms)))
            elif isinstance(turn, int):
                now_ms += turn * 10_000
            elif turn == "flush":
                engine.flush()
            elif turn == "evict":
                engine.flush()
                engine.head.evict(now_ms)
            else:
                _, matchers, end, length = turn
                questions.append((matchers, end - length, end))
            for matchers, start, end in questions:
                range_ms = now_ms + start * 1000, now_ms + end * 1000
                found = held.select(matchers, *range_ms)
                assert said(found) == said(engine.reader.select(matchers, *range_ms)), turn
    finally:
        engine.close()


def test_holds_what_was_read_and_reads_what_is_new(telemetry_database: TelemetryDatabase) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    held = held_of(engine, telemetry_database)
    ramp = [("m", pod, second, second % 97) for second in range(-900, 1, 10) for pod in range(2)]
    try:
        engine.send(batch(labelled(ramp, NOW_MS)))
        engine.flush()
        with pytest.raises(NotAtHand):
            held.select(MATCHERS[0], NOW_MS - 900_000, NOW_MS, at_hand=True)
        first = held.select(MATCHERS[0], NOW_MS - 900_000, NOW_MS)
        assert (held.hits, held.misses) == (0, 1)
        assert held.size_bytes >= first.values.nbytes
        # A step later, only what is new is read, and the labels are the same object.
        engine.send(batch(labelled([("m", 0, 10, 1), ("m", 1, 10, 1)], NOW_MS)))
        later = held.select(MATCHERS[0], NOW_MS - 890_000, NOW_MS + 10_000, at_hand=True)
        assert (held.hits, held.misses) == (1, 1)
        assert later.labels is first.labels
        assert later.timestamps_ms[-1] == NOW_MS + 10_000
        # What came late is seen, and what had been read before it must be read again.
        engine.send(batch(labelled([("m", 0, -850, 5)], NOW_MS)))
        with pytest.raises(NotAtHand):
            held.select(MATCHERS[0], NOW_MS - 890_000, NOW_MS + 10_000, at_hand=True)
        again = held.select(MATCHERS[0], NOW_MS - 890_000, NOW_MS + 10_000)
        assert 5.0 in again.values[again.timestamps_ms == NOW_MS - 850_000]
    finally:
        engine.close()


def test_what_nobody_may_be_answered_with_gives_its_memory_back(
    telemetry_database: TelemetryDatabase,
) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    held, brief = held_of(engine, telemetry_database), held_of(engine, telemetry_database, life_s=0.0)
    try:
        engine.send(batch(labelled([("m", 0, -10, 1)], NOW_MS)))
        for one in (held, brief):
            one.select(MATCHERS[0], NOW_MS - 60_000, NOW_MS)
            assert one.size_bytes > 0
            one.expire()
        assert held.size_bytes > 0
        assert brief.size_bytes == 0
        engine.flush()
        held.expire()
        assert held.size_bytes == 0
    finally:
        engine.close()


def test_what_is_too_large_is_not_held_and_the_limit_of_a_query_counts(
    telemetry_database: TelemetryDatabase,
) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    ramp = [("m", pod, second, 1) for second in range(-200, 1, 10) for pod in range(2)]
    try:
        engine.send(batch(labelled(ramp, NOW_MS)))
        small = held_of(engine, telemetry_database, limit_bytes=500)
        small.select(MATCHERS[0], NOW_MS - 200_000, NOW_MS)
        assert small.size_bytes == 0
        held = held_of(engine, telemetry_database)
        held.select(MATCHERS[0], NOW_MS - 200_000, NOW_MS)
        told: list[int] = []
        found = held.select(MATCHERS[0], NOW_MS - 150_000, NOW_MS, admit=told.append)
        assert told == [len(found.values)] == [30]
        assert not np.shares_memory(found.values, small.select(MATCHERS[0], NOW_MS - 150_000, NOW_MS).values)
    finally:
        engine.close()


def test_who_asks_alike_meanwhile_waits_for_what_is_read(
    telemetry_database: TelemetryDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    clear(telemetry_database)
    engine = Engine(telemetry_database, NOW_MS, HORIZON_MS)
    held = held_of(engine, telemetry_database)
    begun, go = threading.Event(), threading.Event()
    reads = []
    select = engine.reader.select

    def slow(*given: Any, **more: Any) -> SampleColumns:
        reads.append(given)
        begun.set()
        assert go.wait(30)
        return select(*given, **more)

    try:
        engine.send(batch(labelled([("m", 0, -10, 1)], NOW_MS)))
        monkeypatch.setattr(engine.reader, "select", slow)
        with ThreadPoolExecutor(4) as threads:
            question = MATCHERS[0], NOW_MS - 60_000, NOW_MS
            first = threads.submit(held.select, *question)
            assert begun.wait(30)
            others = [threads.submit(held.select, *question) for _ in range(2)]

            def leave(samples: int) -> None:
                raise TimeoutError

            # Who waits is asked whether it still may.
            with pytest.raises(TimeoutError):
                threads.submit(held.select, *question, admit=leave).result(30)
            go.set()
            found = [one.result(30) for one in (first, *others)]
        assert len(reads) == 1
        assert [len(one.values) for one in found] == [1, 1, 1]
    finally:
        go.set()
        engine.close()
