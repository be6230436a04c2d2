"""Decodes the stored histograms of a selector: thousands at a time, into as few layouts as can be.

`native_series` calls it with what was fetched. Payloads of the same buckets are read as one array, layouts that only
differ in which buckets they name become one, and whether a counter goes on from the sample before it is compared for
all samples at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from setpoint.promql.budget import Budget
from setpoint.promql.from_telemetry import PAYLOAD_HEAD, RESET_HINTS, STALE_BITS, NativeHistogram
from setpoint.promql.native import GAUGE, NOT_RESET, UNKNOWN, Cells, Histogram, Numbers
from setpoint.promql.native_layout import COUNT, FIRST_BUCKET, SUM, ZERO, Layout, mapped, union_layout

__all__ = ["decoded"]

Positions = npt.NDArray[np.int64]

_LARGEST_UNION = 512
"""Numbers of a layout that stands for all series of a selector; beyond, each series has its own."""

_COMPARED_AT_ONCE = 4096

_HEAD_FLOATS = 3
"""Where the count of a payload stands; after it sum, zero threshold and zero count, eight bytes each."""


def decoded(payloads: Sequence[bytes], firsts: Positions, budget: Budget) -> Cells:
    """The histograms of n series, `payloads[firsts[i]:firsts[i + 1]]` ascending in time; None where a series ended.

    Hints are filled in as Prometheus's store does: a counter's sample that goes on from the one before says so.
    Raises InvalidInput for a damaged payload, and as `Budget.check`.
    """
    cells = np.full(len(payloads), None, np.object_)
    groups: dict[tuple[bytes, ...], list[int]] = {}
    for place, payload in enumerate(budget.watch(payloads)):
        groups.setdefault(_shape(payload), []).append(place)
    found = [_group([payloads[place] for place in places]) for places in groups.values()]
    unions = _unions([layout for layout, _ in found])
    if any(layout.size > _LARGEST_UNION for layout in unions.values()):
        unions = {}
    for (layout, numbers), places in zip(found, groups.values(), strict=True):
        budget.check()
        target = unions.get(id(layout), layout)
        brought = mapped(layout, numbers, target)
        live = numbers[:, SUM].view(np.uint64) != STALE_BITS
        for place, one, lives in zip(places, brought, live.tolist(), strict=True):
            if lives:
                cells[place] = Histogram(target, one)
    if not unions:
        _unite_by_series(cells, firsts, budget)
    _fill_hints(cells, np.repeat(np.arange(len(firsts) - 1), np.diff(firsts)), payloads, budget)
    return cells


def _shape(payload: bytes) -> tuple[bytes, ...]:
    """What two payloads must share to have the same layout and length."""
    spans_end = PAYLOAD_HEAD.size + 8 * (
        int.from_bytes(payload[35:37], "little") + int.from_bytes(payload[39:41], "little")
    )
    bounds = int.from_bytes(payload[43:45], "little")
    last = payload[-8 * bounds :] if bounds else b""
    return payload[:1] + payload[2:3], payload[19:27], payload[35:spans_end], last, b"%d" % len(payload)


def _group(payloads: Sequence[bytes]) -> tuple[Layout, Numbers]:
    """The layout of payloads of one shape, and their numbers [k, size]."""
    first = NativeHistogram.decode(payloads[0])
    layout = Histogram.of(first).layout
    rows = np.frombuffer(b"".join(payloads), np.uint8).reshape(len(payloads), -1)
    head = np.ascontiguousarray(rows[:, _HEAD_FLOATS : _HEAD_FLOATS + 32]).view("<f8")
    spans = PAYLOAD_HEAD.size + 8 * (len(first.positive_spans) + len(first.negative_spans))
    counts = len(first.positive_counts) + len(first.negative_counts)
    numbers = np.empty((len(payloads), FIRST_BUCKET + counts))
    numbers[:, COUNT], numbers[:, SUM], numbers[:, ZERO] = head[:, 0], head[:, 1], head[:, 3]
    numbers[:, FIRST_BUCKET:] = np.ascontiguousarray(rows[:, spans : spans + 8 * counts]).view("<f8")
    return layout, numbers


def _unions(layouts: Sequence[Layout]) -> dict[int, Layout]:
    """By the identity of each layout the one that stands for its family."""
    families: dict[object, dict[int, Layout]] = {}
    for layout in layouts:
        families.setdefault(layout.family, {})[id(layout)] = layout
    unions: dict[int, Layout] = {}
    for members in families.values():
        unions.update(dict.fromkeys(members, union_layout(list(members.values()))))
    return unions


def _unite_by_series(cells: Cells, firsts: Positions, budget: Budget) -> None:
    for start, stop in zip(firsts[:-1].tolist(), firsts[1:].tolist(), strict=True):
        budget.check()
        unions: Mapping[int, Layout] = _unions(
            [cell.layout for cell in cells[start:stop] if cell is not None]
        )
        for place in range(start, stop):
            cell = cells[place]
            if cell is not None:
                target = unions[id(cell.layout)]
                cells[place] = Histogram(target, mapped(cell.layout, cell.numbers, target))


def _fill_hints(cells: Cells, series: Positions, payloads: Sequence[bytes], budget: Budget) -> None:
    """The stored hints, and `not_reset` where a counter goes on."""
    goes_on = _go_on(cells, series, budget)
    before = UNKNOWN
    for place, (cell, payload) in enumerate(zip(cells, payloads, strict=True)):
        if cell is None:
            continue
        hint = RESET_HINTS[payload[1] >> 1 & 3]
        if hint == UNKNOWN and goes_on[place] and before != GAUGE:
            hint = NOT_RESET
        cell.hint = before = hint


def _go_on(cells: Cells, series: Positions, budget: Budget) -> npt.NDArray[np.bool_]:
    """Which cells come after one of their series from which a counter may go on to them."""
    goes_on = np.zeros(len(cells), np.bool_)
    runs: dict[int, list[int]] = {}
    for place in budget.watch(range(1, len(cells))):
        cell, before = cells[place], cells[place - 1]
        if cell is None or before is None or series[place] != series[place - 1]:
            continue
        if cell.layout is before.layout:
            runs.setdefault(id(cell.layout), []).append(place)
        else:
            goes_on[place] = not cell.was_reset_since(before)
    for places in runs.values():
        for start in range(0, len(places), _COMPARED_AT_ONCE):
            part = places[start : start + _COMPARED_AT_ONCE]
            after = np.stack([cells[place].numbers for place in part])
            fell = after < np.stack([cells[place - 1].numbers for place in part])
            fell[:, SUM] = False
            goes_on[part] = ~fell.any(axis=1)
    return goes_on
