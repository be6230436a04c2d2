"""Error budget arithmetic, pure: what was promised, what is spent, what is left.

    sli     = good / total
    allowed = total × (1 − target)
    left    = 1 − bad / allowed            (Datadog writes the same as (status − target) / (1 − target))
    burn    = (bad / total) / (1 − target)

Without events each of these is None, never a good value. `allowed_ratio` is 1 − target
(`Objective.allowed_ratio`).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from setpoint.objective.model import Counts

__all__ = [
    "allowed_bad",
    "budget_left",
    "burn_rate",
    "burn_rates",
    "explain",
    "lefts",
    "sli",
    "spoken_events",
    "time_to_exhaustion",
]

_Floats = npt.NDArray[np.float64]


def sli(counts: Counts) -> float | None:
    """The ratio of good events."""
    return counts.good / counts.total if counts.total > 0 else None


def allowed_bad(counts: Counts, allowed_ratio: float) -> float:
    """How many of these events may be bad."""
    return counts.total * allowed_ratio


def budget_left(counts: Counts, allowed_ratio: float) -> float | None:
    """The part of the budget that is left: 1 whole, 0 gone, negative overspent."""
    return 1 - counts.bad / allowed_bad(counts, allowed_ratio) if counts.total > 0 else None


def burn_rate(counts: Counts, allowed_ratio: float) -> float | None:
    """How many times faster than allowed the budget is being spent."""
    return counts.bad / counts.total / allowed_ratio if counts.total > 0 else None


def time_to_exhaustion(left: float | None, burn: float | None, window_s: float) -> float | None:
    """Seconds until nothing is left at this burn: left × window / burn. None when it is not being spent."""
    if left is None or burn is None or burn <= 0:
        return None
    return max(0.0, left) * window_s / burn


def burn_rates(good: _Floats, total: _Floats, allowed_ratio: float) -> _Floats:
    """`burn_rate` of many windows at once; NaN without events."""
    rates = np.full(total.shape, np.nan)
    np.divide(total - good, total * allowed_ratio, out=rates, where=total > 0)
    return rates


def lefts(good: _Floats, total: _Floats, allowed_ratio: float) -> _Floats:
    """`budget_left` of many windows at once; NaN without events."""
    return 1 - burn_rates(good, total, allowed_ratio)


def explain(counts: Counts, allowed_ratio: float) -> str:
    """The formula of the budget with the values in it."""
    left = budget_left(counts, allowed_ratio)
    formula = "left = 1 − bad / (total × (1 − target))"
    if left is None:
        return f"{formula}: no events in the window, so nothing can be said"
    values = f"1 − {_number(counts.bad)} / ({_number(counts.total)} × {allowed_ratio:.10g})"
    return f"{formula} = {values} = {_percent(left)}"


def spoken_events(events: float) -> str:
    """A number of events for a sentence: whole ones from a hundred on, two figures below one."""
    if events >= 100 or events == int(events):
        return f"{events:,.0f}"
    return f"{events:.1f}" if events >= 1 else f"{events:.2g}"


def _number(events: float) -> str:
    text = f"{events:,.3f}"
    return text.rstrip("0").rstrip(".")


def _percent(ratio: float) -> str:
    return f"{100 * ratio:,.1f} %".replace("-", "−")
