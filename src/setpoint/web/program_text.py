"""Gives back the pages of large libraries that only the start has read: `web.serve` calls it once, when it is ready.

The engine and LLVM run thousands of constructors when they are loaded, which maps 150 MB of their program text and
tables; a running server touches a third of it. These pages are unchanged copies of files. Unmapped they stay in the
kernel's cache of files, count as nobody's, go first when memory is short, and come back when they are touched.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["release_program_text"]

_SMALLEST_KB = 4 << 10
_MADV_DONTNEED = 4


@dataclass(frozen=True, slots=True)
class _Mapping:
    """A part of a file in our address space: where, with which rights, and how much of it is here, changed or not."""

    begin: int
    end: int
    rights: str
    path: str
    resident_kb: int
    changed_kb: int

    @property
    def is_program(self) -> bool:
        """True for a library's text or constants that nobody can have written to: dropped pages are read again."""
        is_library = self.path.startswith("/") and ".so" in self.path.rpartition("/")[2]
        return is_library and self.rights in {"r-xp", "r--p"} and self.changed_kb == 0


def release_program_text() -> int:
    """Unmap what is resident of large libraries and unchanged; kilobytes. Does nothing where there is no Linux."""
    if sys.platform != "linux":
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    released_kb = 0
    for mapping in _mappings():
        if mapping.is_program and mapping.resident_kb >= _SMALLEST_KB:
            given_back = madvise(mapping.begin, mapping.end - mapping.begin, _MADV_DONTNEED) == 0
            released_kb += mapping.resident_kb * given_back
    return released_kb


def _mappings() -> Iterator[_Mapping]:
    place: list[str] = []
    counted: dict[str, int] = {}
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if words[0].endswith(":"):
            if words[0] in {"Rss:", "Anonymous:"}:
                counted[words[0]] = int(words[1])
            if words[0] == "VmFlags:" and len(place) > 5 and len(counted) == 2:
                begin, _, end = place[0].partition("-")
                yield _Mapping(
                    int(begin, 16), int(end, 16), place[1], place[5], counted["Rss:"], counted["Anonymous:"]
                )
        else:
            place, counted = words, {}
