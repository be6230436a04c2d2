"""SLO documents of every kind for tests: what `resource` would hand over, from a few words."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from setpoint.objective import Slo

__all__ = ["composite", "document", "indicator", "slo"]


def slo(name: str, **spec: Any) -> SimpleNamespace:
    """An SLO of the service "shop" over a day, by occurrences, but for what `spec` says otherwise."""
    usual = {
        "service": "shop",
        "timeWindow": [{"duration": "1d", "isRolling": True}],
        "budgetingMethod": "Occurrences",
    }
    body = {"apiVersion": "openslo/v1", "kind": "SLO", "metadata": {"name": name}, "spec": usual | spec}
    return SimpleNamespace(spec=Slo.model_validate(body))


def indicator(service: str = "a") -> dict[str, Any]:
    """Good and total requests of a service, as counters."""
    metrics = {
        role: {"metricSource": {"spec": {"query": f"sum(requests_total{{{matchers}}})"}}}
        for role, matchers in (
            ("good", f'service="{service}",code!~"5.."'),
            ("total", f'service="{service}"'),
        )
    }
    return {"spec": {"ratioMetric": {"counter": True, **metrics}}}


def document(
    name: str,
    *,
    service: str = "a",
    target: float = 0.5,
    method: str = "Occurrences",
    window: dict[str, Any] | None = None,
    entry: dict[str, Any] | None = None,
    **spec: Any,
) -> SimpleNamespace:
    """An SLO over `requests_total` of a service with one objective; `entry` and `spec` are added to its parts."""
    usual = {
        "indicator": indicator(service),
        "timeWindow": [window or {"duration": "1d", "isRolling": True}],
        "budgetingMethod": method,
        "objectives": [{"target": target} | (entry or {})],
    }
    return slo(name, **usual | spec)


def composite(
    name: str,
    *,
    weights: tuple[int, int] = (1, 1),
    all_of: bool = False,
    method: str = "Occurrences",
    entry: dict[str, Any] | None = None,
) -> SimpleNamespace:
    """Two services as one objective; the first part's target is 90 %, the second's 50 %; `entry` is added to both."""
    entries = [
        {"displayName": part, "indicator": indicator(part), "target": target}
        | ({} if all_of else {"compositeWeight": weight})
        | (entry or {})
        for part, weight, target in zip("ab", weights, (0.9, 0.5), strict=True)
    ]
    return slo(name, budgetingMethod=method, objectives=entries, composite={"allOf": all_of})
