"""Remote read: Setpoint answers what a real Prometheus answers, and a real Prometheus answers from Setpoint's samples.

Frames of chunks are taken apart here by a decoder of its own, which first has to read what Prometheus sends.
"""

from __future__ import annotations

import itertools
import json
import shutil
import struct
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cramjam
import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from tests.conftest import require
from tests.differential.prometheus import Prometheus
from tests.differential.test_scrape_prometheus import free_port, program
from tests.promql.samples import labels_of
from tests.web.conftest import NOW_MS, MakeApp, Running, make_app, send, serve

from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry import remote_read_kernels as kernels
from setpoint.telemetry.model import HistogramColumns, SampleColumns
from setpoint.telemetry.native_histogram import NativeHistogram
from setpoint.telemetry.receive.remote_write_messages import histogram, message_classes, parse
from setpoint.telemetry.remote_read import samples_answer
from setpoint.telemetry.side_store import StoredHistograms

__all__ = ["make_app", "serve"]

TOKEN = "remote-read-token"
NOW_S = NOW_MS // 1000
ODD = [0.0, -0.0, 1.0, 1.5, 1e300, -1e-300, float("inf"), float("-inf"), 0.1, 0.30000000000000004]
SERIES = {
    f'requests_total{{job="{job}",instance="{number}"}}': [
        (NOW_S - 15 * (300 - step) + (step % 7) / 1000, float(step * number + (step % 5) / 8))
        for step in range(300)
    ]
    for job in ("api", "db")
    for number in range(3)
} | {
    "odd": [(NOW_S - 60 * (len(ODD) - place), value) for place, value in enumerate(ODD)],
    'gaps{text="größe"}': [(NOW_S - 7000, 1.0), (NOW_S - 6999, 1.0), (NOW_S - 40, 2.0), (NOW_S - 39.5, 3.0)],
}

MESSAGES = message_classes(
    "remote_read_test",
    {
        "LabelMatcher": "int64 type=1, bytes name=2, bytes value=3",
        "Query": "int64 start=1, int64 end=2, *LabelMatcher matchers=3",
        "ReadRequest": "*Query queries=1, *int64 forms=2",
        "Label": "bytes name=1, bytes value=2",
        "Sample": "double value=1, int64 timestamp=2",
        "TimeSeries": "*Label labels=1, *Sample samples=2, *bytes histograms=4",
        "QueryResult": "*TimeSeries timeseries=1",
        "ReadResponse": "*QueryResult results=1",
        "Chunk": "int64 min=1, int64 max=2, int64 type=3, bytes data=4",
        "ChunkedSeries": "*Label labels=1, *Chunk chunks=2",
        "ChunkedReadResponse": "*ChunkedSeries series=1, int64 query=2",
    },
)

Points = list[tuple[int, int]]
"""Timestamps in milliseconds, values as bits."""

Answer = list[tuple[int, dict[str, str], Points]]
"""The query's number, the labels, the points of each series."""

OPERATORS = {"=": 0, "!=": 1, "=~": 2, "!~": 3}


def bits(value: float) -> int:
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])


class Bits:
    """A stream of bits."""

    def __init__(self, data: bytes) -> None:
        self._text = "".join(f"{byte:08b}" for byte in data)
        self._at = 0

    def take(self, count: int) -> int:
        self._at += count
        return int(self._text[self._at - count : self._at] or "0", 2)

    def varint(self) -> int:
        number = shift = 0
        while (byte := self.take(8)) & 0x80:
            number |= (byte & 0x7F) << shift
            shift += 7
        return number | byte << shift


