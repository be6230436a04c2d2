"""What the head seals, gives to the store and takes back, against two dictionaries: one of what may be seen,
one of what must be stored.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.telemetry import Head, Matcher, SampleColumns, Series
from setpoint.telemetry.codec import decode_chunks, encode_chunks
from setpoint.telemetry.model import ChunkColumns, HistogramColumns, MetricBatch, RefBatch
from setpoint.telemetry.recent.segment import Chunks, decode
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.naive import Answer, Naive, Sample, answer, batch, series

DAY_MS = 86_400_000
MINUTE_MS = 60_000
MIDNIGHT_MS = 20_000 * DAY_MS
HORIZON_MS = 180 * MINUTE_MS
STALE = float(np.array([0x7FF0000000000002], np.uint64).view(np.float64)[0])
UNIVERSE = [{"__name__": "requests_total", "pod": str(pod)} for pod in range(3)]

moments = st.integers(-200, 200).map(lambda minutes: MIDNIGHT_MS + minutes * MINUTE_MS)
places = st.integers(0, len(UNIVERSE) - 1)
values = st.integers(0, 9).map(float) | st.sampled_from([math.inf, 0.5, -0.0])
samples = st.lists(st.tuples(places, moments, values), min_size=1, max_size=20)
runs = st.tuples(places, moments, st.sampled_from([1000, 15_000, 400_000]), st.integers(1, 200))
steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["append", "append refs", "restore"]), samples),
        st.tuples(st.sampled_from(["run", "adopt"]), runs),
        st.tuples(st.just("evict"), moments),
        st.tuples(st.sampled_from(["seal", "flush", "flush in part"]), st.none()),
    ),
    max_size=14,
)


def as_refs(table: SeriesTable, written: Sequence[Sample]) -> RefBatch:
    made = batch(written)
    lease = table.lease("test")
    refs = table.resolve(made.series, lease)
    return RefBatch(lease, refs[made.series_index], made.timestamps_ms, made.values)


def as_chunks(written: Sequence[Sample], most: int) -> tuple[list[Series], ChunkColumns]:
    """`written`, of one series and in order, as chunks of at most `most` samples."""
    times = np.array([time_ms for _, time_ms, _ in written], np.int64)
    numbers = np.array([value for _, _, value in written])
    offsets = np.array([*range(0, len(written), most), len(written)], np.int64)
    payload, bounds = encode_chunks(times, numbers, offsets)
    one = series(written[0][0])
    columns = ChunkColumns(
        np.full(len(offsets) - 1, one.fingerprint, np.uint64), times[offsets[:-1]], times[offsets[1:] - 1],
        np.diff(offsets).astype(np.int32), bounds, payload,
    )  # fmt: skip
    return [one] * (len(offsets) - 1), columns


class Stored:
    """What flushes gave, newest last, by fingerprint and time."""

    def __init__(self) -> None:
        self.samples: dict[tuple[int, int], float] = {}

    def take(self, columns: ChunkColumns) -> None:
        times, numbers, offsets = decode_chunks(columns.payload, columns.offsets, columns.counts)
        owners = np.repeat(columns.fingerprints, columns.counts)
        assert (times[offsets[:-1]] == columns.first_ms).all()
        assert (times[offsets[1:] - 1] == columns.last_ms).all()
        assert (columns.last_ms - columns.first_ms < 2 * 60 * MINUTE_MS).all()
        assert (columns.last_ms // DAY_MS == columns.first_ms // DAY_MS).all()
        for owner, time_ms, value in zip(owners.tolist(), times.tolist(), numbers.tolist(), strict=True):
            self.samples[owner, time_ms] = value


class Model:
    """A head with a table, and dictionaries beside it."""

    def __init__(self) -> None:
        self.table = SeriesTable()
        self.head = Head(HORIZON_MS, self.table)
        self.head.complete_from(0)
        self.live, self.adopted = Naive(), Naive()
        self.floor_ms: int | None = None
        self.sent: dict[tuple[int, int], float] = {}
        self.due: dict[tuple[int, int], float] = {}
        self.stored = Stored()

    def run(self, kind: str, argument: Any) -> None:
        if kind in ("append", "append refs", "restore"):
            self.write([(UNIVERSE[place], time_ms, value) for place, time_ms, value in argument], kind)
        elif kind == "run":
            place, start_ms, step_ms, count = argument
            self.write(
                [(UNIVERSE[place], start_ms + k * step_ms, float(k)) for k in range(count)], "append refs"
            )
        elif kind == "adopt":
            self.adopt(*argument)
        elif kind == "evict":
            self.head.evict(argument)
            self.floor_ms = argument - HORIZON_MS
            self.live.drop_until(self.floor_ms)
            self.adopted.drop_until(self.floor_ms)
        else:
            self.flush(kind)

    def write(self, written: list[Sample], kind: str) -> None:
        if kind == "restore":
            # Of what cannot be seen the head does not tell whether it is here, so either may be stored.
            for labels, time_ms, _ in written:
                if time_ms not in self.live.samples.get(tuple(sorted(labels.items())), {}):
                    self.sent.pop((series(labels).fingerprint, time_ms), None)
                    self.due.pop((series(labels).fingerprint, time_ms), None)
            held = {(key, time_ms) for key, found in self.adopted.samples.items() for time_ms in found}
            self.head.restore(batch(written))
            new = [one for one in written if (tuple(sorted(one[0].items())), one[1]) not in held]
            self.live.write(new, replace=False, floor_ms=self.floor_ms)
        elif kind == "append refs":
            made = as_refs(self.table, written)
            self.head.append(made)
            made.lease.release()
            self.live.write(written, floor_ms=self.floor_ms)
        else:
            self.head.append(batch(written))
            self.live.write(written, floor_ms=self.floor_ms)
        if kind != "restore":  # which samples a restored batch leaves out is seen in the answers
            self.sent.update(
                {(series(labels).fingerprint, time_ms): value for labels, time_ms, value in written}
            )

    def adopt(self, place: int, start_ms: int, step_ms: int, count: int) -> None:
        written = [(UNIVERSE[place], start_ms + k * step_ms, -1.0 - k) for k in range(count)]
        owners, columns = as_chunks(written, 50)
        lease = self.table.lease()
        self.head.adopt(columns, self.table.resolve(owners, lease, written=True))
        lease.release()
        self.adopted.write(written, floor_ms=self.floor_ms)

    def flush(self, kind: str) -> None:
        self.head.seal()
        self.due.update(self.sent)
        self.sent = {}
        if kind == "seal":
            return
        parts = list(self.head.unflushed())
        if kind == "flush in part":  # it failed: everything comes again
            return
        for columns in parts:
            self.stored.take(columns)
        self.head.flushed()
        for key, value in self.due.items():
            assert self.stored.samples[key] == value
        self.due = {}

    def expected(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> Answer:
        both = Naive()
        for layer in (self.adopted, self.live):
            for key, held in layer.samples.items():
                both.samples.setdefault(key, {}).update(held)
        return both.select(matchers, start_ms, end_ms)


def cumulative(found: Answer, edges: Sequence[int]) -> list[list[float]]:
    """`Head.select_increase`, written down once more."""
    rows = []
    for _, times, numbers in found:
        kept = [
            (time_ms, value)
            for time_ms, value in zip(times, numbers, strict=True)
            if np.float64(value).view(np.uint64) != np.float64(STALE).view(np.uint64)
        ]
        row = []
        for edge in edges:
            lost = sum(
                before
                for (_, before), (time_ms, value) in pairwise(kept)
                if value < before and edges[0] < time_ms <= edge
            )
            seen = [value for time_ms, value in kept if time_ms <= edge]
            row.append(seen[-1] + lost if seen else math.nan)
        rows.append(row)
    return [row for row in rows if not all(math.isnan(value) for value in row)]


@settings(max_examples=300, deadline=None)
@given(
    steps=steps,
    asked=st.lists(st.tuples(moments, moments), min_size=1, max_size=3),
    edges=st.lists(moments, min_size=1, max_size=4),
)
def test_equals_two_dictionaries(steps: list[Any], asked: list[tuple[int, int]], edges: list[int]) -> None:
    model = Model()
    for kind, argument in steps:
        model.run(kind, argument)
        for start_ms, end_ms in asked:
            assert answer(model.head.select([], start_ms, end_ms)) == model.expected([], start_ms, end_ms)
        everything = model.expected([], 0, 2**60)
        assert model.head.sample_count == sum(len(times) for _, times, _ in everything)
    everything = model.expected([], 0, 2**60)
    assert answer(model.head.select([], 0, 2**60)) == everything
    edges.sort()
    _, found = model.head.select_increase([], np.array(edges, np.int64))
    np.testing.assert_array_equal(found, np.array(cumulative(everything, edges)).reshape(-1, len(edges)))
    model.flush("flush")


def counter(rng: np.random.Generator, count: int) -> list[float]:
    """A counter with resets, stale markers and now and then a NaN."""
    level, found = 0.0, []
    for _ in range(count):
        level = 0.0 if rng.random() < 0.02 else level + float(rng.integers(0, 5))
        chance = rng.random()
        found.append(STALE if chance < 0.03 else math.nan if chance < 0.04 else level)
    return found


@pytest.mark.parametrize("is_adopted", [False, True], ids=["sealed here", "adopted"])
def test_increase_of_long_counters_is_that_of_their_samples(is_adopted: bool) -> None:
    rng = np.random.default_rng(11)
    head = Head(10 * 60 * MINUTE_MS)
    for place, labels in enumerate(UNIVERSE):
        numbers = counter(rng, 700)
        written = [(labels, MIDNIGHT_MS + k * 15_000 + place, value) for k, value in enumerate(numbers)]
        if is_adopted:
            owners, columns = as_chunks(written[:600], 120)
            lease = head.table.lease()
            head.adopt(columns, head.table.resolve(owners, lease))
            lease.release()
        head.append(batch(written[600:] if is_adopted else written))
    head.append(batch([(UNIVERSE[2], MIDNIGHT_MS + 20, 3.0)]))  # late: this one series is merged
    for _ in range(40):
        edges = np.sort(MIDNIGHT_MS + rng.integers(-100_000, 11_000_000, rng.integers(1, 9)))
        which, found = head.select_increase([], edges)
        expected = cumulative(answer(head.select([], 0, 2**60)), edges.tolist())
        np.testing.assert_array_equal(found, np.array(expected).reshape(-1, len(edges)))
        assert list(which) == UNIVERSE[: len(found)]


def test_increase_decodes_only_the_chunks_that_an_edge_cuts(monkeypatch: pytest.MonkeyPatch) -> None:
    head = Head(10 * 60 * MINUTE_MS)
    head.append(batch([(UNIVERSE[0], MIDNIGHT_MS + k * 1000, float(k)) for k in range(6400)]))
    decoded: list[int] = []

    def counting(part: Chunks, *rest: Any) -> None:
        decoded.append(len(part.counts))
        decode(part, *rest)

    monkeypatch.setattr("setpoint.telemetry.recent.gather.decode", counting)
    edges = np.array([MIDNIGHT_MS + 100_500, MIDNIGHT_MS + 6_000_500], np.int64)
    assert head.select_increase([], edges)[1].tolist() == [[100.0, 6000.0]]
    assert sum(decoded) == 2
    decoded.clear()
    head.select([], MIDNIGHT_MS + 6_300_000, 2**60)  # of two blocks one is open
    assert sum(decoded) == 1


def test_a_batch_by_ref_with_nobody_in_it_is_taken() -> None:
    table = SeriesTable()
    head = Head(HORIZON_MS, table)
    made = as_refs(table, [(UNIVERSE[0], MIDNIGHT_MS, 1.0)])
    refused = RefBatch(made.lease, np.full(1, -1, np.int32), made.timestamps_ms, made.values)
    head.append(refused)
    head.append(RefBatch(made.lease, made.refs[:0], made.timestamps_ms[:0], made.values[:0]))
    assert (head.series_count, head.sample_count) == (0, 0)


def test_a_series_of_native_histograms_only_stays_until_they_are_old() -> None:
    table = SeriesTable()
    head = Head(HORIZON_MS, table)
    lone = MetricBatch(
        [series(UNIVERSE[0])], np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0),
        HistogramColumns(np.zeros(1, np.int32), np.array([MIDNIGHT_MS + 9], np.int64), [b""]),
    )  # fmt: skip
    head.append(lone)
    head.evict(MIDNIGHT_MS + HORIZON_MS)
    assert table.size == 1
    head.append(batch([(UNIVERSE[0], MIDNIGHT_MS + 5, 1.0), (UNIVERSE[0], MIDNIGHT_MS + 3, 2.0)]))
    assert answer(head.select([], 0, 2**60)) == [
        (UNIVERSE[0], [MIDNIGHT_MS + 3, MIDNIGHT_MS + 5], [2.0, 1.0])
    ]
    head.seal()
    list(head.unflushed())
    head.flushed()
    head.evict(MIDNIGHT_MS + HORIZON_MS + 9)
    assert table.size == 0


def test_what_is_not_stored_yet_is_kept_beyond_the_horizon() -> None:
    table = SeriesTable()
    head = Head(HORIZON_MS, table)
    head.append(batch([(UNIVERSE[0], MIDNIGHT_MS + k, float(k)) for k in range(100)]))
    head.evict(MIDNIGHT_MS + 2 * HORIZON_MS)
    head.append(batch([(UNIVERSE[1], MIDNIGHT_MS, 7.0)]))  # too old to be seen
    assert answer(head.select([], 0, 2**60)) == []
    assert head.sample_count == 0
    head.seal()
    stored = Stored()
    for columns in head.unflushed():
        stored.take(columns)
    assert sorted(stored.samples.values()) == sorted([7.0, *(float(k) for k in range(100))])
    head.flushed()
    head.evict(MIDNIGHT_MS + 2 * HORIZON_MS)
    assert (table.size, head.series_count, head.sample_bytes) == (0, 0, 0)
    assert list(head.unflushed()) == []


def test_appended_counts_what_a_series_was_sent_until_its_ref_is_given_away() -> None:
    table = SeriesTable()
    head = Head(HORIZON_MS, table)
    made = as_refs(table, [(UNIVERSE[0], MIDNIGHT_MS + k, 1.0) for k in range(70)])
    head.append(made)
    head.append(made)
    assert head.appended(np.array([int(made.refs[0]), 4000], np.int32)).tolist() == [140, 0]
    made.lease.release()
    head.seal()
    list(head.unflushed())
    head.flushed()
    head.evict(MIDNIGHT_MS + 2 * HORIZON_MS)
    other = as_refs(table, [(UNIVERSE[1], MIDNIGHT_MS + 2 * HORIZON_MS, 1.0)])
    assert other.refs.tolist() == [made.refs[0]]
    assert head.appended(other.refs).tolist() == [0]
    head.append(other)
    assert answer(head.select([], 0, 2**60)) == [(UNIVERSE[1], [MIDNIGHT_MS + 2 * HORIZON_MS], [1.0])]


def test_ten_thousand_late_samples_are_sealed_on_the_way_and_stay_in_order() -> None:
    head = Head(HORIZON_MS)
    head.append(batch([(UNIVERSE[0], MIDNIGHT_MS + k * 1000, 0.0) for k in range(200)]))
    head.seal()
    backwards = np.arange(70_000, 0, -1, dtype=np.int64)
    head.append(
        MetricBatch([series(UNIVERSE[0])], np.zeros(70_000, np.int32), MIDNIGHT_MS + backwards, backwards / 2)
    )
    assert head.memory_bytes["late"] == 0
    [(_, times, numbers)] = answer(head.select([], MIDNIGHT_MS, MIDNIGHT_MS + 70_000))
    assert times == list(range(MIDNIGHT_MS + 1, MIDNIGHT_MS + 70_001))
    assert numbers == [k / 2 for k in range(1, 70_001)]


def check_whole(columns: SampleColumns, after_ms: int, wrong: list[str]) -> None:
    for labels, times, numbers in answer(columns):
        if times != list(range(times[0], times[-1] + 1000, 1000)):
            wrong.append(f"{labels}: gaps in {times[:3]}…{times[-3:]}")
        if numbers != [time_ms / 1000 + int(labels["pod"]) for time_ms in times]:
            wrong.append(f"{labels}: values of another series")
        if times[0] <= after_ms:
            wrong.append(f"{times[0]} is not later than {after_ms}")


def test_readers_see_whole_series_while_a_writer_seals_flushes_and_gives_refs_away() -> None:
    """3,000 refs, so that a select takes two slices, between which everything may change."""
    table = SeriesTable()
    head = Head(100_000, table)
    head.complete_from(0)
    done = threading.Event()
    wrong: list[str] = []

    def read() -> None:
        while not done.is_set():
            covers_from_ms, columns = head.select_covered([], 0, 10**15)
            check_whole(columns, covers_from_ms, wrong)

    def flush() -> None:
        while not done.is_set():
            for columns in head.unflushed():
                decode_chunks(columns.payload, columns.offsets, columns.counts)
            head.flushed()

    threads = [threading.Thread(target=read) for _ in range(2)] + [threading.Thread(target=flush)]
    for thread in threads:
        thread.start()
    for tick in range(1, 700):
        alive = range(tick // 150 * 3000, tick // 150 * 3000 + (3000 if tick % 150 < 5 else 20))
        made = as_refs(table, [({"pod": str(pod)}, tick * 1000, tick + float(pod)) for pod in alive])
        head.append(made)
        made.lease.release()
        if tick % 40 == 0:
            head.seal()
        if tick % 7 == 0:
            head.evict(tick * 1000)
    done.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert table.removed_total > 3000
