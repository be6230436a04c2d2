"""Evaluates rules one after another over all of a test's time, instead of all rules at one instant after another.

A rule that reads only what comes in and what rules before it record gives the same answers in one range query as in
thousands of instant ones, in a hundredth of the time: that is how `setpoint test` plays a month of burn-rate rules.
Where the rules do not allow it, or one of them fails, `NotAhead` is raised, and `unit_test` goes instant by instant.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import numpy as np

from setpoint.alert.from_promql import (
    STALE,
    Matrix,
    MemoryStore,
    Options,
    VectorSample,
    metrics_read,
    range_matrix,
    reads_only_back,
)
from setpoint.alert.rules.evaluate import GroupStates
from setpoint.alert.rules.rule import RecordingRule, Rule
from setpoint.alert.rules.state import AlertStates
from setpoint.alert.template import Template

__all__ = ["NotAhead", "Note", "can_run_ahead", "run_ahead"]

Note = Callable[[AlertStates, int], None]
"""Called with the alerts of a rule and the instant at which they are as they are now."""

Part = tuple[range, Matrix]
"""Instants, and a matrix with a step for each."""

_STEPS_AT_ONCE = 4_000
_ALERT_SERIES = ("ALERTS", "ALERTS_FOR_STATE")


class NotAhead(Exception):
    """These rules have to be evaluated instant by instant."""


def can_run_ahead(groups: Sequence[GroupStates]) -> bool:
    """Whether each rule reads only input, and what rules before it make."""
    rules = [rule for group in groups for rule in group.group.rules]
    # Per metric the last rule that makes it.
    made: dict[str, int] = {}
    for place, rule in enumerate(rules):
        for name in (rule.name,) if isinstance(rule, RecordingRule) else _ALERT_SERIES:
            made[name] = place
    last_recording = max(
        (place for place, rule in enumerate(rules) if isinstance(rule, RecordingRule)), default=-1
    )
    for place, rule in enumerate(rules):
        read = metrics_read(rule.node)
        if (
            read is None
            or not reads_only_back(rule.node)
            or any(made.get(name, -1) >= place for name in read)
        ):
            return False
        asking = _asking(rule)
        # What a template asks for might be recorded, or alerted, later in the same evaluation.
        if asking and (last_recording > place or any("ALERTS" in template.text for template in asking)):
            return False
    return True


def _asking(rule: Rule) -> list[Template]:
    """The templates of a rule that run queries."""
    if isinstance(rule, RecordingRule):
        return []
    return [template for template in (*rule.labels.values(), *rule.annotations.values()) if template.asks]


def run_ahead(
    groups: Sequence[GroupStates],
    store: MemoryStore,
    options: Options,
    instants_ms: range,
    *,
    noted_ms: Collection[int],
    note: Note,
) -> None:
    """Evaluate all rules at `instants_ms`; `note` is called for each alerting rule at `noted_ms`.

    Raises NotAhead, or the InvalidInput of a rule that fails; the store is then not to be used any more.
    """
    for group in groups:
        alerts = iter(group.alerts)
        for index, rule in enumerate(group.group.rules):
            parts = _answers(rule, group, store, options, instants_ms)
            if isinstance(rule, RecordingRule):
                _record(rule, group, store, list(parts))
            else:
                states = next(alerts)
                for at_ms, vector in _instants(parts):
                    if vector or states.active:
                        store.until_ms = at_ms
                        group.take(index, rule, states, at_ms, vector)
                    if at_ms in noted_ms:
                        note(states, at_ms)


def _answers(
    rule: Rule, group: GroupStates, store: MemoryStore, options: Options, instants_ms: range
) -> Iterator[Part]:
    """The answers of a rule, some thousand instants at a time."""
    offset_ms = group.group.query_offset_ms
    for first in range(0, len(instants_ms), _STEPS_AT_ONCE):
        instants = instants_ms[first : first + _STEPS_AT_ONCE]
        store.until_ms = instants[-1]
        shifted = range(instants.start - offset_ms, instants.stop - offset_ms, instants.step)
        matrix = range_matrix(rule.node, shifted, store, options)
        if matrix.histograms is not None:
            raise NotAhead
        yield instants, matrix


def _instants(parts: Iterable[Part]) -> Iterator[tuple[int, list[VectorSample]]]:
    """Each instant with its samples."""
    for instants, matrix in parts:
        occupied = matrix.occupied
        for step, at_ms in enumerate(instants):
            rows = np.flatnonzero(matrix.present[:, step]) if occupied[step] else ()
            yield at_ms, [VectorSample(matrix.labels[row], float(matrix.values[row, step])) for row in rows]


def _record(rule: RecordingRule, group: GroupStates, store: MemoryStore, parts: Sequence[Part]) -> None:
    """Store what a recording rule makes, with a stale marker where a series ends."""
    limit = group.group.limit
    found: dict[frozenset[tuple[str, str]], dict[int, int]] = {}
    for number, (_, matrix) in enumerate(parts):
        if limit and (matrix.present.sum(axis=0) > limit).any():
            raise NotAhead
        for row, labels in enumerate(matrix.labels):
            named = {**labels, "__name__": rule.name, **rule.labels}
            key = frozenset((name, value) for name, value in named.items() if value)
            if number in found.setdefault(key, {}):
                raise NotAhead  # two series become one: at one instant that is an error
            found[key][number] = row
    times = [np.arange(part.start, part.stop, part.step, dtype=np.int64) for part, _ in parts]
    sampled_ms = np.concatenate(times) - group.group.query_offset_ms
    for key, rows in found.items():
        if store.has(dict(key)):
            raise NotAhead
        values = np.zeros(len(sampled_ms))
        present = np.zeros(len(sampled_ms), np.bool_)
        for number, row in rows.items():
            matrix = parts[number][1]
            first = number * _STEPS_AT_ONCE
            values[first : first + len(matrix.times_ms)] = matrix.values[row]
            present[first : first + len(matrix.times_ms)] = matrix.present[row]
        ends = np.zeros(len(present), np.bool_)
        ends[1:] = present[:-1] & ~present[1:]
        values[ends] = STALE
        kept = present | ends
        store.extend(dict(key), sampled_ms[kept], values[kept])
