"""The life of the alerts of one rule: pending, firing, resolved; pure, brought forward by whoever has the time.

The rules are Prometheus's (rules/alerting.go): an alert is the labels of a series and of its rule; it fires when its
series was there at every evaluation for `for_ms`; it goes on firing for `keep_firing_for_ms` without it; a resolved one
is kept for 15 minutes, so that who is told of it can be told again. The server gives alerts of the time before its
start to `adopt`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from setpoint.alert.from_promql import Value, VectorSample
from setpoint.alert.model import fingerprint_of
from setpoint.alert.rules.rule import AlertingRule
from setpoint.alert.template import Template
from setpoint.errors import InvalidInput

__all__ = ["Alert", "AlertState", "AlertStates", "Expand", "LabelPairs", "LimitExceeded"]

AlertState = Literal["inactive", "pending", "firing"]

RESOLVED_KEPT_MS = 15 * 60_000

Expand = Callable[[Template, VectorSample], str]
"""The text of a template for a series."""

LabelPairs = tuple[tuple[str, str], ...]
"""The labels of an alert in the order of their names: what tells it from others of its rule."""


class LimitExceeded(InvalidInput):
    """A rule makes more series or alerts than its group allows."""


@dataclass(slots=True)
class Alert:
    """One alert; instants are Unix milliseconds, None where there was none yet."""

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    value: Value
    active_at_ms: int
    state: AlertState = "pending"
    fired_at_ms: int | None = None
    resolved_at_ms: int | None = None
    keeps_firing_since_ms: int | None = None
    is_restored: bool = False
    """True from a restart until its series was seen again, or was seen to be gone."""
    _fingerprint: str = field(default="", compare=False)

    @property
    def fingerprint(self) -> str:
        """Its identity, as `alert.model` has it; computed once."""
        if not self._fingerprint:
            self._fingerprint = fingerprint_of(self.labels)
        return self._fingerprint


class AlertStates:
    """The alerts of one rule."""

    def __init__(self, rule: AlertingRule) -> None:
        self.rule = rule
        self._alerts: dict[LabelPairs, Alert] = {}

    @property
    def all(self) -> Mapping[LabelPairs, Alert]:
        """Every alert, also those that resolved a short time ago."""
        return self._alerts

    def adopt(self, alerts: Iterable[Alert]) -> None:
        """Go on with these alerts, and no others."""
        self._alerts = {tuple(sorted(alert.labels.items())): alert for alert in alerts}

    def copies(self) -> list[Alert]:
        """The alerts as they are now, for `adopt`."""
        return [replace(alert) for alert in self._alerts.values()]

    @property
    def active(self) -> list[Alert]:
        """Those that are pending or firing."""
        return [alert for alert in self._alerts.values() if alert.resolved_at_ms is None]

    def advance(
        self,
        at_ms: int,
        vector: Sequence[VectorSample],
        expand: Expand,
        limit: int = 0,
        *,
        is_held: Callable[[Alert], bool] = lambda alert: False,
    ) -> list[Alert]:
        """Take the answer of the rule's expression at `at_ms`; gives the active alerts. Those that `is_held` says stay
        as they are, also when their series is not there.

        Raises InvalidInput when two series make the same alert, LimitExceeded when there are more than `limit` (then
        all alerts are forgotten, as Prometheus does).
        """
        seen = self._seen(at_ms, vector, expand)
        for key, alert in seen.items():
            known = self._alerts.get(key)
            if known is not None and known.state != "inactive":
                known.value, known.annotations, known.is_restored = alert.value, alert.annotations, False
            else:
                self._alerts[key] = alert
        active = [
            alert
            for key, alert in list(self._alerts.items())
            if (alert.is_restored and key not in seen and is_held(alert))
            or self._step(key, alert, at_ms, key in seen)
        ]
        if 0 < limit < len(active):
            self._alerts.clear()
            raise LimitExceeded(f"exceeded limit of {limit} with {len(active)} alerts")
        return active

    def _seen(self, at_ms: int, vector: Sequence[VectorSample], expand: Expand) -> dict[LabelPairs, Alert]:
        rule = self.rule
        seen: dict[LabelPairs, Alert] = {}
        for sample in vector:
            labels = {name: value for name, value in sample.labels.items() if name != "__name__"}
            labels |= {name: expand(template, sample) for name, template in rule.labels.items()}
            labels["alertname"] = rule.name
            labels = {name: value for name, value in labels.items() if value}
            annotations = {name: expand(template, sample) for name, template in rule.annotations.items()}
            key = tuple(sorted(labels.items()))
            if key in seen:
                raise InvalidInput(
                    "vector contains metrics with the same labelset after applying alert labels: "
                    f"{labels}; give each series a label of its own"
                )
            seen[key] = Alert(labels, annotations, sample.value, at_ms)
        return seen

    def _step(self, key: LabelPairs, alert: Alert, at_ms: int, is_there: bool) -> bool:
        """Bring one alert to `at_ms`; whether it is active then."""
        rule = self.rule
        alert.is_restored = False
        if is_there:
            alert.keeps_firing_since_ms = None
        elif not self._keeps_firing(alert, at_ms):
            resolved = alert.resolved_at_ms
            if alert.state == "pending" or (resolved is not None and at_ms - resolved > RESOLVED_KEPT_MS):
                del self._alerts[key]
            if alert.state != "inactive":
                alert.state, alert.resolved_at_ms = "inactive", at_ms
            return False
        # A clock that was set back must not make an alert wait for it.
        alert.active_at_ms = min(alert.active_at_ms, at_ms)
        held_ms = at_ms - alert.active_at_ms
        if alert.state == "pending" and held_ms >= rule.for_ms:
            alert.state, alert.fired_at_ms = "firing", at_ms
        elif alert.state == "firing" and held_ms < rule.for_ms and at_ms >= (alert.fired_at_ms or 0):
            # The rule was changed to wait longer.
            alert.state, alert.fired_at_ms, alert.keeps_firing_since_ms = "pending", None, None
        return True

    def _keeps_firing(self, alert: Alert, at_ms: int) -> bool:
        if alert.state != "firing" or self.rule.keep_firing_for_ms <= 0:
            return False
        if alert.keeps_firing_since_ms is None:
            alert.keeps_firing_since_ms = at_ms
        return at_ms - alert.keeps_firing_since_ms < self.rule.keep_firing_for_ms
