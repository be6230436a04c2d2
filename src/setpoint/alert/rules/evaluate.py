"""Evaluates the rules of a group at one instant after another: answers become series, and alerts with their own series.

The caller gives functions to query and to append, and the time, so the same code runs on a server's clock and on that
of `setpoint test`. After Prometheus's rules/group.go: rules of a group see what earlier ones recorded, a series that a
rule no longer makes is marked stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from setpoint.alert.from_promql import STALE, Duplicate, Node, Value, VectorSample, histogram_text, parse
from setpoint.alert.rules.rule import AlertingRule, RecordingRule, Rule, RuleGroup
from setpoint.alert.rules.state import Alert, AlertStates, LabelPairs, LimitExceeded
from setpoint.alert.template import Sample, Surroundings, Template, TemplateError
from setpoint.errors import InvalidInput

__all__ = ["Append", "External", "GroupStates", "Made", "Query", "RuleFault", "recorded"]

Query = Callable[[Node, int], Sequence[VectorSample]]
"""The answer to an expression at an instant (Unix milliseconds). Raises InvalidInput."""

Append = Callable[[Mapping[str, str], int, Value], None]
"""Store a sample of a series at an instant. Raises Duplicate."""

Recorded = tuple[Mapping[str, str], Value]

Made = dict[LabelPairs, Mapping[str, str]]
"""Labels of series by themselves, in the order of their names."""


@dataclass(frozen=True, slots=True)
class External:
    """What the server says of itself: for templates."""

    labels: Mapping[str, str] = field(default_factory=dict)
    url: str = ""


@dataclass(frozen=True, slots=True)
class RuleFault:
    """A rule could not be evaluated."""

    group: RuleGroup
    rule: Rule
    at_ms: int
    message: str


class GroupStates:
    """One group as it goes through time."""

    def __init__(self, group: RuleGroup, query: Query, append: Append, external: External) -> None:
        self.group = group
        self._query = query
        self._append = append
        self._external = external
        self.by_rule: Sequence[AlertStates | None] = [
            AlertStates(rule) if isinstance(rule, AlertingRule) else None for rule in group.rules
        ]
        """The alerts of each rule, None of a recording one."""
        self.made: dict[int, Made] = {}
        """By rule the series that it made at its last evaluation."""

    @property
    def alerts(self) -> Sequence[AlertStates]:
        """The alerts of each alerting rule, in order."""
        return [states for states in self.by_rule if states is not None]

    def evaluate(self, at_ms: int) -> list[RuleFault]:
        """Evaluate every rule at `at_ms`; a rule that fails leaves its series as they were."""
        faults = []
        for index, rule in enumerate(self.group.rules):
            try:
                self.step(index, at_ms)
            except InvalidInput as error:
                faults.append(RuleFault(self.group, rule, at_ms, error.message))
        return faults

    def step(self, index: int, at_ms: int, is_held: Callable[[Alert], bool] = lambda alert: False) -> int:
        """Evaluate the rule at `index`; how many series its expression answered. Raises what the query raises, and
        InvalidInput; its series are then as they were. `is_held` as of `AlertStates.advance`.
        """
        rule = self.group.rules[index]
        vector = self._query(rule.node, at_ms - self.group.query_offset_ms)
        self.take(index, rule, self.by_rule[index], at_ms, vector, is_held)
        return len(vector)

    def take(  # noqa: PLR0917 — one rule at one instant
        self,
        index: int,
        rule: Rule,
        states: AlertStates | None,
        at_ms: int,
        vector: Sequence[VectorSample],
        is_held: Callable[[Alert], bool] = lambda alert: False,
    ) -> None:
        """Make series of the answer to the rule at `index`. Raises InvalidInput."""
        sampled_ms = at_ms - self.group.query_offset_ms
        if isinstance(rule, RecordingRule):
            made = recorded(rule, vector, self.group.limit)
        else:
            assert states is not None
            active = states.advance(at_ms, vector, self._expander(at_ms), self.group.limit, is_held=is_held)
            made = [series for alert in active for series in alert_series(rule, alert)]
        self._store(index, sampled_ms, made)

    def _expander(self, at_ms: int) -> Callable[[Template, VectorSample], str]:
        def query(text: str) -> list[Sample]:
            return [Sample(found.labels, _told(found.value)) for found in self._query(parse(text), at_ms)]

        around = Surroundings(query, at_ms, self._external.url)

        def expand(template: Template, sample: VectorSample) -> str:
            try:
                return template.expand(sample.labels, _told(sample.value), around, self._external.labels)
            except TemplateError as error:
                # An alert with a broken text is better than no alert.
                return f"<error expanding template: {error.message}>"

        return expand

    def _store(self, index: int, at_ms: int, made: Sequence[Recorded]) -> None:
        before = self.made.get(index, {})
        now = {tuple(sorted(labels.items())): labels for labels, _ in made}
        self.made[index] = now
        refused = 0
        for labels, value in made:
            try:
                self._append(labels, at_ms, value)
            except Duplicate:
                refused += 1
        for key, labels in before.items():
            if key not in now:
                try:
                    self._append(labels, at_ms, STALE)
                except Duplicate:
                    continue  # another rule makes it now
        if refused:
            raise InvalidInput(
                "duplicate sample for timestamp: another rule or the input has another value for the same series"
            )


def _told(value: Value) -> float | str:
    """A value for templates: they compute with numbers, of histograms they only tell."""
    return value if isinstance(value, float) else histogram_text(value)


def recorded(rule: RecordingRule, vector: Sequence[VectorSample], limit: int = 0) -> list[Recorded]:
    """The series that a recording rule makes of an answer. Raises InvalidInput for two that are the same."""
    made: list[Recorded] = []
    for sample in vector:
        labels = {**sample.labels, "__name__": rule.name, **rule.labels}
        made.append(({name: value for name, value in labels.items() if value}, sample.value))
    if len({frozenset(labels.items()) for labels, _ in made}) != len(made):
        raise InvalidInput(
            "vector contains metrics with the same labelset after applying rule labels; "
            "aggregate the expression, or do not set the label that tells them apart"
        )
    if 0 < limit < len(made):
        raise LimitExceeded(f"exceeded limit of {limit} with {len(made)} series")
    return made


def alert_series(rule: AlertingRule, alert: Alert) -> list[Recorded]:
    """The two series that tell of an active alert: ALERTS, and ALERTS_FOR_STATE with the second it began."""
    labels = {name: template.text for name, template in rule.labels.items()} | dict(alert.labels)
    own = {name: value for name, value in labels.items() if value}
    named = {**own, "alertname": rule.name}
    return [
        ({**named, "__name__": "ALERTS", "alertstate": alert.state}, 1.0),
        ({**named, "__name__": "ALERTS_FOR_STATE"}, float(alert.active_at_ms // 1000)),
    ]