def chunk_points(data: bytes) -> Points:
    """The samples of a XOR chunk."""
    stream = Bits(data)
    count = stream.take(16)
    zigzag = stream.varint()
    points = [(zigzag >> 1 ^ -(zigzag & 1), stream.take(64))]
    distance = leading = trailing = 0
    for place in range(1, count):
        if place == 1:
            distance = stream.varint()
        else:
            ones = 0
            while ones < 4 and stream.take(1):
                ones += 1
            width = (0, 14, 17, 20, 64)[ones]
            change = stream.take(width)
            if (width and change > 1 << (width - 1)) or (width == 64 and change == 1 << 63):
                change -= 1 << width
            distance += change
        change = 0
        if stream.take(1):
            if stream.take(1):
                leading, width = stream.take(5), stream.take(6) or 64
                trailing = 64 - leading - width
            change = stream.take(64 - leading - trailing) << trailing
        points.append((points[-1][0] + distance, points[-1][1] ^ change))
    return points


def ask(
    url: str, queries: list[tuple[list[tuple[str, str, str]], int, int]], forms: list[int]
) -> tuple[str, bytes]:
    """The content type and the body of the answer."""
    request = MESSAGES["ReadRequest"](forms=forms)
    for matchers, start_ms, end_ms in queries:
        query = request.queries.add(start=start_ms, end=end_ms)
        for name, operator, value in matchers:
            query.matchers.add(type=OPERATORS[operator], name=name.encode(), value=value.encode())
    body = bytes(cramjam.snappy.compress_raw(request.SerializeToString()))
    headers = {
        "Content-Type": "application/x-protobuf",
        "Content-Encoding": "snappy",
        "Authorization": f"Bearer {TOKEN}",
        "Accept-Encoding": "gzip, snappy",
    }
    answer = httpx.post(f"{url}/api/v1/read", content=body, headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    return answer.headers["Content-Type"], answer.content


def named(labels: Any) -> dict[str, str]:
    return {label.name.decode(): label.value.decode() for label in labels}


def samples_of(body: bytes) -> Answer:
    response = MESSAGES["ReadResponse"].FromString(bytes(cramjam.snappy.decompress_raw(body)))
    return [
        (number, named(series.labels), [(sample.timestamp, bits(sample.value)) for sample in series.samples])
        for number, result in enumerate(response.results)
        for series in result.timeseries
    ]


def frames_of(body: bytes) -> Answer:
    answer: Answer = []
    at = 0
    while at < len(body):
        stream = Bits(body[at : at + 10])
        size = stream.varint()
        at += stream._at // 8
        checksum, message = body[at : at + 4], body[at + 4 : at + 4 + size]
        assert len(message) == size
        assert int(kernels.castagnoli(np.frombuffer(bytearray(message), np.uint8))) == int.from_bytes(
            checksum, "big"
        )
        at += 4 + size
        frame = MESSAGES["ChunkedReadResponse"].FromString(message)
        for series in frame.series:
            points: Points = []
            for chunk in series.chunks:
                found = chunk_points(chunk.data)
                assert (chunk.type, chunk.min, chunk.max) == (1, found[0][0], found[-1][0])
                points += found
            if answer and answer[-1][:2] == (frame.query, named(series.labels)):
                points = answer.pop()[2] + points
            answer.append((frame.query, named(series.labels), points))
    return answer


def in_order(answer: Answer) -> Answer:
    return sorted(answer, key=lambda one: (one[0], sorted(one[1].items())))


@pytest.fixture
def served(make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[str]:
    parts = make_app(token=SecretStr(TOKEN))
    names = list(SERIES)
    series = [Series(fingerprint(labels_of(name)), labels_of(name), "shop") for name in names]
    rows, seconds, values = zip(
        *((place, *sample) for place, name in enumerate(names) for sample in SERIES[name]), strict=True
    )
    times = np.array([round(second * 1000) for second in seconds], np.int64)
    send(parts, MetricBatch(series, np.array(rows, np.int32), times, np.array(values, np.float64)))
    yield serve(parts).url


QUERIES = [
    ([("__name__", "=", "requests_total")], NOW_MS - 4_000_000, NOW_MS),
    ([("__name__", "=~", "odd|gaps"), ("job", "=", "")], 0, 2**62),
    (
        [("job", "!=", "api"), ("instance", "!~", "1|2"), ("__name__", "!=", "")],
        NOW_MS - 600_000,
        NOW_MS - 300_000,
    ),
    ([("__name__", "=", "nothing")], 0, NOW_MS),
    ([("__name__", "=", "odd")], NOW_MS, 0),
]


def test_both_forms_hold_what_prometheus_answers(tmp_path: Path, served: str) -> None:
    require("prometheus", Prometheus.is_installed(), "prometheus")
    queries = [(matchers, start_ms, min(end_ms, 2**53)) for matchers, start_ms, end_ms in QUERIES[:4]]
    with Prometheus(tmp_path, SERIES) as peer:
        theirs = f"http://{peer.address}"
        kind, expected = ask(theirs, queries, [])
        assert ask(served, queries, [])[0] == kind == "application/x-protobuf"
        # It also names series that have a chunk there, but no sample.
        wanted = in_order([one for one in samples_of(expected) if one[2]])
        for _, labels, points in wanted:  # its messages do not say the sign of a zero
            if labels["__name__"] == "odd":
                points[:] = [
                    (at_ms, bits(-0.0) if place == 1 else value)
                    for place, (at_ms, value) in enumerate(points)
                ]
        assert sum(len(points) for _, _, points in wanted) > 1600
        assert in_order(samples_of(ask(served, queries, [0])[1])) == wanted
        kind, streamed = ask(theirs, queries, [1, 0])
        ours_kind, ours = ask(served, queries, [1, 0])
        assert ours_kind == kind
        assert frames_of(ours) == in_order(frames_of(ours)) == wanted
        # Prometheus sends whole chunks of its blocks, also what is beyond the range.
        whole = {(number, *sorted(labels.items())): points for number, labels, points in frames_of(streamed)}
        for number, labels, points in wanted:
            assert set(points) <= set(whole[number, *sorted(labels.items())])
        everything = [([("__name__", "=", "odd")], 0, 2**53)]
        assert frames_of(ask(served, everything, [1])[1]) == frames_of(ask(theirs, everything, [1])[1])


def test_a_range_that_ends_before_it_starts_is_empty(served: str) -> None:
    for forms in ([], [1]):
        _, body = ask(served, QUERIES[4:], forms)
        assert (frames_of(body) if forms else samples_of(body)) == []


def test_prometheus_answers_from_setpoint(tmp_path: Path, served: str) -> None:
    """A Prometheus without samples of its own, told to read here; what it answers are the samples that are here."""
    require("prometheus", shutil.which("prometheus") is not None, "prometheus")
    address = f"127.0.0.1:{free_port()}"
    (tmp_path / "prometheus.yml").write_text(
        f"remote_read:\n- url: {served}/api/v1/read\n  read_recent: true\n  authorization: {{credentials: {TOKEN}}}\n"
    )
    command = ("prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
               f"--web.listen-address={address}")  # fmt: skip
    with program(*command, log=tmp_path / "log", ready=f"http://{address}/-/ready"):
        for query in (
            "sum by (job) (rate(requests_total[5m]))",
            'requests_total{instance=~"1|2"}',
            "gaps[3h]",
            "odd[2h]",
            "absent(nothing)",
        ):
            answers = []
            for url in (served, f"http://{address}"):
                parameters = urllib.parse.urlencode({"query": query, "time": NOW_S - 7})
                request = urllib.request.Request(f"{url}/api/v1/query?{parameters}")
                request.add_header("Authorization", f"Bearer {TOKEN}")
                with urllib.request.urlopen(request, timeout=30) as answer:
                    result = json.load(answer)["data"]["result"]
                answers.append(sorted(result, key=lambda one: sorted(one["metric"].items())))
            assert answers[0], query
            assert _rounded(answers[0]) == _rounded(answers[1]), query


def _rounded(result: Any) -> Any:
    """Sums may be taken in another order."""
    if isinstance(result, list):
        return [_rounded(one) for one in result]
    if isinstance(result, dict):
        return {name: _rounded(one) for name, one in result.items()}
    try:
        return f"{float(result) + 0:.12g}"  # Prometheus reads -0 from a message as 0
    except ValueError:
        return result


floats = st.floats(width=64) | st.integers(-(2**53), 2**53).map(float) | st.sampled_from(ODD)
steps = st.integers(1, 40_000) | st.sampled_from([15_000] * 4 + [1, 8191, 8192, 65_536, 524_289, 2**40])


@settings(max_examples=150, deadline=None)
@given(st.integers(-(2**41), 2**41), st.lists(st.tuples(steps, floats), min_size=1, max_size=300))
def test_chunks_hold_the_samples_bit_for_bit(first_ms: int, drawn: list[tuple[int, float]]) -> None:
    times = np.cumsum([first_ms] + [step for step, _ in drawn[1:]]).astype(np.int64)
    values = np.array([value for _, value in drawn], np.float64)
    out = np.zeros(len(times) * kernels.CHUNK_BYTES_PER_SAMPLE + 64 * (1 + len(times) // 120), np.uint8)
    ends = np.zeros(len(times), np.int64)
    count = kernels.put_chunks(times, values, out, ends)
    points: Points = []
    for begin, end in itertools.pairwise([0, *ends[:count].tolist()]):
        points += chunk_points(out[begin:end].tobytes())
    assert points == list(zip(times.tolist(), values.view(np.uint64).tolist(), strict=True))


HISTOGRAMS = [
    NativeHistogram(
        3, 9.0, 12.5, 1e-9, 1.0, ((-2, 2), (3, 1)), (2.0, 1.0, 4.0), ((0, 1),), (1.0,), (), "not_reset"
    ),
    NativeHistogram(0, 0.75, 1.5, 0.0, 0.25, ((1, 1),), (0.5,), reset_hint="gauge", is_float=True),
    NativeHistogram(
        -53, 3.0, 4.0, positive_spans=((0, 2),), positive_counts=(1.0, 2.0), custom_bounds=(1.0, 2.5)
    ),
]


def test_native_histograms_are_in_the_answer() -> None:
    """What remote write would read from it is what was stored; a series may hold both."""
    labels = {"__name__": "latency", "job": "api"}
    rows = np.zeros(len(HISTOGRAMS), np.int32)
    times = np.arange(len(HISTOGRAMS), dtype=np.int64) + 5
    stored = StoredHistograms((labels,), HistogramColumns(rows, times, [one.encode() for one in HISTOGRAMS]))
    floats_too = SampleColumns((labels,), np.array([0, 1]), np.array([3]), np.array([1.5]))
    for columns, samples in ((SampleColumns.empty(), []), (floats_too, [(3, bits(1.5))])):
        body = samples_answer([(columns, stored)])
        assert samples_of(body) == [(0, labels, samples)]
        response = MESSAGES["ReadResponse"].FromString(bytes(cramjam.snappy.decompress_raw(body)))
        messages = [parse("Histogram", one) for one in response.results[0].timeseries[0].histograms]
        assert [histogram(message) for message in messages] == HISTOGRAMS
        assert [message.timestamp for message in messages] == times.tolist()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"no snappy", 400),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\xff")), 400),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x00" * 101)), 400),
        (bytes(cramjam.snappy.compress_raw(b"\x10\x07")), 400),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x07\x1a\x05\x08\x02\x1a\x01(")), 400),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x04\x1a\x02\x08\x09")), 400),
        (bytes(cramjam.snappy.compress_raw(b"\x0a\x05\x1a\x03\x1a\x01\xff")), 400),
        (b"x" * (1 << 20) + b"x", 413),
        (b"\xff\xff\xff\xff\x0f", 413),
    ],
)
def test_what_is_no_request_is_refused(served: str, body: bytes, status: int) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{served}/api/v1/read", content=body, headers=headers)
    assert answer.text.endswith("\n") and len(answer.text) > 20
    assert answer.status_code in (status, 400), answer.text
    assert httpx.post(f"{served}/api/v1/read", content=body).status_code == 401
