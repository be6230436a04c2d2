"""Strings as small numbers: label names and values, each kept once, as UTF-8 in one byte arena.

`catalogue` interns what labels are made of. A Python string and its place in a dictionary take about 200
bytes, a symbol 30 and its text, and a compiled loop can read the text: comparing, sorting and matching a
million values needs no Python object. UTF-8 sorts as code points do, so bytes are compared.

The arena is only appended to and replaced by a new one: whoever took it and the places of some strings under
the table's lock may go on reading them afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.table import symbol_kernels as kernels
from setpoint.telemetry.table.arrays import empty_slots, is_tight, room

__all__ = ["Ids", "Symbols", "Texts", "encode"]

Ids = npt.NDArray[np.int32]

_WASTE_MIN = 1 << 16


@dataclass(frozen=True, slots=True)
class Texts:
    """Strings in an arena: string i is `data[starts[i]:starts[i] + lengths[i]]`."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int32]

    def decode(self) -> list[str]:
        """The strings as Python's."""
        blob, offsets = kernels.copy_texts(self.data, self.starts, self.lengths)
        whole = blob.tobytes()
        bounds = pairwise(offsets.tolist())
        if whole.isascii():
            text = whole.decode("ascii")
            return [text[start:end] for start, end in bounds]
        return [whole[start:end].decode("utf-8", "surrogatepass") for start, end in bounds]


def encode(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Strings as (bytes, offsets int64[k + 1]). Lone surrogates are let through: they match nothing."""
    joined = "".join(texts)
    blob = joined.encode("utf-8", "surrogatepass")
    offsets = np.zeros(len(texts) + 1, np.int64)
    if len(blob) == len(joined):
        lengths = map(len, texts)
    else:
        lengths = (len(text.encode("utf-8", "surrogatepass")) for text in texts)  # type: ignore[assignment]
    np.cumsum(np.fromiter(lengths, np.int64, len(texts)), out=offsets[1:])
    return np.frombuffer(blob, np.uint8).copy(), offsets


class Symbols:
    """Interned strings with counted uses; an id is given to another string when nothing uses it. `key`
    uint64[2] is secret.
    """

    def __init__(self, key: npt.NDArray[np.uint64]) -> None:
        self._key = key
        self._data = np.empty(0, np.uint8)
        self._starts = np.empty(0, np.int64)
        self.lengths: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._uses = np.empty(0, np.int32)
        self._hashes = np.empty(0, np.uint32)
        self._slots = empty_slots(0)
        self._counters = np.array([0, -1, 0, 0], np.int64)
        self._waste = 0

    def __len__(self) -> int:
        return int(self._counters[kernels.LIVE])

    @property
    def id_count(self) -> int:
        """Every id is below this."""
        return int(self._counters[kernels.IDS])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, spare room included."""
        parts = (self._data, self._starts, self.lengths, self._uses, self._hashes, self._slots)
        return sum(part.nbytes for part in parts)

    def intern(self, blob: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Ids:
        """The ids of encoded strings; new ones have no use yet and must be held before the next call."""
        count = len(offsets) - 1
        ids_used, _, bytes_used, live = self._counters.tolist()
        self._data = room(self._data, bytes_used, bytes_used + len(blob))
        self._starts = room(self._starts, ids_used, ids_used + count)
        self.lengths = room(self.lengths, ids_used, ids_used + count)
        self._uses = room(self._uses, ids_used, ids_used + count)
        self._hashes = room(self._hashes, ids_used, ids_used + count)
        self._fit(live + count)
        ids: Ids = kernels.intern_texts(
            blob, offsets, self._key, self._data, self._starts, self.lengths, self._uses, self._hashes,
            self._slots, self._counters,
        )  # fmt: skip
        return ids

    def find(self, texts: Sequence[str]) -> Ids:
        """The ids of strings, -1 for an unknown one."""
        blob, offsets = encode(texts)
        ids: Ids = kernels.find_texts(
            blob, offsets, self._key, self._data, self._starts, self.lengths, self._hashes, self._slots
        )
        return ids

    def hold(self, ids: Ids) -> None:
        """Count one more use of each of `ids`."""
        kernels.hold(self._uses, ids)

    def release(self, ids: Ids) -> None:
        """Count one use less of each of `ids`; strings without any are forgotten."""
        self._waste += kernels.release(
            ids, self._starts, self.lengths, self._uses, self._hashes, self._slots, self._counters
        )
        self._fit(len(self))

    @property
    def arena(self) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """The bytes, and by id where a text starts and how long it is."""
        return self._data, self._starts, self.lengths

    def texts(self, ids: Ids) -> Texts:
        """Where the strings of live `ids` are."""
        return Texts(self._data, self._starts[ids], self.lengths[ids])

    @property
    def is_wasteful(self) -> bool:
        """True when most of the arena or of the ids is unused, so that `compact` gives memory back."""
        ids_used, _, bytes_used, live = self._counters.tolist()
        is_sparse = ids_used > _WASTE_MIN and 2 * live < ids_used
        return is_sparse or bool(bytes_used > _WASTE_MIN and 2 * self._waste > bytes_used)

    def compact(self) -> Ids:
        """Renumber the live strings without gaps into arrays that fit; returns old id → new id (-1: none)."""
        new, old = kernels.renumber(self._counters[kernels.IDS], self._uses)
        self._data, offsets = kernels.copy_texts(self._data, self._starts[old], self.lengths[old])
        self._starts = offsets[:-1].copy()
        self.lengths, self._uses, self._hashes = self.lengths[old], self._uses[old], self._hashes[old]
        self._counters = np.array([len(old), -1, len(self._data), len(old)], np.int64)
        self._waste = 0
        self._slots = empty_slots(len(old))
        kernels.place_all(len(old), self._uses, self._hashes, self._slots)
        renumbered: Ids = new
        return renumbered

    def _fit(self, entries: int) -> None:
        if is_tight(len(self._slots), entries):
            self._slots = empty_slots(entries)
            kernels.place_all(self._counters[kernels.IDS], self._uses, self._hashes, self._slots)
