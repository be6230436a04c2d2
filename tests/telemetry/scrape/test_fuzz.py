"""Bodies that nobody would send on purpose: the scan stays inside its buffer and answers with a line."""

from __future__ import annotations

import ctypes
import mmap
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape import scan
from setpoint.telemetry.scrape.exposition import read_exemplar, read_labels, read_metadata, read_samples

SECRET = np.array([1, 2, 3, 4], np.uint64)
TEXT = b"""# HELP http_requests_total The requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000
msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",error="Cannot find file:\\n\\"FILE.TXT\\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# TYPE rpc summary
rpc{quantile="0.01"} 3102.000000000000123456789
{"utf.8","a.b"="c"} 1.7560473e+07
rpc_sum NaN
"""
OPENMETRICS = b"""# TYPE foo histogram
# UNIT foo_seconds seconds
# HELP foo Help \\n \\" text
foo_bucket{le="0.01"} 8
foo_bucket{le="0.1"} 8 # {} 0.054
foo_bucket{le="+Inf"} 17 1520879607.789 # {trace_id="KOO5S4vxi0o",b="\\"}"} 0.67 1520879607.789
foo_created 1.520430000123e9
{"foo.bar",x="y"} -1.5e-300 -1
# EOF
"""
TOKENS = [
    b"{", b"}", b'"', b"\\", b",", b"=", b" ", b"\t", b"\n", b"#", b"# EOF", b"# EOF\n", b"# {", b"NaN", b"-", b"+",
    b".", b"e", b"E9", b"1e400", b"0" * 40, b"9" * 25, b"\0", b"\xff", b"\xc3\xbc", b"a" * 300, b"# TYPE", b"# HELP x",
    b"\r",
]  # fmt: skip
OUTPUTS: list[tuple[tuple[int, ...], Any]] = [
    ((3,), np.int64), ((2,), np.uint64), ((), np.float64), ((2,), np.int64), ((4,), np.int64), ((3,), np.int64),
    ((2,), np.uint64),
]  # fmt: skip


class Guarded:
    """Memory whose end is followed by a page that cannot be read: one byte too far ends the process."""

    def __init__(self, pages: int = 4) -> None:
        size = pages * mmap.PAGESIZE
        self._map = mmap.mmap(-1, size + mmap.PAGESIZE)
        self._address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        self._size = size
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(self._address + size), mmap.PAGESIZE, 0) == 0
        self._whole: Any = np.frombuffer(memoryview(self._map)[:size], np.uint8)

    def place(self, body: bytes) -> Any:
        """`body`, copied so that it ends where the readable memory ends."""
        view = self._whole[self._size - len(body) :]
        view[:] = np.frombuffer(body, np.uint8)
        return view


def mutated(seed: int, count: int) -> Iterator[tuple[bytes, bool]]:
    """Bodies near the two valid ones, and whether they are text."""
    rng = random.Random(seed)
    for _ in range(count):
        is_text = rng.random() < 0.5
        body = bytearray(TEXT if is_text else OPENMETRICS)
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(body) + 1)
            what = rng.randrange(5)
            if what == 0:
                body[at:at] = rng.choice(TOKENS)
            elif what == 1:
                del body[at : at + rng.randint(1, 30)]
            elif what == 2 and at < len(body):
                body[at] = rng.randrange(256)
            elif what == 3:
                body = body[:at]
            else:
                start = rng.randrange(len(body) + 1)
                body[at:at] = body[start : start + rng.randint(1, 60)]
        yield bytes(body), is_text


def read_all(body: bytes, *, openmetrics: bool) -> int:
    """Everything that a scrape reads of a body; the number of samples."""
    found = read_samples(body, openmetrics=openmetrics, secret=SECRET)
    for row in range(len(found)):
        try:
            labels = read_labels(found.series(row), openmetrics=openmetrics)
        except ValueError as error:
            raise InvalidInput(str(error)) from error
        assert labels["__name__"]
    for metadata in read_metadata(found, openmetrics=openmetrics):
        assert metadata.metric is not None
    for _, start, end in found.exemplars.tolist():
        read_exemplar(body, start, end)
    return len(found)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_bodies_are_read_or_refused_with_a_sentence(seed: int) -> None:
    good = bad = 0
    for body, is_text in mutated(seed, 3000):
        try:
            good += read_all(body, openmetrics=not is_text) >= 0
        except InvalidInput as error:
            bad += 1
            assert error.message
    assert good > 100
    assert bad > 100


def test_no_byte_behind_the_body_is_read_and_none_behind_the_outputs_written() -> None:
    guarded = Guarded()
    bodies = [*mutated(99, 8000)]
    for body, is_text in ((TEXT, True), (OPENMETRICS, False)):
        bodies += [(body[:end], is_text) for end in range(len(body))]
    for body, is_text in bodies:
        size = body.count(b"\n") + 1
        rows = [size, size, size, size, 2 * size, 0 if is_text else size, 0 if is_text else size]
        whole = [
            np.full((count + 4, *shape), 77, kind) for count, (shape, kind) in zip(rows, OUTPUTS, strict=True)
        ]
        counts = np.zeros(6, np.int64)
        outputs: list[Any] = [array[:count] for array, count in zip(whole, rows, strict=True)]
        scan.scan(
            *[guarded.place(body), is_text, SECRET, scan.POWERS, *outputs, counts, np.zeros(2, np.uint64)]
        )
        assert 0 <= counts[5] <= len(body)
        for array, count in zip(whole, rows, strict=True):
            assert (array[count:] == 77).all()


@pytest.mark.parametrize("limit", [0, 1, 3])
def test_more_lines_than_there_is_room_for_end_the_scan(limit: int) -> None:
    counts = np.zeros(6, np.int64)
    rows, keys, values = np.empty((limit, 3), np.int64), np.empty((limit, 2), np.uint64), np.empty(limit)
    slow = np.empty((2 * limit, 4), np.int64)
    for body in (b"a 1\n" * 5, b"# x\n" * 5):
        status = scan.scan(
            np.frombuffer(body, np.uint8), True, SECRET, scan.POWERS, rows, keys, values,
            np.empty((limit, 2), np.int64), slow, np.empty((0, 3), np.int64), np.empty((0, 2), np.uint64), counts,
            np.zeros(2, np.uint64),
        )  # fmt: skip
        assert status == scan.TOO_MANY


def test_a_long_body_of_almost_nothing_is_cheap_to_refuse() -> None:
    with pytest.raises(InvalidInput, match="more than 1,000,000 lines"):
        read_samples(b"a 1\n" * 1_000_001, openmetrics=False, secret=SECRET)
    assert len(read_samples(b"\n" * 5_000_000, openmetrics=False, secret=SECRET)) == 0
