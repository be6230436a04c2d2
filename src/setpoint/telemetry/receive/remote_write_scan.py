"""A remote write body as columns: decompressed, scanned by the kernels, refused when it is malformed or too much.

`remote_write_receiver` calls `inflate` and `Scanner.scan`. The arrays for the kernels are guessed from the size of
the body; a request of unusually many small messages is scanned a second time with the right sizes.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cramjam
import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput, TooLarge
from setpoint.telemetry.receive import remote_write_columns as sample_columns
from setpoint.telemetry.receive import remote_write_kernels as kernels
from setpoint.telemetry.receive.compression import too_large

__all__ = [
    "MAX_ITEMS",
    "MAX_SAMPLES",
    "MAX_SERIES",
    "Scanned",
    "Scanner",
    "inflate",
    "inflated_bytes",
    "warm",
]

Bytes = npt.NDArray[np.uint8]

MAX_SAMPLES = 5_000_000
"""Samples of one request; Prometheus sends 2,000 by default."""

MAX_SERIES = 250_000
"""Series of one request; each costs some microseconds when it is new."""

MAX_SYMBOLS = 1_000_000

MAX_ITEMS = 100_000
"""Histograms, exemplars and metadata of one request, which are decoded one by one."""

_MESSAGES = {False: "prometheus.WriteRequest", True: "io.prometheus.write.v2.Request"}
_LIMITS = {
    kernels.SERIES: (MAX_SERIES, "series"),
    kernels.SAMPLES: (MAX_SAMPLES, "samples"),
    kernels.ITEMS: (MAX_ITEMS, "histograms, exemplars and metadata"),
    kernels.SYMBOLS: (MAX_SYMBOLS, "symbols"),
}
_SPARE = 16


def inflated_bytes(body: bytes | bytearray, limit_bytes: int) -> int:
    """The size that the preamble of a snappy block claims.

    Raises TooLarge when that is more than `limit_bytes`, InvalidInput when there is no preamble.
    """
    try:
        claimed = cramjam.snappy.decompress_raw_len(body)
    except cramjam.DecompressionError as error:
        raise _no_snappy(error) from error
    if claimed > limit_bytes:
        raise too_large(limit_bytes)
    return claimed


def inflate(body: bytes | bytearray, limit_bytes: int) -> Bytes:
    """The bytes of a snappy block, uint8[n]; nothing is allocated for one that claims more than `limit_bytes`.

    Raises as `inflated_bytes`, and InvalidInput when the block is damaged.
    """
    inflated = np.empty(inflated_bytes(body, limit_bytes), np.uint8)
    try:
        if cramjam.snappy.decompress_raw_into(body, inflated) != len(inflated):  # type: ignore[arg-type]
            raise cramjam.DecompressionError("the block ends early")
    except cramjam.DecompressionError as error:
        raise _no_snappy(error) from error
    return inflated


def _no_snappy(error: Exception) -> InvalidInput:
    return InvalidInput(
        f"the body is no snappy block ({error}); remote write needs snappy's block format, not its frames"
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Columns:
    keys: npt.NDArray[np.uint64]
    marks: npt.NDArray[np.int64]
    families: npt.NDArray[np.uint64]
    samples: npt.NDArray[np.uint64]
    items: npt.NDArray[np.int64]

    @classmethod
    def of(cls, is_v2: bool, series: int, samples: int, items: int) -> _Columns:
        return cls(
            np.empty((series, 2), np.uint64),
            np.empty((series + 1, 3), np.int64),
            np.empty((series if is_v2 else 0, 2), np.uint64),
            np.empty((samples, 3), np.uint64),
            np.empty((items, 4), np.int64),
        )


@dataclass(frozen=True, eq=False)
class Scanned:
    """A request as the kernels found it; series, samples and items as `remote_write_kernels.scan` describes."""

    body: Bytes
    is_v2: bool
    keys: npt.NDArray[np.uint64]
    marks: npt.NDArray[np.int64]
    families: npt.NDArray[np.uint64]
    samples: npt.NDArray[np.uint64]
    items: npt.NDArray[np.int64]
    symbols: npt.NDArray[np.int64]
    """int64[s, 3]: where each symbol stands, from and to, and 1 for `__name__`."""

    has_starts: bool

    @property
    def series_count(self) -> int:
        """Number of series, each of which may occur more than once."""
        return len(self.keys)

    @cached_property
    def _view(self) -> memoryview:
        return memoryview(self.body)  # type: ignore[arg-type]

    @cached_property
    def _texts(self) -> dict[int, bytes]:
        return {}

    def bytes_of(self, begin: int, end: int) -> bytes:
        """A part of the body."""
        return bytes(self._view[begin:end])

    def series_bytes(self, series: int) -> bytes:
        """The TimeSeries message of a series."""
        return self.bytes_of(int(self.marks[series, 0]), int(self.marks[series, 1]))

    def symbol(self, reference: int) -> bytes:
        """A symbol's bytes. Raises ValueError for a reference beyond the table."""
        text = self._texts.get(reference)
        if text is None:
            if reference >= len(self.symbols):
                raise ValueError(f"a reference names symbol {reference} of {len(self.symbols)}")
            place = self.symbols[reference]
            text = self._texts[reference] = self.bytes_of(int(place[0]), int(place[1]))
        return text

    def pairs(self, references: Sequence[int]) -> list[tuple[bytes, bytes]]:
        """Names and values that references name in turn. Raises ValueError when one is missing."""
        if len(references) % 2:
            raise ValueError(f"the number of label references is odd ({len(references)})")
        texts = [self.symbol(reference) for reference in references]
        return list(zip(texts[::2], texts[1::2], strict=True))


