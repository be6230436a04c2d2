"""The journal's encoding: the samples of one group commit as one block of bytes, and back.

`ingest` puts a block into the table `journal` before it acknowledges a group; `rebuild` decodes the blocks
after a start. Samples are stored by row of the series table (`refs`), which follow each other closely; a
block also names the fingerprint of each row that no earlier block of its generation named ("bindings"). So a
generation is decoded from its first block on, and a sample costs a few bytes where its 8-byte fingerprint
alone would cost more.

A block is a header and the zstd frame of five streams: bindings, rows, times, tags, values. Decoding is exact
for every bit pattern and never reads outside the block.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import cramjam
import numpy as np
import numpy.typing as npt

from setpoint.errors import SetpointError
from setpoint.telemetry.journal_kernels import decode, encode, unbound

__all__ = ["CorruptJournal", "JournalDecoder", "JournalEncoder", "JournalSamples", "Resolve", "warm"]

_VERSION = 1
_HEADER = struct.Struct("<BBHIIIIII")
"""Version, flags, unused, samples, bindings, bytes of: row, time, value stream, everything uncompressed."""

_RESET = 1
"""Flag: this block starts anew, bindings of earlier blocks do not hold."""

_LEVEL = 1
_UNBOUND = -2


class CorruptJournal(SetpointError):
    """A block of the journal is damaged; its samples are lost. Check the disk, restore a backup if you need them."""


class JournalSamples(NamedTuple):
    """Samples as columns: `refs` int32[m] as they are now, `timestamps_ms` int64[m], `values` float64[m]."""

    refs: npt.NDArray[np.int32]
    timestamps_ms: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


Resolve = Callable[[npt.NDArray[np.uint64]], npt.NDArray[np.int32]]
"""The refs that series have now, int32[k], by their fingerprints uint64[k]; -1 for one that is to be left out."""


class JournalEncoder:
    """Encodes the blocks of one generation after another. Not thread-safe: the writer owns it."""

    def __init__(self) -> None:
        self._bound = np.zeros(0, np.uint64)
        self._starts_anew = True

    def start_anew(self) -> None:
        """The next block repeats every binding: a new generation begins, or a block may not have been stored."""
        self._starts_anew = True

    def encode(
        self,
        refs: npt.NDArray[np.int32],
        fingerprints: npt.NDArray[np.uint64],
        timestamps_ms: npt.NDArray[np.int64],
        values: npt.NDArray[np.float64],
    ) -> bytes:
        """One block of m samples; `fingerprints` uint64[m] are those of `refs` int32[m].

        The caller stores the block, or calls `start_anew` when it could not.
        """
        if self._starts_anew:
            self._bound[:] = 0
        if len(refs) and int(refs.max()) >= len(self._bound):
            grown = np.zeros(int(refs.max()) * 5 // 4 + 1024, np.uint64)
            grown[: len(self._bound)] = self._bound
            self._bound = grown
        bindings = unbound(refs, fingerprints, self._bound)
        bound = np.empty(len(bindings) * 12, np.uint8)
        bound[: len(bindings) * 4] = refs[bindings].view(np.uint8)
        bound[len(bindings) * 4 :] = fingerprints[bindings].view(np.uint8)
        rows, times, tags, numbers = encode(refs, timestamps_ms, values, values.view(np.int64))
        streams = np.concatenate((bound, rows, times, tags, numbers))
        header = _HEADER.pack(
            _VERSION,
            _RESET if self._starts_anew else 0,
            0,
            len(refs),
            len(bindings),
            len(rows),
            len(times),
            len(numbers),
            len(streams),
        )
        self._starts_anew = False
        return header + bytes(cramjam.zstd.compress(streams.data, level=_LEVEL))


class JournalDecoder:
    """Decodes the blocks of one generation, from its first on; `resolve` is asked for each series once."""

    def __init__(self, resolve: Resolve) -> None:
        self._resolve = resolve
        self._refs = np.full(0, _UNBOUND, np.int32)

    def decode(self, block: bytes | memoryview) -> JournalSamples:
        """The samples of the next block. Raises CorruptJournal, after which the generation goes on.

        A sample whose binding was lost with a damaged block raises CorruptJournal as well.
        """
        try:
            version, flags, _, count, bindings, rows, times, numbers, total = _HEADER.unpack_from(block)
        except struct.error as error:
            raise CorruptJournal("a block of the journal ends in its header") from error
        if version != _VERSION:
            raise CorruptJournal(f"a block of the journal has version {version}; install a newer Setpoint")
        if bindings * 12 + rows + times + count + numbers != total:
            raise CorruptJournal("a block of the journal contradicts itself")
        streams = np.empty(total, np.uint8)
        try:
            written = cramjam.zstd.decompress_into(memoryview(block)[_HEADER.size :], streams.data)
        except cramjam.DecompressionError as error:
            raise CorruptJournal(f"a block of the journal cannot be decompressed: {error}") from error
        if written != total:
            raise CorruptJournal("a block of the journal is shorter than it says")
        if flags & _RESET:
            self._refs[:] = _UNBOUND
        ends = np.cumsum([bindings * 4, bindings * 8, rows, times, count])
        bound, fingerprints, row_bytes, time_bytes, tags, value_bytes = np.split(streams, ends)
        self._bind(bound.view(np.int32), fingerprints.copy().view(np.uint64))
        refs, timestamps_ms, bits, intact = decode(
            count, self._refs, row_bytes, time_bytes, tags, value_bytes
        )
        if not intact:
            raise CorruptJournal("a block of the journal is damaged, or needs one that is missing")
        values = bits.view(np.float64)
        known = refs >= 0
        if known.all():
            return JournalSamples(refs, timestamps_ms, values)
        return JournalSamples(refs[known], timestamps_ms[known], values[known])

    def _bind(self, refs: npt.NDArray[np.int32], fingerprints: npt.NDArray[np.uint64]) -> None:
        if not len(refs):
            return
        if int(refs.min()) < 0:
            raise CorruptJournal("a block of the journal binds a row that cannot be")
        if int(refs.max()) >= len(self._refs):
            grown = np.full(int(refs.max()) + 1, _UNBOUND, np.int32)
            grown[: len(self._refs)] = self._refs
            self._refs = grown
        self._refs[refs] = self._resolve(fingerprints)


def warm() -> None:
    """Compile the kernels, or load them from the cache."""
    refs = np.zeros(1, np.int32)
    block = JournalEncoder().encode(refs, np.ones(1, np.uint64), np.zeros(1, np.int64), np.zeros(1))
    JournalDecoder(lambda fingerprints: np.zeros(len(fingerprints), np.int32)).decode(block)
