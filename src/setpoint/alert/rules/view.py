"""What of a running rule is shown: its status as a copy, its alerts, its query on one line, where its page is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import quote

from setpoint.alert.from_promql import histogram_text, prettify
from setpoint.alert.rules.declared import Declared
from setpoint.alert.rules.rule import AlertingRule, Rule, RuleGroup
from setpoint.alert.rules.state import Alert, AlertStates, LabelPairs
from setpoint.alert.rules.status import AlertView, Health, RuleStatus
from setpoint.alert.rules.store import Mark
from setpoint.errors import SetpointError

__all__ = ["RuleRun", "one_line", "page_of", "rule_status"]


@dataclass(slots=True)
class RuleRun:
    """How one rule is doing."""

    key: str
    query: str
    health: Health = "unknown"
    error: str = ""
    evaluated_ms: int | None = None
    took_s: float = 0.0
    samples: int = 0
    written: dict[LabelPairs, Mark] = field(default_factory=dict)
    """What of its alerts the store has."""


def one_line(rule: Rule) -> str:
    """The expression of a rule as Prometheus writes it, if that fits on a line; else as it was written."""
    try:
        pretty = prettify(rule.expr)
    except SetpointError:
        pretty = rule.expr
    return " ".join(rule.expr.split()) if "\n" in pretty else pretty


def page_of(group: RuleGroup, rule: Rule) -> str:
    """The path of the page of a rule."""
    return f"/rules/{quote(group.name, safe='')}/{quote(rule.name, safe='')}"


def rule_status(declared: Declared, rule: Rule, run: RuleRun, states: AlertStates | None) -> RuleStatus:
    """How a rule is now; `states` are its alerts, None for one that records."""
    alerts = tuple(_view(alert) for alert in states.active) if states is not None else ()
    alerting = rule if isinstance(rule, AlertingRule) else None
    return RuleStatus(
        kind="alerting" if alerting else "recording",
        name=rule.name,
        group=declared.group.name,
        file=declared.group.file,
        line=rule.line,
        expr=rule.expr,
        query=run.query,
        labels={name: one if isinstance(one, str) else one.text for name, one in rule.labels.items()},
        annotations={name: one.text for name, one in alerting.annotations.items()} if alerting else {},
        for_ms=alerting.for_ms if alerting else 0,
        keep_firing_for_ms=alerting.keep_firing_for_ms if alerting else 0,
        state=_worst(alerts, run) if alerting else "",
        alerts=alerts,
        health=run.health,
        last_error=run.error,
        evaluated_ms=run.evaluated_ms,
        took_s=run.took_s,
        samples=run.samples,
        data_source=declared.data_source,
    )


def _worst(
    alerts: tuple[AlertView, ...], run: RuleRun
) -> Literal["unknown", "inactive", "pending", "firing"]:
    states = {alert.state for alert in alerts}
    if states:
        return "firing" if "firing" in states else "pending"
    return "unknown" if run.health == "unknown" else "inactive"


def _view(alert: Alert) -> AlertView:
    return AlertView(
        labels=alert.labels,
        annotations=alert.annotations,
        state="firing" if alert.state == "firing" else "pending",
        active_at_ms=alert.active_at_ms,
        value=alert.value if isinstance(alert.value, float) else histogram_text(alert.value),
        fired_at_ms=alert.fired_at_ms,
        keeps_firing_since_ms=alert.keeps_firing_since_ms,
        fingerprint=alert.fingerprint,
        is_restored=alert.is_restored,
    )
