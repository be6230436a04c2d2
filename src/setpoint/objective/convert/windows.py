"""Alert windows of other tools as policies: several SLOs share one, under a name that says what it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from setpoint.errors import InvalidInput
from setpoint.objective.alerting.burn import burn_factor
from setpoint.objective.alerting.policy import short_duration
from setpoint.objective.convert.carried import Notes
from setpoint.objective.convert.writing import policy
from setpoint.objective.spec.names import slug
from setpoint.resource.duration import duration_ms
from setpoint.resource.fields import Fields

__all__ = ["Row", "Windows", "policy_of", "read_windows"]

_SPEEDS = ("quick", "slow")
_SEVERITIES = ("page", "ticket")
_LONGEST_S = 366 * 86_400


@dataclass(frozen=True, slots=True)
class Row:
    """The burn over two windows must exceed `factor` for `after_s`."""

    severity: str
    long_s: int
    short_s: int
    factor: float
    after_s: int = 0
    min_bad: float = 0.0


@dataclass(frozen=True, slots=True)
class Windows:
    """The rows for objectives of a period, as a document of kind AlertWindows has them."""

    period_s: int
    rows: tuple[Row, ...]
    file: str
    line: int


def policy_of(row: Row, tool: str, period: str) -> dict[str, Any]:
    """The AlertPolicy of a row; equal rows give equal documents."""
    windows = [short_duration(row.long_s), short_duration(row.short_s)]
    severity = slug(row.severity)[:20].strip("-")
    if severity != row.severity:  # a name must not stand for two severities
        digest = hashlib.blake2b(row.severity.encode(), digest_size=2).hexdigest()
        severity = f"{severity}-{digest}".strip("-")
    return policy(
        f"{tool}-{period}-{severity}-{windows[0]}",
        row.severity,
        windows,
        row.factor,
        after=short_duration(row.after_s) if row.after_s else "",
        min_bad=row.min_bad,
        description=f"{tool.title()}'s windows for {period}: {row.factor:.4g}× over {windows[0]} and {windows[1]}.",
    )


def read_windows(fields: Fields, notes: Notes) -> Windows | None:
    """A document of kind AlertWindows of Sloth; None, and problems, where it is none."""
    notes.only(fields, ("apiVersion", "kind", "metadata", "spec"))
    spec = fields.below("spec")
    if spec is None:
        fields.report("is missing; write sloPeriod, page and ticket below it", "spec")
        return None
    notes.only(spec, ("sloPeriod", *_SEVERITIES))
    before = len(fields.problems)
    period_s = _seconds(spec, "sloPeriod")
    rows = []
    for severity in _SEVERITIES:
        block = spec.below(severity)
        if block is None:
            spec.report("is missing; write quick and slow below it", severity)
            continue
        notes.only(block, _SPEEDS)
        for speed in _SPEEDS:
            inner = block.below(speed)
            if inner is None:
                block.report(
                    "is missing; write errorBudgetPercent, shortWindow and longWindow below it", speed
                )
                continue
            notes.only(inner, ("errorBudgetPercent", "shortWindow", "longWindow"))
            long_s, short_s = _seconds(inner, "longWindow"), _seconds(inner, "shortWindow")
            budget = inner.number("errorBudgetPercent")
            if not 0 < budget <= 100:
                inner.report(
                    "is no part of a budget; write more than 0 and at most 100", "errorBudgetPercent"
                )
            elif long_s and short_s and period_s:
                rows.append(Row(severity, long_s, short_s, burn_factor(period_s, budget, long_s)))
    if len(fields.problems) > before:
        return None
    return Windows(period_s, tuple(rows), fields.file, fields.line)


def _seconds(fields: Fields, name: str) -> int:
    """A duration in whole minutes; 0, and a problem, where it is none."""
    try:
        length_ms = duration_ms(fields.text(name))
        if not 60_000 <= length_ms <= _LONGEST_S * 1000 or length_ms % 60_000:
            raise InvalidInput(
                f"'{fields.text(name)[:40]}' is out of bounds; write whole minutes, such as 5m, 6h or 30d"
            )
    except InvalidInput as error:
        fields.report(error.message, name)
        return 0
    return length_ms // 1000
