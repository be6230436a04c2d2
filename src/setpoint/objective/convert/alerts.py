"""The alerting rules of an objective: one for each severity, as Sloth has them, which fires where a policy holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from setpoint.objective.alerting.policy import short_duration
from setpoint.objective.convert.expressions import (
    Expressions,
    filter_of,
    label_name,
    shown_number,
    window_name,
)
from setpoint.objective.convert.sloth import PREFIX
from setpoint.objective.model import AlertPolicy, Condition, Objective

__all__ = ["alert_rules"]

_NAME = "ErrorBudgetBurn"
_WHO = "{{$labels.sloth_service}} {{$labels.sloth_slo}}"
_SIGNS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def alert_rules(
    objective: Objective,
    policies: Sequence[AlertPolicy],
    identity: Mapping[str, str],
    annotations: Mapping[str, str],
    expressions: Expressions,
    *,
    as_sloth: bool,
) -> list[dict[str, Any]]:
    """The rules of `policies`, whose conditions are of kind burnrate and remainingBudget."""
    filter_ = filter_of(identity)
    groups: dict[tuple[str, int], list[str]] = {}
    names: dict[tuple[str, int], list[str]] = {}
    for policy in policies:
        after_s = max((one.after_s for one in policy.conditions), default=0)
        ordered = sorted(policy.conditions, key=lambda one: one.lookback_s)
        parts = [_condition(one, filter_, objective.allowed_ratio) for one in ordered]
        if not as_sloth:
            parts += _guards(objective, policy, expressions)
        groups.setdefault((policy.severity, after_s), []).append("\n    and\n    ".join(parts))
        names.setdefault((policy.severity, after_s), []).append(policy.name)
    rules = []
    for (severity, after_s), holds in groups.items():
        rule: dict[str, Any] = {
            "alert": annotations.get(f"{PREFIX}/alert-name", _NAME),
            "expr": "\nor\n".join(f"(\n    {one}\n)" for one in holds),
        }
        if after_s:
            rule["for"] = short_duration(after_s)
        # the id tells the alerts of several objectives apart, which promtool wants
        own = {"sloth_id": identity["sloth_id"], "sloth_severity": severity}
        if sum(one == severity for one, _ in groups) > 1:
            own["setpoint_policy"] = ", ".join(names[severity, after_s])
        rule["labels"] = {**_added(annotations, severity, "label"), **own}
        rule["annotations"] = {
            "summary": f"{_WHO}: the error budget is spent too fast.",
            "title": f"({severity}) {_WHO} spends its error budget too fast.",
            **_added(annotations, severity, "annotation"),
        }
        rules.append(rule)
    return rules


def _condition(one: Condition, filter_: str, allowed_ratio: float) -> str:
    sign = _SIGNS[one.op]
    if one.kind == "remainingBudget":
        return f"slo:period_error_budget_remaining:ratio{filter_} {sign} {shown_number(one.threshold)}"
    ratio = f"slo:sli_error:ratio_rate{window_name(one.lookback_s)}{filter_}"
    most = f"({shown_number(one.threshold)} * {shown_number(allowed_ratio)})"
    return f"max({ratio} {sign} {most}) without (sloth_window)"


def _guards(objective: Objective, policy: AlertPolicy, expressions: Expressions) -> list[str]:
    """That enough has happened in the longest window; of the policy, else of the objective."""
    low = policy.low_traffic if policy.low_traffic != type(policy.low_traffic)() else objective.low_traffic
    long_s = max((one.lookback_s for one in policy.conditions), default=0)
    if not expressions.counts_events or not long_s:
        return []
    window, seconds = window_name(long_s), shown_number(expressions.seconds(long_s))
    wanted = ((low.min_bad, expressions.bad), (low.min_events, expressions.total))
    return [
        f"on () (({count(window)}) * {seconds} >= {shown_number(least)})" for least, count in wanted if least
    ]


def _added(annotations: Mapping[str, str], severity: str, kind: str) -> dict[str, str]:
    """What a document of Sloth added to alerts, of all severities and then of this one."""
    found: dict[str, str] = {}
    for role in ("alert", severity):
        prefix = f"{PREFIX}/{role}-{kind}."
        found |= {
            label_name(key[len(prefix) :]): value
            for key, value in annotations.items()
            if key.startswith(prefix)
        }
    return found
