# ruff: noqa: PLR0917 - kernels take flat arrays, and numba has no keyword arguments to speak of
"""From scanned series and their refs to the columns of a batch: compiled, because it touches every sample.

`remote_write_receiver` calls these after `remote_write_kernels.scan` and `SeriesTable.find`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.compiled import compiled_lean

__all__ = ["GAUGE", "NEW", "OLD", "assemble", "mark_starts", "new_families", "take_starts"]

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
Refs = npt.NDArray[np.int32]
Int = Any

OLD, NEW = 0, 1
"""Rows of `report`: what was too old and too far ahead."""

GAUGE = 2
"""METRIC_TYPE_GAUGE of 2.0; such a series counts nothing from its start on."""


@compiled_lean
def assemble(
    refs: Refs,
    marks: Ints,
    families: Words,
    samples: Words,
    oldest_ms: Int,
    newest_ms: Int,
    out_refs: Refs,
    out_times: Ints,
    out_values: Words,
    out_starts: Ints,
    report: Ints,
) -> Any:
    """The samples of the series with a ref and at an instant from `oldest_ms` to `newest_ms`, as columns of as many
    rows as there are samples; how many there are. `out_starts` may have no rows. `report` int64[2, 3]: how many
    are OLD and NEW, and series and timestamp of the first of each.
    """
    count = 0
    for series in range(len(refs)):
        ref = refs[series]
        if ref < 0:
            continue
        for place in range(marks[series, 2], marks[series + 1, 2]):
            time = np.int64(samples[place, 0])
            if time < oldest_ms or time > newest_ms:
                row = OLD if time < oldest_ms else NEW
                if not report[row, 0]:
                    report[row, 1], report[row, 2] = series, time
                report[row, 0] += 1
                continue
            out_refs[count], out_times[count], out_values[count] = ref, time, samples[place, 1]
            if len(out_starts):
                counts = len(families) == 0 or families[series, 1] != np.uint64(GAUGE)
                out_starts[count] = np.int64(samples[place, 2]) if counts else 0
            count += 1
    return count


@compiled_lean
def new_families(families: Words, seen: Words, out: Ints) -> Any:
    """The series (into `out` int64[n]) that say of their metric what `seen` does not hold, once each; their number.

    `seen` uint64[power of two] remembers by the low bits and forgets what it has no room for.
    """
    count = 0
    mask = np.uint64(len(seen) - 1)
    for series in range(len(families)):
        family = families[series, 0]
        slot = np.int64(family & mask)
        if family != np.uint64(0) and seen[slot] != family:
            seen[slot] = family
            out[count] = series
            count += 1
    return count


@compiled_lean
def take_starts(
    refs: Refs, times: Ints, starts: Ints, owners: Words, known: Words, floor_ms: Int, out: Ints
) -> Any:
    """The samples (into `out` int64[m]) whose series needs a zero at its start timestamp; their number.

    `owners` uint64[m]: fingerprints of the samples' series. `known` uint64[>max(refs), 3]: whose row it is, its last
    start and its last sample.
    """
    count = 0
    for place in range(len(refs)):
        start, ref = starts[place], refs[place]
        if start < floor_ms or start <= 0 or start >= times[place]:
            continue
        if known[ref, 0] == owners[place] and (
            start <= np.int64(known[ref, 1]) or start <= np.int64(known[ref, 2])
        ):
            continue
        if place and refs[place - 1] == ref and starts[place - 1] == start:
            continue
        out[count] = place
        count += 1
    return count


@compiled_lean
def mark_starts(refs: Refs, times: Ints, starts: Ints, owners: Words, known: Words) -> None:
    """Remember in `known` the starts and times of samples that are stored."""
    for place in range(len(refs)):
        ref = refs[place]
        if known[ref, 0] != owners[place]:
            known[ref, 0], known[ref, 1], known[ref, 2] = owners[place], np.uint64(0), np.uint64(0)
        if starts[place] > np.int64(known[ref, 1]):
            known[ref, 1] = np.uint64(starts[place])
        if times[place] > np.int64(known[ref, 2]):
            known[ref, 2] = np.uint64(times[place])