class Scanner:
    """Scans bodies under one secret; thread-safe."""

    def __init__(self, seed: npt.NDArray[np.uint64]) -> None:
        """`seed` uint64[2] is that of the series table (`SeriesTable.hash_seed`)."""
        factors = np.frombuffer(secrets.token_bytes(32), np.uint64) | np.uint64(1)
        self._secret = np.concatenate([seed, factors])

    @property
    def secret(self) -> npt.NDArray[np.uint64]:
        """uint64[6]: two beginnings and four factors of the hashes."""
        return self._secret

    def scan(self, body: Bytes, is_v2: bool) -> Scanned:
        """The columns of a request in `body` uint8[n].

        Raises InvalidInput when it is malformed and TooLarge when it holds more than one request may.
        """
        status = np.zeros(6, np.int64)
        state = np.empty(kernels.WORKING, np.uint64)
        places, hashes = np.empty((0, 3), np.int64), np.empty((0, 2), np.uint64)
        if is_v2:
            places, hashes = self._symbols(body, state, status)
        columns = _Columns.of(is_v2, *(len(body) // part + _SPARE for part in (48, 16, 256)))
        while True:
            kernels.scan(
                body,
                is_v2,
                self._secret,
                state,
                places,
                hashes,
                columns.keys,
                columns.marks,
                columns.families,
                columns.samples,
                columns.items,
                status,
            )
            _refuse(status, is_v2)
            series, samples, items = status[[kernels.SERIES, kernels.SAMPLES, kernels.ITEMS]].tolist()
            if (
                series <= len(columns.keys)
                and samples <= len(columns.samples)
                and items <= len(columns.items)
            ):
                break
            columns = _Columns.of(is_v2, series, samples, items)
        return Scanned(
            body,
            is_v2,
            columns.keys[:series],
            columns.marks[: series + 1],
            columns.families[:series],
            columns.samples[:samples],
            columns.items[:items],
            places,
            bool(status[kernels.STARTS]),
        )

    def _symbols(
        self, body: Bytes, state: npt.NDArray[np.uint64], status: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
        count = len(body) // 16 + _SPARE
        while True:
            places, hashes = np.empty((count, 3), np.int64), np.empty((count, 2), np.uint64)
            kernels.index_symbols(body, self._secret, state, places, hashes, status)
            _refuse(status, is_v2=True)
            found = int(status[kernels.SYMBOLS])
            if found <= count:
                return places[:found], hashes[:found]
            count = found


def _refuse(status: npt.NDArray[np.int64], is_v2: bool) -> None:
    fault = int(status[kernels.STATUS])
    if fault:
        raise InvalidInput(
            f"the body is no valid {_MESSAGES[is_v2]}: {kernels.FAULTS[fault]} "
            f"(series {int(status[kernels.SERIES]) + 1} of the request); check that the sender's protobuf_message "
            "is that of its Content-Type"
        )
    for place, (limit, what) in _LIMITS.items():
        if status[place] > limit:
            raise TooLarge(
                f"the request holds more than {limit:,} {what}; send smaller batches (max_samples_per_send)"
            )


def warm() -> None:
    """Compile the kernels of remote write, or load them from the cache."""
    scanner = Scanner(np.array([1, 2], np.uint64))
    for is_v2 in (False, True):
        scanned = scanner.scan(np.frombuffer(b"\x2a\x00" if is_v2 else b"\x0a\x00", np.uint8).copy(), is_v2)
    refs, times, places = np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros(1, np.int64)
    values, known = np.zeros(1, np.uint64), np.zeros((1, 3), np.uint64)
    sample_columns.assemble(
        refs,
        scanned.marks,
        scanned.families,
        scanned.samples,
        0,
        0,
        refs.copy(),
        times,
        values,
        times[:0],
        np.zeros((2, 3), np.int64),
    )
    sample_columns.new_families(scanned.families, values, places)
    sample_columns.take_starts(refs, times, times, values, known, 0, places)
    sample_columns.mark_starts(refs, times, times, values, known)
