"""Damaged protobuf bodies, from a seed: what a broken sender, a cut connection or an attacker may send.

Run as a program it scans such bodies for a while with the body directly in front of (and directly behind) a page that
may not be read, so that a read outside of it ends the process: python -m tests.telemetry.receive.wire_mutations 5000
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import random
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config

from setpoint.errors import InvalidInput, TooLarge
from setpoint.telemetry.receive import wire_kernels
from setpoint.telemetry.receive.remote_write_scan import Scanner
from tests.telemetry.receive.remote_write_proto import Request, WriteRequest

__all__ = ["Guarded", "bodies", "mutated", "valid_v1", "valid_v2"]

_HUGE = [
    b"\xff" * 9 + b"\x01",
    b"\xff" * 10 + b"\x01",
    b"\xff" * 4 + b"\x7f",
    b"\x80" * 9 + b"\x02",
    b"\x80" * 11,
    b"\x80\x80\x00",
]
_GROUPS = [
    b"\x63\x64",
    b"\x63\x6b\x6c\x64",
    b"\x63\x6b\x64\x6c",
    b"\x63" * 70,
    b"\x64",
    b"\x63\x0a\x05abcde\x64",
]


def valid_v1(randomness: random.Random) -> bytes:
    """A request of 1.0 with a few series of all kinds."""
    request = WriteRequest()
    for number in range(randomness.randint(0, 4)):
        series = request.timeseries.add()
        series.labels.add(name=b"__name__", value=b"metric_%d" % number)
        for label in range(randomness.randint(0, 4)):
            series.labels.add(name=b"l%d" % label, value=b"v" * randomness.choice([0, 1, 7, 8, 16, 130]))
        for _ in range(randomness.choice([0, 1, 1, 1, 3])):
            series.samples.add(
                value=randomness.choice([0.0, 1.5, 1e300]),
                timestamp=randomness.choice([0, 5, -1, 1_700_000_000_000]),
            )
        if randomness.random() < 0.3:
            series.exemplars.add(value=1.0, timestamp=1_700_000_000_000).labels.add(
                name=b"trace_id", value=b"abc"
            )
        if randomness.random() < 0.3:
            made = series.histograms.add(count_int=3, sum=2.0, schema=1, timestamp=1_700_000_000_000)
            made.positive_spans.add(offset=0, length=2)
            made.positive_deltas.extend([1, 1])
    if randomness.random() < 0.3:
        request.metadata.add(type=1, metric_family_name=b"metric_0", help=b"Help.", unit=b"s")
    return bytes(request.SerializeToString())


def valid_v2(randomness: random.Random) -> bytes:
    """A request of 2.0 with a few series of all kinds."""
    request = Request()
    request.symbols.extend([b"", b"__name__", b"metric", b"job", b"a" * 200, b"Help.", b"seconds"])
    for _ in range(randomness.randint(0, 4)):
        series = request.timeseries.add()
        series.labels_refs.extend(
            [1, 2, 3, randomness.choice([4, 5, 99, 300])][: randomness.choice([2, 4, 4, 3])]
        )
        for _ in range(randomness.choice([0, 1, 1, 3])):
            series.samples.add(
                value=2.5,
                timestamp=1_700_000_000_000,
                start_timestamp=randomness.choice([0, 1_699_999_999_000]),
            )
        if randomness.random() < 0.5:
            series.metadata.type, series.metadata.help_ref, series.metadata.unit_ref = (
                1,
                5,
                randomness.choice([0, 6, 70]),
            )
        if randomness.random() < 0.3:
            series.exemplars.add(value=1.0, timestamp=1_700_000_000_000).labels_refs.extend([3, 4])
        if randomness.random() < 0.3:
            series.histograms.add(count_int=0, sum=0.0, timestamp=1_700_000_000_000)
        if randomness.random() < 0.2:
            series.created_timestamp = 1_699_999_990_000
    return bytes(request.SerializeToString())


def mutated(body: bytes, randomness: random.Random) -> bytes:
    """`body` with one to four faults."""
    damaged = bytearray(body)
    for _ in range(randomness.randint(1, 4)):
        place = randomness.randint(0, len(damaged))
        match randomness.randrange(9):
            case 0 if place < len(damaged):
                damaged[place] ^= 1 << randomness.randrange(8)
            case 1 if place < len(damaged):
                damaged[place] = randomness.choice([0, 1, 2, 0x7F, 0x80, 0xFF, randomness.randrange(256)])
            case 2:
                del damaged[place:]
            case 3:
                del damaged[place : place + randomness.randint(1, 8)]
            case 4:
                damaged[place:place] = randomness.choice(_HUGE)
            case 5:
                damaged[place:place] = randomness.choice(_GROUPS)
            case 6:
                damaged[place:place] = randomness.randbytes(randomness.randint(1, 12))
            case 7:  # a length that lies
                damaged[place:place] = bytes(
                    [randomness.choice([0x0A, 0x12, 0x1A, 0x22, 0x2A])]
                ) + randomness.choice([b"\x7f", b"\xff\x7f", *_HUGE])
            case _:
                other = randomness.randint(0, len(damaged))
                damaged[place:place] = damaged[min(place, other) : max(place, other)][:64]
    return bytes(damaged)


def bodies(count: int, seed: int) -> Iterator[tuple[bool, bytes]]:
    """(is 2.0, body), some of them undamaged, and some read as the other version."""
    randomness = random.Random(seed)
    for _ in range(count):
        is_v2 = randomness.random() < 0.5
        body = (valid_v2 if is_v2 else valid_v1)(randomness)
        if randomness.random() < 0.95:
            body = mutated(body, randomness)
        yield is_v2 != (randomness.random() < 0.05), body


class Guarded:
    """Memory between two pages that may not be read."""

    def __init__(self, pages: int = 16) -> None:
        self._size = pages * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, self._size + 2 * mmap.PAGESIZE)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        for page in (start, start + mmap.PAGESIZE + self._size):
            if protect(page, mmap.PAGESIZE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        inside: Any = (ctypes.c_uint8 * self._size).from_address(start + mmap.PAGESIZE)
        self._array: npt.NDArray[np.uint8] = np.frombuffer(inside, np.uint8)

    def holding(self, body: bytes, at_end: bool) -> npt.NDArray[np.uint8]:
        """`body` at one of the two edges."""
        room = self._array[len(self._array) - len(body) :] if at_end else self._array[: len(body)]
        room[:] = np.frombuffer(body, np.uint8)
        return room


def main(count: int) -> None:
    """Scan `count` damaged bodies at both edges of guarded memory."""
    if config.BOUNDSCHECK:  # and it is in effect
        with contextlib.suppress(IndexError):
            wire_kernels.word_at(np.zeros(7, np.uint8), 0)
            raise AssertionError("a read outside of an array went unnoticed")
    guarded, scanner = Guarded(), Scanner(np.array([1, 2], np.uint64))
    outcomes = {True: 0, False: 0}
    for is_v2, body in bodies(count, seed=1):
        for at_end in (True, False):
            outcome = False
            with contextlib.suppress(InvalidInput, TooLarge):
                scanner.scan(guarded.holding(body, at_end), is_v2)
                outcome = True
            outcomes[outcome] += 1

    print(outcomes[True], outcomes[False])
    assert min(outcomes.values()) > count // 10, outcomes


def trespass() -> None:
    """Read the byte behind guarded memory, which must end the process."""
    guarded = Guarded()
    body = guarded.holding(b"\0", at_end=True)
    print(ctypes.c_uint8.from_address(body.ctypes.data + 1).value)


if __name__ == "__main__":
    main(int(sys.argv[1])) if sys.argv[1:] else trespass()
