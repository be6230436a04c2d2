"""How an hour of a ledger is stored: rows of the table `ledger_hours` as RowBinary, with the 60 minutes packed.

`store` encodes and decodes whole batches here, so that no Python object is made per row. The minutes of a row are
two columns of 60 floats: the totals, and the goods with the bits of the totals removed (XOR), which leaves nothing
where all was good. Each column is cut into its eight planes of 60 bytes (all first bytes, all second bytes, …); planes
of zeros are left out, and two bytes in front say which are there. Whole numbers below a million fill three or four
planes of sixteen; ClickHouse's ZSTD does the rest. It is exact to the bit for any float.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled
from setpoint.errors import Unavailable

__all__ = ["HOUR", "HourBlocks", "decode_rows", "encode_rows", "warm"]

_Bytes = npt.NDArray[np.uint8]
_Words = npt.NDArray[np.uint64]
_Ints = npt.NDArray[np.int64]
_Floats = npt.NDArray[np.float64]

HOUR = np.dtype(
    [
        ("ledger", "<u8"),
        ("hour", "<u4"),
        ("good", "<f8"),
        ("total", "<f8"),
        ("present", "<u8"),
        ("counted", "<u8"),
        ("computed_ms", "<i8"),
    ]
)
"""The columns of `ledger_hours` without its minutes, as they lie in a row of RowBinary."""

_MOST = 2 + 2 + 16 * 60  # the length, the mask, all planes


@dataclass(frozen=True, slots=True)
class HourBlocks:
    """n hours with their minutes: `head` HOUR[n]; `cells` float64[n, 60, 2] are good and total, 0 without data.

    Where `is_whole` bool[n] is False, the minutes were dropped (they are old) and only the sums are left.
    """

    head: npt.NDArray[np.void]
    cells: _Floats
    is_whole: npt.NDArray[np.bool_]

    def take(self, at: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> HourBlocks:
        """Some of them."""
        return HourBlocks(self.head[at], self.cells[at], self.is_whole[at])


def encode_rows(blocks: HourBlocks) -> _Bytes:
    """uint8[k]: RowBinary of all columns, in the order of HOUR and then the minutes."""
    head = np.ascontiguousarray(blocks.head).view(np.uint8).reshape(len(blocks.head), HOUR.itemsize)
    out = np.empty(len(head) * (HOUR.itemsize + _MOST), np.uint8)
    size = _encode(head, np.ascontiguousarray(blocks.cells).view(np.uint64), out)
    return out[:size]


def decode_rows(data: bytes) -> HourBlocks:
    """The rows that `encode_rows` made, as the database gives them back. Raises Unavailable when they are damaged."""
    given = np.frombuffer(data, np.uint8)
    starts = _index(given, HOUR.itemsize)
    if len(starts) and starts[-1] < 0:
        raise Unavailable("the stored ledger is damaged; restore a backup, or remove its table ledger_hours")
    head = np.empty((len(starts), HOUR.itemsize), np.uint8)
    words = np.zeros((len(starts), 60, 2), np.uint64)
    is_whole = np.zeros(len(starts), np.bool_)
    if not _decode(given, starts, head, words, is_whole):
        raise Unavailable("minutes of the stored ledger are damaged; restore a backup")
    return HourBlocks(head.view(HOUR)[:, 0], words.view(np.float64), is_whole)


@compiled
def _encode(head: _Bytes, words: _Words, out: _Bytes) -> int:
    at = 0
    planes = np.empty((16, 60), np.uint8)
    for i in range(len(head)):
        for k in range(head.shape[1]):
            out[at] = head[i, k]
            at += 1
        seen = np.uint64(0)
        apart = np.uint64(0)
        for m in range(60):
            total = words[i, m, 1]
            rest = words[i, m, 0] ^ total
            seen |= total
            apart |= rest
            for p in range(8):
                shift = np.uint64(8 * p)
                planes[p, m] = np.uint8((total >> shift) & np.uint64(255))
                planes[8 + p, m] = np.uint8((rest >> shift) & np.uint64(255))
        mask = 0
        kept = 0
        for p in range(16):
            any_of = seen if p < 8 else apart
            if (any_of >> np.uint64(8 * (p % 8))) & np.uint64(255):
                mask |= 1 << p
                kept += 1
        size = 2 + 60 * kept
        if size >= 128:
            out[at] = (size & 127) | 128
            out[at + 1] = size >> 7
            at += 2
        else:
            out[at] = size
            at += 1
        out[at] = mask & 255
        out[at + 1] = mask >> 8
        at += 2
        for p in range(16):
            if (mask >> p) & 1:
                for m in range(60):
                    out[at] = planes[p, m]
                    at += 1
    return at


@compiled
def _index(data: _Bytes, fixed: int) -> _Ints:
    """Where each row begins; the last is -1 when the data do not end with a row."""
    starts = np.empty(len(data) // (fixed + 1) + 1, np.int64)
    rows = 0
    at = 0
    while at < len(data):
        starts[rows] = at
        rows += 1
        at += fixed
        size = 0
        shift = 0
        while at < len(data) and shift < 28:
            byte = int(data[at])
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            starts[rows - 1] = -1
            break
        at += size
        if at > len(data):
            starts[rows - 1] = -1
            break
    return starts[:rows]


@compiled
def _decode(
    data: _Bytes, starts: _Ints, head: _Bytes, words: _Words, is_whole: npt.NDArray[np.bool_]
) -> bool:
    fixed = head.shape[1]
    for i in range(len(starts)):
        at = starts[i]
        for k in range(fixed):
            head[i, k] = data[at + k]
        at += fixed
        size = int(data[at]) & 127
        if data[at] >= 128:
            at += 1
            if data[at] >= 128:
                return False
            size |= int(data[at]) << 7
        at += 1
        if size == 0:
            continue
        if size < 2:
            return False
        mask = int(data[at]) | (int(data[at + 1]) << 8)
        at += 2
        kept = 0
        for p in range(16):
            kept += (mask >> p) & 1
        if size != 2 + 60 * kept:
            return False
        is_whole[i] = True
        for p in range(16):
            if (mask >> p) & 1:
                column = 1 if p < 8 else 0
                shift = np.uint64(8 * (p % 8))
                for m in range(60):
                    words[i, m, column] |= np.uint64(data[at]) << shift
                    at += 1
        for m in range(60):
            words[i, m, 0] ^= words[i, m, 1]
    return True


def warm() -> None:
    """Compile the kernels, or load them from numba's cache."""
    head = np.zeros(1, HOUR)
    decode_rows(encode_rows(HourBlocks(head, np.zeros((1, 60, 2)), np.ones(1, np.bool_))).tobytes())
