"""Runs promtool's unit tests of rules, in memory and on a clock of their own: `setpoint test` without a server.

As `promtool test rules` does it: at every evaluation interval from the start, all groups are evaluated on the samples
up to then; an alert test looks at the evaluation at or before its time, an expression at all there is in the end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

from setpoint.alert.from_promql import (
    Failure,
    MemoryStore,
    NativeHistogram,
    Node,
    Options,
    TestVerdict,
    Value,
    VectorSample,
    instant_vector,
    shown_labels,
    shown_value,
)
from setpoint.alert.rules.ahead import NotAhead, can_run_ahead, run_ahead
from setpoint.alert.rules.evaluate import External, GroupStates, RuleFault
from setpoint.alert.rules.rule import RuleGroup
from setpoint.alert.rules.state import AlertStates
from setpoint.alert.rules.unit_test_file import AlertTest, ExprTest, UnitTest, UnitTestFile
from setpoint.errors import InvalidInput
from setpoint.resource.duration import shown_duration

__all__ = ["in_order", "run_unit_test"]

_LABEL_PAIRS = tuple[tuple[str, str], ...]


def in_order(groups: Sequence[RuleGroup], order: Sequence[str]) -> list[RuleGroup]:
    """Groups as promtool orders them: those without a place in `order` come with its first."""
    places = {name: place for place, name in enumerate(order)}
    return sorted(groups, key=lambda group: places.get(group.name, 0))


def run_unit_test(
    file: UnitTestFile, test: UnitTest, groups: Sequence[RuleGroup], *, ahead: bool = True
) -> TestVerdict:
    """The verdict of one test; `groups` are those of the file, in the order of their evaluation.

    Without `ahead` every instant is evaluated for itself; the verdict is the same, and comes later.
    """
    if ahead:
        try:
            return _Run(file, test, groups).verdict(ahead=True)
        except (NotAhead, InvalidInput):
            # A rule fails or must go by instants: what is wrong when is found out there.
            pass
    return _Run(file, test, groups).verdict(ahead=False)


class _Run:
    def __init__(self, file: UnitTestFile, test: UnitTest, groups: Sequence[RuleGroup]) -> None:
        self._file = file
        self._test = test
        self._store = MemoryStore()
        self._options = replace(Options(), subquery_step_ms=file.interval_ms)
        for series in test.input:
            self._store.load(
                series.labels,
                (
                    (test.start_ms + index * test.interval_ms, value)
                    for index, value in enumerate(series.values)
                    if value is not None
                ),
            )
        external = External(test.external_labels, test.external_url)
        self._groups = [GroupStates(group, self._query, self._store.append, external) for group in groups]
        self._failures: list[Failure] = []
        self._firing: dict[tuple[str, int], list[tuple[str, ...]]] = {}
        self._reached: set[int] = set()

    def _query(self, node: Node, at_ms: int) -> Sequence[VectorSample]:
        return instant_vector(node, at_ms, self._store, self._options)

    def verdict(self, ahead: bool) -> TestVerdict:
        """Go through time, then look at the alerts and ask the expressions."""
        test = self._test
        # The evaluation at or before the time of a test is what it looks at.
        ticks = {self._tick(alert) for alert in test.alerts}
        instants = range(test.start_ms, test.start_ms + test.last_ms + 1, self._file.interval_ms)
        if ahead:
            if not can_run_ahead(self._groups):
                raise NotAhead
            run_ahead(self._groups, self._store, self._options, instants, noted_ms=ticks, note=self._note)
            is_whole = True
        else:
            is_whole = self._goes_through(instants, ticks)
        self._store.until_ms = instants[-1]
        for alert in test.alerts:
            if is_whole or self._tick(alert) in self._reached:
                self._check_alerts(alert)
        for expression in test.expressions if is_whole else ():
            self._check_expression(expression)
        checks = len(test.alerts) + len(test.expressions)
        return TestVerdict(test.name, test.line, checks, tuple(self._failures))

    def _tick(self, alert: AlertTest) -> int:
        return self._test.start_ms + alert.at_ms // self._file.interval_ms * self._file.interval_ms

    def _goes_through(self, instants_ms: range, ticks: Collection[int]) -> bool:
        """Evaluate the groups at every instant; False if a rule failed, which ends it."""
        for at_ms in instants_ms:
            self._store.until_ms = at_ms
            faults = [fault for group in self._groups for fault in group.evaluate(at_ms)]
            if faults:
                self._failures += [self._broken(fault) for fault in faults]
                return False
            if at_ms in ticks:
                self._reached.add(at_ms)
                for group in self._groups:
                    for states in group.alerts:
                        self._note(states, at_ms)
        return True

    def _note(self, states: AlertStates, at_ms: int) -> None:
        """Remember what fires at an instant that a test looks at."""
        firing = [
            _alert_lines(alert.labels, alert.annotations)
            for alert in states.active
            if alert.state == "firing"
        ]
        self._firing.setdefault((states.rule.name, at_ms), []).extend(firing)

    def _broken(self, fault: RuleFault) -> Failure:
        at = shown_duration(fault.at_ms - self._test.start_ms)
        title = f"rule {fault.rule.name} at {at}"
        return Failure(fault.rule.line, title, fault.message, file=fault.group.file)

    def _check_alerts(self, wanted: AlertTest) -> None:
        found = self._firing.get((wanted.name, self._tick(wanted)), [])
        expected = [_alert_lines(alert.labels, alert.annotations) for alert in wanted.expected]
        if sorted(found) != sorted(expected):
            title = f"alert {wanted.name} at {shown_duration(wanted.at_ms)}"
            self._failures.append(Failure(wanted.line, title, expected=_joined(expected), got=_joined(found)))

    def _check_expression(self, wanted: ExprTest) -> None:
        title = f"expr {' '.join(wanted.expr.split())} at {shown_duration(wanted.at_ms)}"
        try:
            answer = self._query(wanted.node, self._test.start_ms + wanted.at_ms)
        except InvalidInput as error:
            self._failures.append(Failure(wanted.line, title, error.message))
            return
        found = sorted((_pairs(sample.labels), sample.value) for sample in answer)
        expected = sorted(
            ((_pairs(labels), value) for labels, value in wanted.expected), key=lambda row: row[0]
        )
        same = len(found) == len(expected) and all(
            mine[0] == theirs[0] and self._same(mine[1], theirs[1])
            for mine, theirs in zip(found, expected, strict=True)
        )
        if not same:
            self._failures.append(Failure(wanted.line, title, expected=_rows(expected), got=_rows(found)))

    def _same(self, got: Value, expected: Value) -> bool:
        """Equal to the bit, or to the last but one in a fuzzy file. NaN equals NaN, which promtool denies."""
        if isinstance(got, NativeHistogram) or isinstance(expected, NativeHistogram):
            return shown_value(got) == shown_value(expected)
        if got == expected or (math.isnan(got) and math.isnan(expected)):
            return True
        return self._file.is_fuzzy and expected in (
            math.nextafter(got, -math.inf),
            math.nextafter(got, math.inf),
        )


def _pairs(labels: object) -> _LABEL_PAIRS:
    return tuple(sorted(labels.items()))  # type: ignore[attr-defined]


def _alert_lines(labels: object, annotations: object) -> tuple[str, ...]:
    """An alert as lines: its labels, then each annotation."""
    named = dict(_pairs(labels))
    del named["alertname"]
    return (
        shown_labels(named),
        *(f"  {name}: {_in_quotes(value)}" for name, value in _pairs(annotations)),
    )


def _in_quotes(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _joined(alerts: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(line for alert in sorted(alerts) for line in alert) or ("no alert fires",)


def _rows(samples: Sequence[tuple[_LABEL_PAIRS, Value]]) -> tuple[str, ...]:
    return tuple(f"{shown_labels(dict(pairs))} {shown_value(value)}" for pairs, value in samples) or (
        "nothing",
    )
