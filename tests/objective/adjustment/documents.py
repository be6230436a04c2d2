"""Adjustments for tests, as `resource` would hand them over."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from setpoint.objective.adjustment.spec import BudgetAdjustment

__all__ = ["adjustment", "iso"]


def iso(minute: int) -> str:
    """A minute since 1970 as a document writes it."""
    return datetime.fromtimestamp(minute * 60, UTC).isoformat()


def adjustment(name: str, *, select: dict[str, Any] | None = None, **spec: Any) -> SimpleNamespace:
    """An adjustment of every objective, unless `select` says which."""
    body = {
        "apiVersion": "setpoint/v1",
        "kind": "BudgetAdjustment",
        "metadata": {"name": name},
        "spec": {"reason": "database upgrade", "select": select or {"all": True}} | spec,
    }
    return SimpleNamespace(spec=BudgetAdjustment.model_validate(body))
