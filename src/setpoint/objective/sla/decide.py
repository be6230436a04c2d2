"""Whether a promise is kept, pure: the events of a period in, a state with its numbers out.

Three outcomes, as everywhere: minutes without data are no good minutes. A period that is over is kept when it would be
even if all that was not seen had been bad, broken when it would be even if all of it had been good, else nobody knows.
While it lasts, it is broken when no more bad event may happen and it still ends below its target, at the traffic so
far; at risk when it is below its target now, or ends there if the last day goes on.
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.objective.sla.model import PromiseStatus, SlaState, Tier

__all__ = ["credit_of", "judge", "worst"]

_ROUNDING = 1e-12
_ORDER: tuple[SlaState, ...] = ("broken", "at risk", "don't know", "kept")


def credit_of(tiers: Sequence[Tier], sli: float | None) -> float:
    """The credit that is owed at an SLI; nothing without one."""
    return max(
        (tier.credit for tier in tiers if sli is not None and sli < tier.below - _ROUNDING), default=0.0
    )


def worst(states: Sequence[SlaState]) -> SlaState:
    """The state of an SLA with promises in these states."""
    return min(states, key=_ORDER.index)


def judge(
    objective: str,
    target: float,
    tiers: Sequence[Tier],
    *,
    good: float,
    total: float,
    seen_minutes: int,
    unseen_minutes: int,
    excluded_minutes: int,
    left_minutes: float,
    last_day_bad: float,
    last_day_minutes: float,
) -> PromiseStatus:
    """`seen_minutes` counted the events, `left_minutes` are to come (0: it is over), `last_day_bad` of the last
    `last_day_minutes` were bad.
    """
    bad = total - good
    pace = total / seen_minutes if seen_minutes else 0.0
    unseen = pace * unseen_minutes
    expected = total + unseen + pace * left_minutes
    allowed = expected * (1 - target)
    sli, lowest, highest = (
        (good / total, good / (total + unseen), (good + unseen) / (total + unseen))
        if total > 0
        else (None, None, None)
    )
    state, reason = _state(
        target,
        sli=sli,
        lowest=lowest,
        bad=bad,
        allowed=allowed,
        to_come=last_day_bad / last_day_minutes * left_minutes if last_day_minutes else 0.0,
        unseen=unseen,
        unseen_minutes=unseen_minutes,
        is_over=left_minutes <= 0,
    )
    formula = "no events, so nothing can be said"
    if sli is not None:
        values = f"{good:,.10g} / {total:,.10g} = {100 * sli:.4f} %"
        formula = f"sli = good / total = {values}, promised {100 * target:.10g} %"
    return PromiseStatus(
        objective=objective,
        target=target,
        state=state,
        reason=reason,
        sli=sli,
        lowest=lowest,
        highest=highest,
        good=good,
        total=total,
        bad=bad,
        expected=expected,
        allowed=allowed,
        unseen_minutes=unseen_minutes,
        excluded_minutes=excluded_minutes,
        unseen=unseen,
        credit=credit_of(tiers, sli),
        credit_highest=max(credit_of(tiers, sli), credit_of(tiers, 0.0 if lowest is None else lowest)),
        formula=formula,
    )


def _state(  # noqa: PLR0911 — one answer after the other, the gravest first
    target: float,
    *,
    sli: float | None,
    lowest: float | None,
    bad: float,
    allowed: float,
    to_come: float,
    unseen: float,
    unseen_minutes: int,
    is_over: bool,
) -> tuple[SlaState, str]:
    if sli is None or lowest is None:
        return "don't know", "no event was seen"
    known = f"{bad:,.10g} bad"
    known += (
        f" of {allowed:,.0f} allowed" if is_over else f" so far, {allowed:,.0f} may be in all of the period"
    )
    if bad > allowed * (1 + _ROUNDING) + _ROUNDING:
        return "broken", known if is_over else f"{known} at this traffic"
    if unseen_minutes and bad + unseen > allowed * (1 + _ROUNDING) + _ROUNDING:
        return (
            "don't know",
            f"{known}; {unseen_minutes:,} minutes were not seen, and about {unseen:,.0f} events of them may be bad",
        )
    if is_over:
        return "kept", known
    if sli < target - _ROUNDING:
        return "at risk", f"{known}; at present less is good than promised"
    if bad + to_come > allowed:
        return "at risk", f"{known}; if the last day goes on, {bad + to_come:,.0f} will be bad"
    return "kept", known
