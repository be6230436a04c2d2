"""The functions over windows that hold native histograms: rate and its kin, sums, averages, resets and counts.

`ranges` answers for the floats and hands its answer on to `with_histograms`, which computes the rows that have
histograms. Where the samples of a series share a layout, all windows of the series are computed at once; else window
by window. Rules after Prometheus 3 (promql/functions.go): a window with both kinds has no rate, sum or average.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.promql import native_notes
from setpoint.promql.context import Context
from setpoint.promql.model import Labels, Matrix, Presence
from setpoint.promql.native import GAUGE, Cells, Histogram, IncompatibleBuckets, add, subtract
from setpoint.promql.native_layout import COUNT
from setpoint.promql.native_series import NativeSamples, histogram_cells, objects
from setpoint.promql.native_sums import SumNote, totals
from setpoint.promql.nodes import Call, Node
from setpoint.promql.selectors import Windows

__all__ = ["RANGE_FUNCTIONS_WITH_HISTOGRAMS", "with_histograms"]

Positions = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Series:
    """One series with histograms. Per step its window holds `[first, stop)` of the histograms (`times`, `values`) and
    `[first_float, stop_float)` of the floats.
    """

    context: Context
    call: Call
    node: Node
    labels: Labels
    ends: Positions
    range_ms: int
    times: Positions
    values: Cells
    first: Positions
    stop: Positions
    float_times: Positions
    floats: Numbers
    first_float: Positions
    stop_float: Positions

    @property
    def count(self) -> Positions:
        """Histograms per window."""
        return self.stop - self.first

    @property
    def float_count(self) -> Positions:
        """Floats per window."""
        return self.stop_float - self.first_float

    @property
    def mixed(self) -> Presence:
        """Which windows hold both kinds."""
        return (self.count > 0) & (self.float_count > 0)


@dataclass(slots=True)
class _Row:
    """What becomes of a row of the result; functions write into it."""

    values: Numbers
    present: Presence
    cells: Cells

    def fill(self, steps: npt.NDArray[np.intp], histograms: list[Histogram | None]) -> None:
        """Put histograms (None: no value) at `steps`."""
        self.cells[steps] = objects(histograms)
        self.present[steps] = [histogram is not None for histogram in histograms]


def with_histograms(context: Context, call: Call, found: Windows, matrix: Matrix) -> Matrix:
    """The answer for floats, completed by the series of `found` that hold histograms."""
    samples = found.histograms
    if samples is None:
        return matrix
    compute = RANGE_FUNCTIONS_WITH_HISTOGRAMS.get(call.name, _floats_only)
    node = call.args[1] if call.name == "quantile_over_time" else call.args[0]
    values, present = matrix.values.copy(), matrix.present.copy()
    cells = histogram_cells(values.shape)
    for i in context.budget.watch(samples.rows()):
        context.budget.check()
        series = _series(context, call, node, found, samples, i)
        row = _Row(values[i], present[i], cells[i])
        compute(series, row)
    if not cells.astype(np.bool_).any():
        return replace(matrix, values=values, present=present)
    context.budget.spend(cells.size)
    return replace(matrix, values=values, present=present, histograms=cells)


def _series(  # noqa: PLR0917 — where it comes from
    context: Context, call: Call, node: Node, found: Windows, samples: NativeSamples, row: int
) -> _Series:
    times, values = samples.of(row)
    within = slice(found.offsets[row], found.offsets[row + 1])
    float_times = found.timestamps_ms[within]
    starts = found.ends - found.range_ms
    return _Series(
        context,
        call,
        node,
        found.labels[row],
        found.ends,
        found.range_ms,
        times,
        values,
        np.searchsorted(times, starts, side="right"),
        np.searchsorted(times, found.ends, side="right"),
        float_times,
        found.values[within],
        np.searchsorted(float_times, starts, side="right"),
        np.searchsorted(float_times, found.ends, side="right"),
    )


def _floats_only(series: _Series, row: _Row) -> None:
    del row
    if series.mixed.any():
        native_notes.ignored_in_range(series.context, series.node, series.labels)


def _without_mixed(series: _Series, row: _Row) -> None:
    mixed = series.mixed
    if mixed.any():
        native_notes.mixed_range(series.context, series.node, series.labels)
        row.present[mixed] = False


# ---- rate, increase, delta -------------------------------------------------------------------------------


def _extrapolated(series: _Series, row: _Row) -> None:
    _without_mixed(series, row)
    steps = np.flatnonzero((series.count >= 2) & (series.float_count == 0))
    if not len(steps):
        return
    counter = series.call.name != "delta"
    first, last = series.first[steps], series.stop[steps] - 1
    used = range(int(first.min()), int(last.max()) + 1)
    if len({id(series.values[k].layout) for k in used}) == 1:
        rises: list[Histogram | None] = _rises_together(series, first, last, counter)
    else:
        rises = _rises_alone(series, first, last, counter)
    _note_kind(series, first, last, counter)
    factors = _factors(series, steps, rises, counter)
    row.fill(
        steps,
        [
            None if rise is None else Histogram(rise.layout, rise.numbers * factor, GAUGE)
            for rise, factor in zip(rises, factors.tolist(), strict=True)
        ],
    )


def _note_kind(series: _Series, first: Positions, last: Positions, counter: bool) -> None:
    gauges = np.array([value.hint == GAUGE for value in series.values], np.int64)
    if counter:
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(gauges)])
        if (before[last + 1] > before[first]).any():
            native_notes.not_a_counter(series.context, series.node, series.labels)
    elif not (gauges[first] & gauges[last]).all():
        native_notes.not_a_gauge(series.context, series.node, series.labels)


def _resets(values: Cells) -> Presence:
    """Which samples come after a reset."""
    found = np.zeros(len(values), np.bool_)
    for k in range(1, len(values)):
        found[k] = values[k].was_reset_since(values[k - 1])
    return found


def _rises_together(
    series: _Series, first: Positions, last: Positions, counter: bool
) -> list[Histogram | None]:
    """What windows of samples of one layout rose by."""
    lowest = int(first.min())
    numbers = np.stack([value.numbers for value in series.values[lowest : int(last.max()) + 1]])
    low, high = first - lowest, last - lowest
    base = numbers[low]
    resets = (
        np.flatnonzero(_resets(series.values[lowest : int(last.max()) + 1])) if counter else np.empty(0, int)
    )
    if len(resets):  # what came before a reset right after the first sample does not matter
        base[np.isin(low + 1, resets)] = 0.0
    rise = numbers[high] - base
    for k in resets.tolist():
        rise[(low + 1 < k) & (k <= high)] += numbers[k - 1]
    layout = series.values[lowest].layout
    return [Histogram(layout, one) for one in rise]


def _rises_alone(series: _Series, first: Positions, last: Positions, counter: bool) -> list[Histogram | None]:
    known: dict[tuple[int, int], Histogram | None] = {}
    rises = []
    for window in zip(first.tolist(), last.tolist(), strict=True):
        if window not in known:
            series.context.budget.check()
            known[window] = _rise(series, *window, counter)
        rises.append(known[window])
    return rises


def _rise(series: _Series, first: int, last: int, counter: bool) -> Histogram | None:
    """What one window rose by; None where exponential and custom buckets meet."""
    values = series.values
    reconciled = False
    try:
        resets = [
            k for k in range(first + 1, last + 1) if counter and values[k].was_reset_since(values[k - 1])
        ]
        is_custom = values[first + 1 if first + 1 in resets else first].is_custom
        between = values[first + 1 : last + 1] if counter else values[last : last + 1]
        if any(value.is_custom != is_custom for value in between):
            raise IncompatibleBuckets
        rise: Histogram = values[last]
        if first + 1 not in resets:
            rise, _, reconciled = subtract(rise, values[first])
        for k in resets:
            if k > first + 1:
                rise, _, more = add(rise, values[k - 1])
                reconciled |= more
    except IncompatibleBuckets:
        native_notes.mixed_schemas(series.context, series.node, series.labels)
        return None
    if reconciled:
        native_notes.reconciled(series.context, series.node, "subtraction")
    return rise


def _factors(
    series: _Series, steps: npt.NDArray[np.intp], rises: list[Histogram | None], counter: bool
) -> Numbers:
    """From what the samples rose by to what the windows rose by, or by second (Prometheus's extrapolatedRate)."""
    first, last = series.first[steps], series.stop[steps] - 1
    ends = series.ends[steps]
    to_start = (series.times[first] - (ends - series.range_ms)) / 1000
    to_end = (ends - series.times[last]) / 1000
    sampled = (series.times[last] - series.times[first]) / 1000
    average = sampled / (last - first)
    threshold = average * 1.1
    to_start = np.where(to_start >= threshold, average / 2, to_start)
    if counter:
        rose = np.array([0.0 if rise is None else rise.numbers[COUNT] for rise in rises])
        began = np.array([value.numbers[COUNT] for value in series.values[first]])
        to_zero = np.where((rose > 0) & (began >= 0), sampled * (began / rose), to_start)
        to_start = np.minimum(to_start, to_zero)
    to_end = np.where(to_end >= threshold, average / 2, to_end)
    factors = (sampled + to_start + to_end) / sampled
    return factors / (series.range_ms / 1000) if series.call.name == "rate" else factors


# ---- irate, idelta ---------------------------------------------------------------------------------------


def _merged(series: _Series) -> tuple[Positions, Cells, Numbers]:
    """All samples of a series in the order of time: timestamps, histograms (None for floats), floats."""
    times = np.concatenate([series.times, series.float_times])
    order = np.argsort(times, kind="stable")
    cells = np.concatenate([series.values, histogram_cells(series.float_times.shape)])
    floats = np.concatenate([np.zeros(len(series.times)), series.floats])
    return times[order], cells[order], floats[order]


def _last_two(series: _Series, row: _Row) -> None:
    times, cells, _ = _merged(series)
    per_second = series.call.name == "irate"
    stop = series.stop + series.stop_float
    enough = (series.count + series.float_count >= 2) & (series.count > 0)
    row.present[(series.count > 0) & (series.float_count < 2)] = False
    known: dict[int, Histogram | None] = {}
    for step in np.flatnonzero(enough).tolist():
        last = int(stop[step]) - 1
        before, after = cells[last - 1], cells[last]
        if before is None and after is None:
            continue  # two floats: the kernel has answered
        if last not in known:
            known[last] = _between(series, before, after, (times[last] - times[last - 1]) / 1000, per_second)
        row.fill(np.array([step]), [known[last]])


def _between(
    series: _Series, before: Histogram | None, after: Histogram | None, seconds: float, per_second: bool
) -> Histogram | None:
    if before is None or after is None:
        native_notes.mixed_range(series.context, series.node, series.labels)
        return None
    if per_second and GAUGE in (before.hint, after.hint):
        native_notes.not_a_counter(series.context, series.node, series.labels)
    if not per_second and not before.hint == after.hint == GAUGE:
        native_notes.not_a_gauge(series.context, series.node, series.labels)
    rise = after
    if not per_second or not after.was_reset_since(before):
        try:
            rise, _, reconciled = subtract(after, before)
        except IncompatibleBuckets:
            native_notes.mixed_schemas(series.context, series.node, series.labels)
            return None
        if reconciled:
            native_notes.reconciled(series.context, series.node, "subtraction")
    return (rise.divided(seconds) if per_second else rise).hinted(GAUGE)


# ---- sums, counts, first and last ------------------------------------------------------------------------


def _total(series: _Series, row: _Row) -> None:
    _without_mixed(series, row)
    steps = np.flatnonzero((series.count > 0) & (series.float_count == 0))
    if not len(steps):
        return
    counts = series.count[steps]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    series.context.budget.spend(int(offsets[-1]))
    rows = np.arange(offsets[-1]) - np.repeat(offsets[:-1] - series.first[steps], counts)

    def note(what: SumNote, place: int) -> None:
        del place
        if what == "mixed":
            native_notes.mixed_schemas(series.context, series.node, series.labels)
        elif what == "collision":
            native_notes.collision(series.context, series.node, "aggregation")
        else:
            native_notes.reconciled(series.context, series.node, "aggregation")

    average = series.call.name == "avg_over_time"
    row.fill(steps, totals(list(series.values), rows, offsets, average, note, series.context.budget.check))


def _count(series: _Series, row: _Row) -> None:
    found = series.count + series.float_count
    row.present[:] = found > 0
    row.values[:] = found


def _present(series: _Series, row: _Row) -> None:
    row.present[:] = series.count + series.float_count > 0
    row.values[:] = 1.0


def _edge(series: _Series, row: _Row) -> None:
    """last_over_time, first_over_time, and the same with ts_of_."""
    last = "last" in series.call.name
    place = series.stop - 1 if last else series.first
    float_place = series.stop_float - 1 if last else series.first_float
    own, other = series.count > 0, series.float_count > 0
    times = series.times[np.clip(place, 0, len(series.times) - 1)]
    if len(series.float_times):
        float_times = series.float_times[np.clip(float_place, 0, len(series.float_times) - 1)]
        nearer = times >= float_times if last else times <= float_times
        own &= ~other | nearer
    steps = np.flatnonzero(own)
    if series.call.name.startswith("ts_of"):
        row.values[steps] = times[steps] / 1000
        row.present[steps] = True
    else:
        row.fill(steps, list(series.values[place[steps]]))


def _transitions(series: _Series, row: _Row) -> None:
    """changes and resets: what happens between a sample and the next, added up."""
    _, cells, floats = _merged(series)
    resets = series.call.name == "resets"
    happened = np.zeros(len(cells) + 1, np.int64)
    for k in range(1, len(cells)):
        before, after = cells[k - 1], cells[k]
        if before is None and after is None:
            changed = floats[k] < floats[k - 1] if resets else _differ(floats[k], floats[k - 1])
        elif before is None or after is None:
            changed = True
        else:
            changed = after.was_reset_since(before) if resets else not after.equals(before)
        happened[k] = changed
    so_far = np.cumsum(happened)
    first, stop = series.first + series.first_float, series.stop + series.stop_float
    row.present[:] = stop > first
    row.values[:] = np.where(stop > first, so_far[np.maximum(stop - 1, 0)] - so_far[first], 0)


def _differ(one: float, other: float) -> bool:
    return one != other and not (np.isnan(one) and np.isnan(other))


RANGE_FUNCTIONS_WITH_HISTOGRAMS: dict[str, Callable[[_Series, _Row], None]] = {
    **dict.fromkeys(("rate", "increase", "delta"), _extrapolated),
    **dict.fromkeys(("irate", "idelta"), _last_two),
    **dict.fromkeys(("sum_over_time", "avg_over_time"), _total),
    **dict.fromkeys(
        ("last_over_time", "first_over_time", "ts_of_last_over_time", "ts_of_first_over_time"), _edge
    ),
    **dict.fromkeys(("changes", "resets"), _transitions),
    "count_over_time": _count,
    "present_over_time": _present,
    "absent_over_time": _present,
}
