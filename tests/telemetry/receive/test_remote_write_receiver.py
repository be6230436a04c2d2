"""What becomes of a remote write request: batches by row of the series table, and what is refused by name."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, Unavailable
from setpoint.telemetry.model import Labels, Metadata, RefBatch
from setpoint.telemetry.native_histogram import STALE, NativeHistogram
from setpoint.telemetry.protect import Limits, Protection
from setpoint.telemetry.receive.remote_write_receiver import Receipt, RemoteWriteReceiver
from setpoint.telemetry.receive.remote_write_scan import inflate
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.remote_write_proto import Request, WriteRequest, compressed

NOW_MS = 1_790_000_000_000
SENDER = "remote_write 192.0.2.1"


@dataclass
class Bench:
    """A receiver in front of a queue that the test empties."""

    limits: Limits = field(default_factory=Limits)
    batches: list[tuple[RefBatch, Future[None]]] = field(default_factory=list)
    is_full: bool = False

    def __post_init__(self) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.protection = Protection(self.limits, self.clock)
        self.table = SeriesTable(self.protection.admit)
        self.receiver = RemoteWriteReceiver(self.submit, self.table, self.protection, self.clock)

    def submit(self, batch: RefBatch, size_bytes: int) -> Future[None]:
        assert size_bytes > 0
        if self.is_full:
            raise Unavailable("full")
        stored: Future[None] = Future()
        self.batches.append((batch, stored))
        return stored

    def receive(self, request: Any) -> Receipt:
        is_v2 = isinstance(request, Request)
        return self.receiver.receive(inflate(compressed(request), 1 << 24), is_v2, SENDER)

    def settle(self, error: Exception | None = None) -> None:
        for batch, stored in self.batches:
            if error is None:
                stored.set_result(None)
            else:
                stored.set_exception(error)
            batch.lease.release()
        self.batches = []

    def samples(self) -> set[tuple[str, int, float]]:
        """(series, ms after NOW_MS, value) of what waits."""
        found = []
        for batch, _ in self.batches:
            for ref, at_ms, value in zip(
                batch.refs.tolist(), batch.timestamps_ms.tolist(), batch.values.tolist(), strict=True
            ):
                found.append((shown(self.table.labels(ref)), at_ms - NOW_MS, value))
        assert len(set(found)) == len(found)
        return set(found)

    @property
    def batch(self) -> RefBatch:
        ((batch, _),) = self.batches
        return batch

    @property
    def metadata(self) -> list[Metadata]:
        return list(self.batch.metadata)


def shown(labels: Labels) -> str:
    pairs = ",".join(f"{name}={value}" for name, value in sorted(labels.items()) if name != "__name__")
    return f"{labels['__name__']}{{{pairs}}}"


class V1:
    """Builds a request of 1.0."""

    def __init__(self) -> None:
        self.request = WriteRequest()

    def series(self, name: str | None, labels: Mapping[str, str] | None = None) -> Any:
        made = self.request.timeseries.add()
        pairs = ({"__name__": name} if name is not None else {}) | dict(labels or {})
        for label, value in pairs.items():
            made.labels.add(name=label.encode(), value=value.encode())
        return made


class V2:
    """Builds a request of 2.0."""

    def __init__(self) -> None:
        self.request = Request(symbols=[b""])

    def symbol(self, text: str | bytes) -> int:
        raw = text.encode() if isinstance(text, str) else text
        if raw not in self.request.symbols:
            self.request.symbols.append(raw)
        return list(self.request.symbols).index(raw)

    def series(self, name: str, labels: Mapping[str, str] | None = None) -> Any:
        made = self.request.timeseries.add()
        for label, value in ({"__name__": name} | dict(labels or {})).items():
            made.labels_refs.extend([self.symbol(label), self.symbol(value)])
        return made


def simple(
    name: str = "up", labels: Mapping[str, str] | None = None, at_ms: int = NOW_MS, value: float = 1.0
) -> Any:
    built = V1()
    built.series(name, labels).samples.add(timestamp=at_ms, value=value)
    return built.request


# ---- samples -------------------------------------------------------------------------------------------------


def test_samples_in_any_order_and_twice() -> None:
    bench = Bench()
    request = WriteRequest()
    for name in (b"a", b"b", b"a"):
        series = request.timeseries.add()
        series.labels.add(name=b"__name__", value=name)
        for at_ms in (5, 3, 3):
            series.samples.add(timestamp=NOW_MS + at_ms, value=float(at_ms))
    receipt = bench.receive(request)
    assert (receipt.samples, receipt.refused) == (9, "")
    batch = bench.batch
    assert len(batch.refs) == 9
    assert len(set(batch.refs.tolist())) == 2
    assert batch.timestamps_ms.tolist() == [NOW_MS + 5, NOW_MS + 3, NOW_MS + 3] * 3


def test_values_arrive_bit_for_bit() -> None:
    bench = Bench()
    bits = [
        0x7FF0000000000002,
        0x7FF8000000000001,
        0xFFF8000000000000,
        0x8000000000000000,
        1,
        0x7FF0000000000000,
    ]
    request = WriteRequest()
    series = request.timeseries.add()
    series.labels.add(name=b"__name__", value=b"a")
    for place, one in enumerate(bits):
        series.samples.add(timestamp=NOW_MS + place, value=struct.unpack("<d", one.to_bytes(8, "little"))[0])
    bench.receive(request)
    assert bench.batch.values.view(np.uint64).tolist() == bits


def test_one_series_however_its_labels_are_sent() -> None:
    bench = Bench()
    for labels in ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}, {"a": "1", "empty": "", "b": "2"}):
        bench.receive(simple("up", labels))
    built = V2()
    built.series("up", {"b": "2", "a": "1"}).samples.add(timestamp=NOW_MS, value=1.0)
    bench.receive(built.request)
    refs = {ref for batch, _ in bench.batches for ref in batch.refs.tolist()}
    assert [shown(bench.table.labels(ref)) for ref in refs] == ["up{a=1,b=2}"]
    assert bench.table.size == 1


@pytest.mark.parametrize(
    ("labels", "service"),
    [
        ({"service_name": "cart", "job": "x"}, "cart"),
        ({"job": "node"}, "node"),
        ({}, "unknown_service"),
    ],
)
def test_the_service_of_a_series(labels: dict[str, str], service: str) -> None:
    bench = Bench()
    bench.receive(simple("up", labels))
    assert bench.table.series(int(bench.batch.refs[0])).service == service


def test_utf_8_names_are_taken() -> None:
    bench = Bench()
    bench.receive(simple("http.größe", {"host.name": "🌍", "with space": "a\nb"}))
    assert dict(bench.table.labels(int(bench.batch.refs[0]))) == {
        "__name__": "http.größe", "host.name": "🌍", "with space": "a\nb",
    }  # fmt: skip


def test_an_empty_request_is_stored_at_once() -> None:
    for request in (WriteRequest(), Request(), Request(symbols=[b""])):
        bench = Bench()
        receipt = bench.receive(request)
        assert receipt.stored.done()
        assert not receipt.refused
        assert not bench.batches
        assert not bench.table._live


# ---- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([(b"__name__", b"bad"), (b"a", b"1"), (b"a", b"1")], "the label 'a' is there twice (bad{a=\"1\"})"),
        ([(b"__name__", b"bad"), (b"a", b"1"), (b"b", b""), (b"a", b"2")], "the label 'a' is there twice"),
        ([(b"__name__", b"bad"), (b"", b"1")], "a label has no name"),
        ([(b"a", b"1")], "no metric name"),
        ([(b"__name__", b""), (b"a", b"1")], "no metric name"),
        ([], "no metric name"),
        ([(b"__name__", b"bad"), (b"a", b"\xff")], "the label b'a' is not valid UTF-8 (bad{a="),
        ([(b"__name__", b"bad"), (b"\xc3\x28", b"1")], "not valid UTF-8"),
        ([(b"__name__", b"bad"), (b"a", b"\xed\xa0\x80")], "not valid UTF-8"),
    ],
)
@pytest.mark.parametrize("is_v2", [False, True])
def test_series_with_wrong_labels_are_refused_by_name(
    labels: list[tuple[bytes, bytes]], told: str, is_v2: bool
) -> None:
    bench = Bench()
    for _ in range(2):  # known by its key the second time
        built: Any = V2() if is_v2 else V1()
        built.series("good").samples.add(timestamp=NOW_MS, value=1.0)
        bad = built.request.timeseries.add()
        for name, value in labels:
            if is_v2:
                bad.labels_refs.extend([built.symbol(name), built.symbol(value)])
            else:
                bad.labels.add(name=name, value=value)
        bad.samples.add(timestamp=NOW_MS, value=2.0)
        bad.samples.add(timestamp=NOW_MS + 1, value=2.0)
        built.series("fine").samples.add(timestamp=NOW_MS, value=3.0)
        receipt = bench.receive(built.request)
        assert receipt.samples == 2
        assert receipt.refused.startswith("2 rejected: ")
        assert told in receipt.refused
        assert bench.samples() == {("good{}", 0, 1.0), ("fine{}", 0, 3.0)}
        bench.settle()
    assert bench.protection.samples_by_reason == {"invalid_labels": 4}


@pytest.mark.parametrize(
    ("refs", "told"),
    [([1, 2, 3], "odd (3)"), ([1, 2, 3, 99], "symbol 99 of 5"), ([1, 2, 4294967295, 4], "of 5")],
)
def test_references_that_lead_nowhere(refs: list[int], told: str) -> None:
    bench = Bench()
    built = V2()
    built.series("up", {"job": "a"}).samples.add(timestamp=NOW_MS, value=1.0)
    built.request.timeseries.add(labels_refs=refs).samples.add(timestamp=NOW_MS, value=2.0)
    receipt = bench.receive(built.request)
    assert told in receipt.refused
    assert bench.samples() == {("up{job=a}", 0, 1.0)}


def test_a_label_whose_bytes_are_no_message_refuses_the_request() -> None:
    bench = Bench()
    body = b"\x0a\x09\x0a\x03\x0a\x05x\x12\x02\x10\x05" + bytes(simple().SerializeToString())
    with pytest.raises(InvalidInput, match="malformed Series"):
        bench.receiver.receive(np.frombuffer(body, np.uint8).copy(), False, SENDER)
    assert not bench.batches
    assert not bench.table._live


def test_instants_out_of_bounds() -> None:
    bench = Bench()
    built = V1()
    series = built.series("up", {"job": "a"})
    for offset_ms in (-36 * 86_400_000, -34 * 86_400_000, 0, 599_000, 601_000, 2**62):
        series.samples.add(timestamp=NOW_MS + offset_ms, value=1.0)
    receipt = bench.receive(built.request)
    assert receipt.samples == 3
    assert (
        '1 rejected: the timestamp is older than the 35 days that are kept (up{job="a"})' in receipt.refused
    )
    assert "2 rejected: the timestamp is more than 10 minutes ahead" in receipt.refused
    assert bench.protection.samples_by_reason == {"too_old": 1, "too_new": 2}


def test_series_beyond_the_limit_are_refused_until_they_fit() -> None:
    bench = Bench(Limits(metric_series=100))
    for _ in range(2):
        built = V1()
        for number in range(200):
            built.series("m", {"i": str(number)}).samples.add(timestamp=NOW_MS, value=1.0)
        built.series("other").samples.add(timestamp=NOW_MS, value=1.0)
        receipt = bench.receive(built.request)
        assert 0 < receipt.samples < 200
        assert "metric_series_limit" in receipt.refused
        assert receipt.refused.startswith(f"{201 - receipt.samples} rejected")
        assert ("other{}", 0, 1.0) in bench.samples()
        bench.settle()


def test_a_request_of_wrong_labels_throughout_is_refused_whole() -> None:
    bench = Bench()
    body = b"".join(
        b"\x0a\x11\x0a\x0a\x0a\x01x\x12\x05%05d\x12\x03\x10\x80\x01" % number for number in range(10_001)
    )
    with pytest.raises(InvalidInput, match="more than 10,000 series of the request have wrong labels"):
        bench.receiver.receive(np.frombuffer(body, np.uint8).copy(), False, SENDER)


def test_nothing_is_held_when_the_queue_is_full() -> None:
    bench = Bench(is_full=True)
    with pytest.raises(Unavailable):
        bench.receive(simple())
    assert not bench.table._live


# ---- exemplars -----------------------------------------------------------------------------------------------


def test_exemplars_of_1_0_come_in_series_of_their_own() -> None:
    bench = Bench()
    built = V1()
    built.series("latency_bucket", {"le": "1"}).samples.add(timestamp=NOW_MS, value=5.0)
    exemplar = built.series("latency_bucket", {"le": "1"}).exemplars.add(timestamp=NOW_MS - 7, value=0.25)
    exemplar.labels.add(name=b"trace_id", value=b"4bf92f")
    exemplar.labels.add(name=b"span_id", value=b"00f0")
    receipt = bench.receive(built.request)
    assert (receipt.samples, receipt.exemplars, receipt.refused) == (1, 1, "")
    columns = bench.batch.exemplars
    assert columns is not None
    assert columns.rows.tolist() == bench.batch.refs.tolist()
    assert (columns.timestamps_ms.tolist(), columns.values.tolist()) == ([NOW_MS - 7], [0.25])
    assert columns.labels == [{"span_id": "00f0", "trace_id": "4bf92f"}]


def test_exemplars_of_2_0() -> None:
    bench = Bench()
    built = V2()
    series = built.series("latency", {"job": "a"})
    series.samples.add(timestamp=NOW_MS, value=5.0)
    good = series.exemplars.add(timestamp=NOW_MS, value=math.inf)
    good.labels_refs.extend([built.symbol("trace_id"), built.symbol("abc")])
    series.exemplars.add(timestamp=NOW_MS, value=1.0)
    series.exemplars.add(value=1.0)
    series.exemplars.add(timestamp=NOW_MS, value=1.0).labels_refs.extend([1, 500])
    long = series.exemplars.add(timestamp=NOW_MS, value=1.0)
    long.labels_refs.extend([built.symbol("trace_id"), built.symbol("x" * 2000)])
    receipt = bench.receive(built.request)
    assert (receipt.samples, receipt.exemplars) == (1, 2)
    for told in ("older than", "symbol 500 of", "2008 characters, 1024 are taken"):
        assert told in receipt.refused
    columns = bench.batch.exemplars
    assert columns is not None
    assert list(columns.labels) == [{"trace_id": "abc"}, {}]


# ---- metadata ------------------------------------------------------------------------------------------------


def test_metadata_of_1_0_is_news_once() -> None:
    bench = Bench()
    request = WriteRequest()
    request.metadata.add(type=1, metric_family_name=b"requests_total", help=b"How many.", unit=b"")
    request.metadata.add(type=3, metric_family_name=b"latency_seconds", help=b"How long.", unit=b"seconds")
    expected = [
        Metadata("requests_total", "counter", "", "How many."),
        Metadata("latency_seconds", "histogram", "seconds", "How long."),
    ]
    bench.receive(request)
    assert bench.metadata == expected
    bench.settle(Unavailable("not stored"))
    bench.receive(request)
    assert bench.metadata == expected
    bench.settle()
    assert bench.receive(request).stored.done()
    request.metadata[0].help = b"Changed."
    bench.receive(request)
    assert bench.metadata == [Metadata("requests_total", "counter", "", "Changed.")]
    bench.settle()
    for name, kind, unit in (
        ("requests_total", "counter", ""),
        ("latency_seconds_bucket", "histogram", "seconds"),
    ):
        bench.receive(simple(name))
        series = bench.table.series(int(bench.batch.refs[0]))
        assert (series.type, series.unit) == (kind, unit)
        bench.settle()


def test_metadata_of_2_0_is_news_once() -> None:
    def request(help_text: str) -> Any:
        built = V2()
        for name, labels in (
            ("d_bucket", {"le": "1"}),
            ("d_bucket", {"le": "2"}),
            ("d_sum", {}),
            ("d_count", {}),
        ):
            series = built.series(name, labels)
            series.samples.add(timestamp=NOW_MS, value=1.0)
            series.metadata.type = 3
            series.metadata.help_ref, series.metadata.unit_ref = built.symbol(help_text), built.symbol("s")
        built.series("plain").samples.add(timestamp=NOW_MS, value=1.0)
        return built.request

    bench = Bench()
    for error in (Unavailable("not stored"), None):
        bench.receive(request("Duration."))
        assert bench.metadata == [Metadata("d", "histogram", "s", "Duration.")]
        series = bench.table.series(int(bench.batch.refs[0]))
        assert (series.type, series.unit, series.help) == ("histogram", "s", "Duration.")
        bench.settle(error)
    bench.receive(request("Duration."))
    assert bench.metadata == []
    bench.settle()
    bench.receive(request("Another."))
    assert bench.metadata == [Metadata("d", "histogram", "s", "Another.")]


def test_metadata_without_samples() -> None:
    bench = Bench()
    built = V2()
    built.series("orphan").metadata.type = 1
    receipt = bench.receive(built.request)
    assert not receipt.refused
    assert bench.metadata == [Metadata("orphan", "counter", "", "")]
    assert bench.table.size == 0


def test_metadata_that_cannot_be_read_costs_no_sample_of_a_known_series() -> None:
    bench = Bench()
    bench.receive(simple("up"))
    built = V2()
    built.series("up").samples.add(timestamp=NOW_MS, value=1.0)
    bench.receive(built.request)
    built.request.timeseries[0].metadata.type = 1
    built.request.timeseries[0].metadata.help_ref = 77
    receipt = bench.receive(built.request)
    assert (receipt.samples, receipt.refused) == (1, "")


def test_a_series_of_2_0_without_anything_is_told() -> None:
    bench = Bench()
    built = V2()
    built.series("up")
    built.series("up").samples.add(timestamp=NOW_MS, value=1.0)
    receipt = bench.receive(built.request)
    assert receipt.refused == "1 series have neither samples nor histograms"
    assert receipt.samples == 1


# ---- native histograms ---------------------------------------------------------------------------------------


def _histograms(bench: Bench) -> list[tuple[int, NativeHistogram]]:
    columns = bench.batch.histograms
    assert columns is not None
    decoded = [NativeHistogram.decode(payload) for payload in columns.payloads]
    return [(at_ms - NOW_MS, one) for at_ms, one in zip(columns.timestamps_ms.tolist(), decoded, strict=True)]


@pytest.mark.parametrize("make", [V1, V2])
def test_native_histograms(make: Callable[[], Any]) -> None:
    bench = Bench()
    built = make()
    series = built.series("latency")
    plain = series.histograms.add(
        timestamp=NOW_MS, count_int=13, sum=3.5, schema=2, zero_threshold=0.01, zero_count_int=1, reset_hint=2
    )
    for offset, length in ((-3, 2), (4, 1)):
        plain.positive_spans.add(offset=offset, length=length)
    plain.positive_deltas.extend([3, -1, 4])
    plain.negative_spans.add(offset=0, length=1)
    plain.negative_deltas.extend([1])
    floats = series.histograms.add(
        timestamp=NOW_MS + 1, count_float=2.5, sum=1.0, schema=0, zero_count_float=0.5, reset_hint=3
    )
    floats.positive_spans.add(offset=0, length=2)
    floats.positive_counts.extend([1.5, 0.5])
    custom = series.histograms.add(
        timestamp=NOW_MS + 2, count_int=5, sum=4.0, schema=-53, custom_values=[0.5, 1.0]
    )
    custom.positive_spans.add(offset=0, length=3)
    custom.positive_deltas.extend([1, 1, 0])
    series.histograms.add(timestamp=NOW_MS + 3, sum=STALE)
    receipt = bench.receive(built.request)
    assert (receipt.histograms, receipt.samples, receipt.refused) == (4, 0, "")
    (_, first), (_, second), (_, third), (at_ms, stale) = _histograms(bench)
    assert first == NativeHistogram(
        2, 13, 3.5, 0.01, 1, ((-3, 2), (4, 1)), (3, 2, 6), ((0, 1),), (1,), (), "not_reset", False
    )
    assert second == NativeHistogram(
        0, 2.5, 1.0, 0, 0.5, ((0, 2),), (1.5, 0.5), reset_hint="gauge", is_float=True
    )
    assert third == NativeHistogram(-53, 5, 4.0, 0, 0, ((0, 3),), (1, 2, 2), custom_bounds=(0.5, 1.0))
    assert (at_ms, stale.is_stale) == (3, True)
    assert set(bench.batch.histograms.rows.tolist()) == {0}  # type: ignore[union-attr]


def test_histograms_that_nothing_can_use_are_refused() -> None:
    bench = Bench()
    built = V2()
    series = built.series("latency", {"job": "a"})
    series.histograms.add(timestamp=NOW_MS, count_int=99, sum=1.0).positive_spans.add(offset=0, length=1)
    series.histograms.add(timestamp=NOW_MS, count_int=1, sum=1.0, zero_count_int=1, schema=77)
    series.histograms.add(timestamp=NOW_MS + 10**9, count_int=0)
    series.histograms.add(timestamp=NOW_MS, count_int=0)
    receipt = bench.receive(built.request)
    assert receipt.histograms == 1
    for told in ("positive spans name 1 buckets, 0 are there", "schema 77", "ahead of the server's clock"):
        assert told in receipt.refused
    assert bench.protection.samples_by_reason == {"invalid_histogram": 2, "too_new": 1}


def test_the_first_histogram_since_a_start_has_a_zero_before_it() -> None:
    bench = Bench()
    built = V2()
    made = built.series("latency").histograms.add(timestamp=NOW_MS, start_timestamp=NOW_MS - 5000, schema=1)
    made.count_int = made.zero_count_int = 3
    for expected in ([(0, 3.0), (-5000, 0.0)], [(0, 3.0)]):
        receipt = bench.receive(built.request)
        assert receipt.histograms == 1
        assert [(at_ms, one.count) for at_ms, one in _histograms(bench)] == expected
        bench.settle()


# ---- start timestamps ----------------------------------------------------------------------------------------


def _started(name: str, start_ms: int, at_ms: int, value: float = 5.0, kind: int = 1) -> Any:
    built = V2()
    series = built.series(name)
    series.metadata.type = kind
    series.samples.add(timestamp=NOW_MS + at_ms, value=value, start_timestamp=NOW_MS + start_ms)
    return built.request


def test_a_new_counter_begins_with_zero() -> None:
    bench = Bench()
    bench.receive(_started("c", -60_000, 0))
    assert bench.samples() == {("c{}", 0, 5.0), ("c{}", -60_000, 0.0)}
    bench.settle(Unavailable("not stored"))
    assert bench.receive(_started("c", -60_000, 0)).samples == 1
    assert bench.samples() == {("c{}", 0, 5.0), ("c{}", -60_000, 0.0)}
    bench.settle()
    bench.receive(_started("c", -60_000, 15_000, 7.0))
    assert bench.samples() == {("c{}", 15_000, 7.0)}
    bench.settle()
    bench.receive(_started("c", 20_000, 30_000, 1.0))  # it started again
    assert bench.samples() == {("c{}", 30_000, 1.0), ("c{}", 20_000, 0.0)}
    bench.settle()
    bench.receive(
        _started("c", 25_000, 45_000, 2.0)
    )  # a clock that slews gives no zero between known samples
    assert bench.samples() == {("c{}", 45_000, 2.0)}


@pytest.mark.parametrize(
    ("start_ms", "kind"), [(-3_600_001, 1), (0, 1), (1, 1), (-NOW_MS, 1), (-NOW_MS - 5, 1), (-60_000, 2)]
)
def test_no_zero_for_what_began_long_ago_or_counts_nothing(start_ms: int, kind: int) -> None:
    bench = Bench()
    bench.receive(_started("c", start_ms, 0, kind=kind))
    assert bench.samples() == {("c{}", 0, 5.0)}


def test_a_start_that_is_said_once_for_all_samples() -> None:
    bench = Bench()
    built = V2()
    series = built.series("c")
    series.created_timestamp = NOW_MS - 9000
    for at_ms in (0, 1):
        series.samples.add(timestamp=NOW_MS + at_ms, value=3.0)
    bench.receive(built.request)
    assert bench.samples() == {("c{}", 0, 3.0), ("c{}", 1, 3.0), ("c{}", -9000, 0.0)}


def test_a_row_that_was_given_to_another_series_has_no_start() -> None:
    bench = Bench()
    bench.receive(_started("first", -60_000, 0))
    ref = int(bench.batch.refs[0])
    bench.settle()
    assert bench.table.remove([ref]).tolist() == [ref]
    bench.receive(_started("second", -90_000, 1))
    assert int(bench.batch.refs[0]) == ref
    assert bench.samples() == {("second{}", 1, 5.0), ("second{}", -90_000, 0.0)}
