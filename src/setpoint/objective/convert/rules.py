"""Objectives as recording and alerting rules for a Prometheus, with the names and labels that Sloth gives its own, so
that dashboards made for Sloth show them.

`web.export` calls `export_rules`. Three groups for each objective: ratios over the windows, what is known about it, and
alerts. By default the expressions are right where Sloth's are not: without traffic there is no ratio (Sloth's is NaN,
and one makes its budget NaN for the whole period, its issue 531); the ratio of the period weighs minutes by their
traffic (Sloth takes the mean of ratios of five minutes, its issue 241), at the same cost: two series more are recorded.
`as_sloth` gives the expressions that Sloth has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from setpoint import __version__
from setpoint.objective.alerting.burn import rules_for
from setpoint.objective.alerting.policy import NO_DATA, policies_of
from setpoint.objective.convert.alerts import alert_rules
from setpoint.objective.convert.expressions import (
    Expressions,
    filter_of,
    label_name,
    shown_number,
    window_name,
)
from setpoint.objective.convert.sloth import PREFIX
from setpoint.objective.model import AlertPolicy, Objective

__all__ = ["Exported", "LeftOut", "export_rules"]

_NOW = "5m"
_NOW_S = 300
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An objective, or an alert of one, that rules cannot express, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Groups of rules as Prometheus reads them, by the objective's service, and what is missing."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    services: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def export_rules(
    objectives: Sequence[Objective],
    annotations: Mapping[str, Mapping[str, str]],
    *,
    as_sloth: bool = False,
) -> Exported:
    """The rules of `objectives`; `annotations` are those of their documents, by name."""
    found = Exported()
    for objective in objectives:
        reason = _reason(objective)
        if reason:
            found.left_out.append(LeftOut(objective.name, reason))
            continue
        own = annotations.get(objective.slo, {})
        one = _Rules(objective, own, as_sloth=as_sloth)
        for group in one.groups():
            found.groups.append(group)
            found.services.append(objective.service)
        found.left_out.extend(LeftOut(objective.name, told) for told in one.left_out)
    return found


def _reason(objective: Objective) -> str:
    """Why rules cannot express an objective; empty where they can."""
    if objective.kind == "composite":
        return "it is made of other objectives; export its parts"
    if objective.engine != "promql":
        return (
            f"its events are counted from {'spans' if objective.engine == 'spans' else 'SQL'}, not by PromQL"
        )
    if objective.calendar is not None:
        return "its window is of the calendar, and a range of PromQL has one length"
    if objective.method != "Occurrences":
        return f"budgetingMethod {objective.method} counts slices of time; rules count events"
    if objective.window_s <= _NOW_S:
        return f"its window is not longer than {_NOW}, over which rules look at what happens now"
    return ""


class _Rules:
    """The rules of one objective."""

    def __init__(self, objective: Objective, annotations: Mapping[str, str], *, as_sloth: bool) -> None:
        self._objective, self._annotations = objective, annotations
        self._as_sloth = as_sloth
        service = annotations.get(f"{PREFIX}/service", objective.service)
        prefix = f"{objective.service}-"
        base = annotations.get(f"{PREFIX}/slo", objective.slo.removeprefix(prefix))
        slo = base + objective.name.removeprefix(objective.slo)
        self._identity = {"sloth_id": f"{service}-{slo}", "sloth_service": service, "sloth_slo": slo}
        self._filter = filter_of(self._identity)
        self._expressions = Expressions(objective, as_sloth=as_sloth)
        self._period = window_name(objective.window_s)
        self.left_out: list[str] = []

    def groups(self) -> Iterator[dict[str, Any]]:
        """Ratios, metadata, alerts: those with rules."""
        name = self._identity["sloth_id"]
        policies = [one for one in policies_of(self._objective) if one.name != NO_DATA]
        known = [one for one in policies if self._is_known(one)]
        alerts = alert_rules(
            self._objective,
            known,
            self._identity,
            self._annotations,
            self._expressions,
            as_sloth=self._as_sloth,
        )
        yield {"name": f"sloth-slo-sli-recordings-{name}", "rules": list(self._ratios(known))}
        yield {"name": f"sloth-slo-meta-recordings-{name}", "rules": list(self._metadata())}
        if alerts:
            yield {"name": f"sloth-slo-alerts-{name}", "rules": alerts}

    def _is_known(self, policy: AlertPolicy) -> bool:
        strange = [one.kind for one in policy.conditions if one.kind not in ("burnrate", "remainingBudget")]
        if not policy.when_breaching:
            self.left_out.append(f"its policy '{policy.name}' tells of silence; rules tell of burning")
        elif strange:
            self.left_out.append(f"its policy '{policy.name}' has a condition of kind {strange[0]}")
        return policy.when_breaching and not strange

    def _labels(self, **more: str) -> dict[str, str]:
        labels = {label_name(key): ", ".join(values) for key, values in self._objective.labels.items()}
        labels |= self._objective.group
        return dict(sorted({**labels, **self._identity, **more}.items()))

    def _ratios(self, policies: Sequence[AlertPolicy]) -> Iterator[dict[str, Any]]:
        lengths = {one.lookback_s for policy in policies for one in policy.conditions if one.lookback_s}
        objective = self._objective
        for rule in rules_for(
            objective.window_s, objective.allowed_ratio
        ):  # what dashboards look for, alerts or none
            lengths |= {rule.long_s, rule.short_s} if rule.severity != "watch" else set()
        for length_s in sorted({_NOW_S, *lengths} - {objective.window_s}):
            window = window_name(length_s)
            yield self._ratio(window, self._expressions.ratio(window))
        for name, expression in self._expressions.counts(_NOW).items():
            labels = self._labels(sloth_window=_NOW)
            yield {"record": name, "expr": expression, "labels": labels}
        yield self._ratio(self._period, self._expressions.period(self._filter, self._period, _NOW))

    def _ratio(self, window: str, expression: str) -> dict[str, Any]:
        labels = self._labels(sloth_window=window)
        return {"record": f"slo:sli_error:ratio_rate{window}", "expr": expression, "labels": labels}

    def _metadata(self) -> Iterator[dict[str, Any]]:
        objective, filter_ = self._objective, self._filter
        labels = self._labels()
        budget = f"slo:error_budget:ratio{filter_}"
        joined = "/ on(sloth_id, sloth_slo, sloth_service) group_left"
        values = {
            "slo:objective:ratio": f"vector({shown_number(objective.target)})",
            "slo:error_budget:ratio": f"vector({shown_number(objective.allowed_ratio)})",
            "slo:time_period:days": f"vector({shown_number(objective.window_s / _DAY_S)})",
            "slo:current_burn_rate:ratio": f"slo:sli_error:ratio_rate{_NOW}{filter_}\n{joined}\n{budget}",
            "slo:period_burn_rate:ratio": f"slo:sli_error:ratio_rate{self._period}{filter_}\n{joined}\n{budget}",
            "slo:period_error_budget_remaining:ratio": f"1 - slo:period_burn_rate:ratio{filter_}",
        }
        for name, expression in values.items():
            yield {"record": name, "expr": expression, "labels": labels}
        yield {
            "record": "sloth_slo_info",
            "expr": "vector(1)",
            "labels": self._labels(
                sloth_mode="setpoint",
                sloth_objective=shown_number(round(objective.target * 100, 10)),
                sloth_spec="openslo/v1",
                sloth_version=__version__,
            ),
        }
