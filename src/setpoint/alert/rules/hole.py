"""Whether an alert from before a restart may look as if it had ended only because its data are not back yet.

After an outage the first successful answer can be empty since nothing was scraped or sent so far: no data is not good
data. So an alert of the time before the start, whose series is missing, goes on as it was while what its rule compares
has no value for it, for ten minutes at most; then it is as if nothing had been restored.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from setpoint.alert.from_promql import Node, VectorSelector, walk
from setpoint.alert.model import Labels
from setpoint.alert.rules.compared import bare, has_comparison
from setpoint.alert.rules.engine import Ask
from setpoint.alert.rules.restore import GRACE_MS
from setpoint.alert.rules.rule import AlertingRule
from setpoint.alert.rules.state import Alert, LabelPairs
from setpoint.clock import Clock
from setpoint.errors import SetpointError

__all__ = ["HoleGuard"]


class HoleGuard:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until_ms: int | None = None
        self._lock = threading.Lock()
        self._last: tuple[AlertingRule, int, frozenset[LabelPairs] | bool] | None = None

    def begin(self) -> None:
        """The server has started."""
        self._until_ms = self._clock.now_ms() + GRACE_MS

    def holds(self, ask: Ask, rule: AlertingRule, alert: Alert, at_ms: int) -> bool:
        """Whether a restored alert stays as it is although its series is missing."""
        if self._until_ms is None or at_ms > self._until_ms:
            return False
        with self._lock:
            last = self._last
        if last is not None and last[0] is rule and last[1] == at_ms:
            found = last[2]
        else:
            found = _there(ask, rule, at_ms)
            with self._lock:
                self._last = rule, at_ms, found
        return not found if isinstance(found, bool) else _own_labels(alert.labels, rule) not in found


def _there(ask: Ask, rule: AlertingRule, at_ms: int) -> frozenset[LabelPairs] | bool:
    """The labels of the series that have values to compare; or, where these cannot be told apart, whether there are
    data at all.
    """
    values = bare(rule.node)
    if values == rule.node:
        return True  # it compares nothing, such as absent(): that it answers nothing is all there is to know
    try:
        if not has_comparison(values):
            return frozenset(_own_labels(sample.labels, rule) for sample in ask(values, at_ms))
        return all(ask(selector, at_ms) for selector in _selectors(rule.node))
    except SetpointError:
        return False


def _own_labels(labels: Labels, rule: AlertingRule) -> LabelPairs:
    """Labels but for those that the rule sets, which say nothing of a series."""
    return tuple(
        sorted(
            (name, value)
            for name, value in labels.items()
            if value and name not in rule.labels and name not in ("__name__", "alertname")
        )
    )


def _selectors(node: Node) -> Sequence[VectorSelector]:
    return list(dict.fromkeys(part for part in walk(node) if isinstance(part, VectorSelector)))
