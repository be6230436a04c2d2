"""Which samples came that were not simply the newest of their series: what a watch cannot see in the open blocks.

The head notes them, once they can be read, while somebody watches. What is in order, nearly everything, is not noted:
a series whose newest sample is later than before has some, so appending costs nothing. Not thread-safe: the head
holds its lock.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.recent.open_blocks import Samples

__all__ = ["LateWrites"]

_MOST = 65_536

Noted = tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]


class LateWrites:
    """Refs and times of such samples since they were last taken; nothing before `begin`."""

    def __init__(self) -> None:
        self._is_watched = False
        self._parts: list[Noted] = []
        self._count = 0

    def note(self, samples: Samples) -> None:
        """Note samples that were just written, or were too old."""
        if not self._is_watched or not len(samples):
            return
        self._parts.append((samples.refs, samples.times))
        self._count += len(samples)
        if self._count > _MOST:
            refs, times = self._oldest()
            self._parts, self._count = [(refs, times)], len(refs) // 2  # so that it is not done at each batch

    def take(self) -> Noted:
        """Each ref once with its oldest time: (refs int32[n] ascending, times int64[n]); forgets them."""
        taken = self._oldest()
        self._parts, self._count = [], 0
        return taken

    def begin(self) -> None:
        """Note what comes from now on."""
        self._is_watched = True

    def _oldest(self) -> Noted:
        if not self._parts:
            return np.empty(0, np.int32), np.empty(0, np.int64)
        refs = np.concatenate([part[0] for part in self._parts])
        times = np.concatenate([part[1] for part in self._parts])
        order = np.lexsort((times, refs))
        refs, times = refs[order], times[order]
        is_first = np.ones(len(refs), np.bool_)
        is_first[1:] = refs[1:] != refs[:-1]
        return refs[is_first], times[is_first]
