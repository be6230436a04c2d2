"""info(): adds to each series the labels of the info series, such as target_info, that has the same instance and job.

`functions` has it computed; `info_selector` says what finds the info series. Which info series belongs to a series
may change from step to step; a row of the result is a series with the labels of one choice. The rules are those of
Prometheus's promql/info.go; among several info series of one name the one with the newest sample counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from setpoint.promql.context import Context
from setpoint.promql.errors import ExecutionError
from setpoint.promql.from_telemetry import Matcher, predicate
from setpoint.promql.info_selector import info_matchers, info_selector
from setpoint.promql.model import NAME, Labels, Matrix, Presence, compact, merge_rows
from setpoint.promql.nodes import Call
from setpoint.promql.selectors import instant, sample_times

__all__ = ["info"]

_IDENTIFYING = ("instance", "job")

Signature = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which info series belong to a signature at some steps: rows, one per name, and steps bool[s]."""

    rows: tuple[int, ...]
    steps: Presence


def info(context: Context, call: Call) -> Matrix:
    """The series of the first argument with the labels of their info series."""
    base = compact(context.mixed(call.args[0]))
    names, data = info_matchers(call)
    selector = info_selector(call)
    found = instant(context, selector)
    if found.is_histogram.any():
        raise ExecutionError("info sample should be float; the info metric is a native histogram")
    sources = compact(sample_times(context, selector))
    wanted = {matcher.name for matcher in data}
    needed = not all(predicate(Matcher(one.name, one.op, one.value))("") for one in data)
    is_source = [predicate(Matcher(one.name, one.op, one.value)) for one in names]
    by_signature: dict[Signature, list[int]] = {}
    for row, labels in enumerate(sources.labels):
        by_signature.setdefault(_signature(labels), []).append(row)
    known: dict[Signature, list[_Choice]] = {}
    rows: list[int] = []
    made: list[Labels] = []
    present: list[Presence] = []
    for row, labels in enumerate(context.budget.watch(base.labels)):
        signature = _signature(labels)
        if not signature or all(accepts(labels.get(NAME, "")) for accepts in is_source):
            choices = [_Choice((), np.ones(context.steps, np.bool_))]
            is_kept = bool(signature) or not needed
        else:
            if signature not in known:
                known[signature] = list(_choices(sources, by_signature.get(signature, [])))
            choices, is_kept = known[signature], False
        for choice in choices:
            if choice.rows or is_kept or not needed:
                rows.append(row)
                made.append(_enriched(labels, [sources.labels[one] for one in choice.rows], wanted))
                present.append(base.present[row] & choice.steps)
    context.budget.spend(len(rows) * context.steps)
    if not rows:
        return Matrix.empty(context.times_ms)
    return merge_rows(compact(replace(base.rows(rows), labels=tuple(made), present=np.array(present))))


def _signature(labels: Labels) -> Signature:
    return tuple((name, labels[name]) for name in _IDENTIFYING if labels.get(name))


def _choices(sources: Matrix, rows: Sequence[int]) -> Iterator[_Choice]:
    """Which of `rows` count at which steps: of each name the one with the newest sample."""
    by_name: dict[str, list[int]] = {}
    for row in rows:
        by_name.setdefault(sources.labels[row].get(NAME, ""), []).append(row)
    steps = len(sources.times_ms)
    chosen: npt.NDArray[np.intp] = np.full((len(by_name), steps), -1, np.intp)
    for place, candidates in enumerate(by_name.values()):
        times = np.where(sources.present[candidates], sources.values[candidates], -np.inf)
        best = times.argmax(axis=0)
        newest = times.max(axis=0)
        held = np.isfinite(newest)
        _refuse_ties(sources, candidates, times, held & ((times == newest).sum(axis=0) > 1))
        chosen[place, held] = np.array(candidates)[best[held]]
    patterns, of_step = np.unique(chosen, axis=1, return_inverse=True)
    for number in range(patterns.shape[1]):
        found = tuple(int(row) for row in patterns[:, number] if row >= 0)
        yield _Choice(found, np.asarray(of_step.ravel() == number, np.bool_))


def _refuse_ties(
    sources: Matrix, candidates: Sequence[int], times: npt.NDArray[np.float64], tied: Presence
) -> None:
    if not tied.any():
        return
    step = int(np.flatnonzero(tied)[0])
    rows = [row for row, at in zip(candidates, times[:, step], strict=True) if at == times[:, step].max()]
    shown = [f"{dict(sources.labels[row])} @ {round(times[:, step].max() * 1000)}" for row in rows[:2]]
    raise ExecutionError(f"found duplicate series for info metric: existing {shown[0]}, new {shown[1]}")


def _enriched(labels: Labels, sources: Sequence[Labels], wanted: set[str]) -> Mapping[str, str]:
    added: dict[str, str] = {}
    for source in sources:
        for name, value in source.items():
            if name == NAME or (wanted and name not in wanted):
                continue
            if added.get(name, value) != value:
                raise ExecutionError(f"conflicting label: {name}; two info series give it different values")
            if name not in labels:
                added[name] = value
    return {**labels, **added} if added else labels
