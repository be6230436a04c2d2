"""Why a rule fires or does not: the values left and right of each comparison, what waits for how long, what is missing.

Asked by pages and the CLI for one rule at a time. It evaluates the parts of the expression at the instant of the last
evaluation, so that what is shown is what decided; before the first evaluation, now.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence

from setpoint.alert.from_objective import spoken_duration
from setpoint.alert.from_promql import (
    Binary,
    LabelMatcher,
    Matching,
    Node,
    VectorSample,
    VectorSelector,
    show,
    value_type,
    walk,
)
from setpoint.alert.rules.compared import Condition, conditions_of
from setpoint.alert.rules.engine import Ask
from setpoint.alert.rules.rule import Rule
from setpoint.alert.rules.status import (
    AlertView,
    ConditionWhy,
    GroupStatus,
    RuleStatus,
    RuleWhy,
    SeriesWhy,
    WaitingAlert,
)
from setpoint.errors import SetpointError

__all__ = ["explain"]

_SHOWN = 200
_NEAR_VALUES = 5

_TESTS: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}


def explain(ask: Ask, rule: Rule, group: GroupStatus, status: RuleStatus, now_ms: int) -> RuleWhy:
    """See the module. Never raises: an expression that cannot be asked says so in `error`."""
    at_ms = (status.evaluated_ms or now_ms) - group.query_offset_ms
    conditions: tuple[ConditionWhy, ...] = ()
    missing: tuple[str, ...] = ()
    error = ""
    try:
        conditions = tuple(_condition(ask, one, at_ms) for one in conditions_of(rule.node))
        missing = tuple(_missing(ask, rule.node, at_ms))
    except SetpointError as fault:
        error = fault.message
    waiting = tuple(_waiting(alert, status, now_ms) for alert in status.alerts)
    return RuleWhy(
        group=group,
        rule=status,
        at_ms=at_ms,
        summary=_summary(status, conditions, waiting, missing, error),
        conditions=conditions,
        alerts=waiting,
        missing=missing,
        error=error,
    )


# ---- values against thresholds ---------------------------------------------------------------------------


def _condition(ask: Ask, condition: Condition, at_ms: int) -> ConditionWhy:
    comparison = condition.comparison
    if comparison is None:
        found = [SeriesWhy(one.labels, _number(one), None, holds=True) for one in ask(condition.node, at_ms)]
        return _shown(condition, show(condition.node), "", "", found)
    left = ask(comparison.left, at_ms)
    right = ask(comparison.right, at_ms)
    rows = _against(comparison, left, right)
    return _shown(condition, show(comparison.left), comparison.op, show(comparison.right), rows)


def _shown(condition: Condition, left: str, op: str, right: str, rows: Sequence[SeriesWhy]) -> ConditionWhy:
    ordered = sorted(rows, key=_nearness)
    return ConditionWhy(
        text=show(condition.node),
        join=condition.join,
        left_text=left,
        op=op,
        right_text=right,
        series=tuple(ordered[:_SHOWN]),
        total=len(rows),
        holding=sum(row.holds for row in rows),
    )


def _nearness(row: SeriesWhy) -> tuple[bool, float, tuple[tuple[str, str], ...]]:
    """Those that hold first, then those that are nearest to it, then those that compare nothing."""
    distance = math.inf
    if row.left is not None and row.right is not None:
        distance = abs(row.left - row.right)
    return (
        not row.holds,
        distance if not math.isnan(distance) else math.inf,
        tuple(sorted(row.labels.items())),
    )


def _against(
    comparison: Binary, left: Sequence[VectorSample], right: Sequence[VectorSample]
) -> list[SeriesWhy]:
    """Each series with what it is compared with, matched as PromQL matches."""
    test = _TESTS[comparison.op]
    if value_type(comparison.right) == "scalar":
        limit = _number(right[0]) if right else None
        return [_row(test, one.labels, _number(one), limit) for one in left]
    matching = comparison.matching
    if matching.group == "right":
        partners = {_key(one.labels, matching): one for one in left}
        return [
            _row(test, one.labels, _value_of(partners.get(_key(one.labels, matching))), _number(one))
            for one in right
        ]
    partners = {_key(one.labels, matching): one for one in right}
    return [
        _row(test, one.labels, _number(one), _value_of(partners.get(_key(one.labels, matching))))
        for one in left
    ]


def _key(labels: Mapping[str, str], matching: Matching) -> tuple[tuple[str, str], ...]:
    if matching.on:
        return tuple((name, labels.get(name, "")) for name in sorted(matching.labels))
    left_out = {"__name__", *matching.labels}
    return tuple(sorted((name, value) for name, value in labels.items() if name not in left_out))


def _row(
    test: Callable[[float, float], bool],
    labels: Mapping[str, str],
    left: float | None,
    right: float | None,
) -> SeriesWhy:
    holds = left is not None and right is not None and test(left, right)
    return SeriesWhy(labels, left, right, holds)


def _value_of(sample: VectorSample | None) -> float | None:
    return None if sample is None else _number(sample)


def _number(sample: VectorSample) -> float | None:
    """None for a native histogram, which no comparison takes."""
    return sample.value if isinstance(sample.value, float) else None


# ---- what is missing -------------------------------------------------------------------------------------


def _missing(ask: Ask, node: Node, at_ms: int) -> list[str]:
    """The selectors that find nothing, each with what is near."""
    told = []
    for selector in dict.fromkeys(part for part in walk(node) if isinstance(part, VectorSelector)):
        if ask(selector, at_ms):
            continue
        told.append(f"{show(selector)} finds no series: {_near(ask, selector, at_ms)}")
    return told


def _near(ask: Ask, selector: VectorSelector, at_ms: int) -> str:
    named = [one for one in selector.matchers if one.name == "__name__"]
    others = [one for one in selector.matchers if one.name != "__name__"]
    metric = named[0].value if named else "the metric"
    if not named or not others:
        return f"nothing sends {metric}, or its last sample is older than 5 minutes"
    there = ask(VectorSelector(tuple(named), selector.offset_ms, selector.at), at_ms)
    if not there:
        return f"nothing sends {metric}, or its last sample is older than 5 minutes"
    for matcher in others:
        rest = tuple(one for one in selector.matchers if one is not matcher)
        if found := ask(VectorSelector(rest, selector.offset_ms, selector.at), at_ms):
            return _values_there(metric, matcher, found)
    return f"{metric} has {len(there)} series, but none that meets all conditions on labels"


def _values_there(metric: str, matcher: LabelMatcher, found: Sequence[VectorSample]) -> str:
    values = sorted({one.labels.get(matcher.name, "") for one in found} - {""})
    condition = f'{matcher.name}{matcher.op}"{matcher.value}"'
    if not values:
        return f"{metric} has no label {matcher.name}, so {condition} excludes all of it"
    shown = ", ".join(values[:_NEAR_VALUES]) + (", …" if len(values) > _NEAR_VALUES else "")
    return f"{condition} excludes all of it; there is {matcher.name} {shown}"


# ---- alerts on their way, and a sentence -----------------------------------------------------------------


def _waiting(alert: AlertView, status: RuleStatus, now_ms: int) -> WaitingAlert:
    held_ms = max(0, now_ms - alert.active_at_ms)
    fires_ms = alert.active_at_ms + status.for_ms if alert.state == "pending" else None
    kept_ms = alert.keeps_firing_since_ms
    ends_ms = None if kept_ms is None else kept_ms + status.keep_firing_for_ms
    if alert.is_restored:
        text = f"{alert.state} as before the restart; its rule has not answered since"
    elif ends_ms is not None:
        text = f"its condition no longer holds; it fires for another {_spoken(ends_ms - now_ms)} (keep_firing_for)"
    elif fires_ms is not None:
        text = f"true for {_spoken(held_ms)} of {_spoken(status.for_ms)} (for)"
    else:
        text = f"true for {_spoken(held_ms)}"
    return WaitingAlert(alert, held_ms, status.for_ms, fires_ms, ends_ms, text)


def _summary(
    status: RuleStatus,
    conditions: Sequence[ConditionWhy],
    alerts: Sequence[WaitingAlert],
    missing: Sequence[str],
    error: str,
) -> str:
    """The whole in a sentence."""
    if status.health == "err" or error:
        kept = f" What fired before ({len(alerts)}) goes on firing." if alerts else ""
        return f"Its expression cannot be answered: {status.last_error or error}.{kept}"
    if status.kind == "recording":
        return (
            f"It records {_count(status.samples, 'series')}." if status.samples else "It records nothing now."
        )
    if alerts:
        firing = sum(one.alert.state == "firing" for one in alerts)
        does = f"fires for {_count(firing, 'series')}" if firing else "does not fire yet"
        first = next((one for one in alerts if one.alert.state == "firing"), alerts[0])
        return f"It {does}: {first.text}."
    if status.health == "unknown":
        return "It has not been evaluated yet."
    return f"It cannot fire: {missing[0]}." if missing else _quiet(conditions)


def _quiet(conditions: Sequence[ConditionWhy]) -> str:
    """Why nothing fires although there are data."""
    for one in conditions:
        if one.holding or one.join in ("unless", "or"):
            continue
        if not one.total:
            return f"It does not fire: {one.left_text} answers nothing."
        nearest = one.series[0]
        if nearest.right is None or nearest.left is None:
            return f"It does not fire: no series of {one.left_text} has a partner to be compared with."
        return (
            f"It does not fire: of {_count(one.total, 'series')} none is {one.op} its threshold; the nearest is "
            f"{nearest.left:g} {one.op} {nearest.right:g}."
        )
    return "It does not fire: its conditions hold, but for no series together."


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}"


def _spoken(duration_ms: int) -> str:
    return spoken_duration(duration_ms / 1000)
