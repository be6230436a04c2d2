"""The only door to `telemetry`: the function that fetches samples, whether they are in memory or in the
database, the watch over series that are in memory, and the names of files that hold secrets.

What loads the kernels is imported when somebody counts: checking documents does without.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.telemetry.datasource.spec import SecretFile
from setpoint.telemetry.model import Labels, Matcher, SampleColumns, Select
from setpoint.telemetry.selector_index import Selector, SelectorIndex

if TYPE_CHECKING:
    from setpoint.telemetry.head import Head
    from setpoint.telemetry.recent.increase import Grid, Window
    from setpoint.telemetry.watch import Read, SeriesWatch

__all__ = [
    "NOTHING_MS",
    "Grid",
    "Head",
    "Labels",
    "Matcher",
    "Read",
    "SampleColumns",
    "SecretFile",
    "Select",
    "Selector",
    "SelectorIndex",
    "SeriesWatch",
    "Window",
    "can_match",
    "grid_of",
    "last_values",
    "rises",
    "watch",
]

NOTHING_MS = 2**62
"""Later than any sample: nothing is new."""


def watch(
    head: Head, selectors: Sequence[Selector], labelled: Collection[int], before: SeriesWatch | None
) -> SeriesWatch:
    """A watch over the series of `selectors`; see `SeriesWatch`."""
    from setpoint.telemetry.watch import SeriesWatch

    return SeriesWatch(head, selectors, labelled, before)


def can_match(selector: Selector) -> bool:
    """Whether every expression of a selector is one."""
    from setpoint.telemetry.match import value_test

    try:
        for matcher in selector:
            if matcher.op in ("=~", "!~"):
                value_test(matcher)
    except InvalidInput:
        return False
    return True


def rises(begin_ms: int, slot_ms: int, slots: int, previous_ms: int) -> Window:
    """What counters rise by in consecutive slots; the sample before the first may be `previous_ms` older."""
    from setpoint.telemetry.recent.increase import Window

    return Window(begin_ms, slot_ms, slots, previous_ms)


def last_values(begin_ms: int, slot_ms: int, slots: int, lookback_ms: int) -> Window:
    """The values of series at the ends of consecutive slots, at most `lookback_ms` old."""
    from setpoint.telemetry.recent.increase import Window

    return Window(begin_ms, slot_ms, slots, lookback_ms, is_last=True)


def grid_of(columns: SampleColumns, chosen: npt.NDArray[np.int64], window: Window) -> Grid:
    """What `window` asks, of the series of `columns` at the positions `chosen`, row by row."""
    from setpoint.telemetry.recent.increase import Grid, read_columns

    grid = Grid.empty(len(chosen), window.slots)
    rows = np.full(len(columns.labels), -1)
    rows[chosen] = np.arange(len(chosen))
    read_columns((columns.timestamps_ms, columns.values, columns.offsets), rows, window, grid)
    return grid
