"""What adjustments do to a budget, in numbers: the budget of a window with and without some of them.

For pages and events, objective by objective; ledgers are derived by `derive`, for all at once. Minutes are read as they
were counted, changed by the adjustments that are asked for, and judged by the objective's method.

    cost of a minute of an outage = its events / (total × (1 − target))

so leaving time out makes each such minute dearer by total without / total with; counting it good changes no total.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.objective import budget
from setpoint.objective.adjustment.correct import corrected
from setpoint.objective.adjustment.model import Action, Adjustment
from setpoint.objective.adjustment.plan import EXCLUDED, GOOD, Plan, Profile, time_of
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Counts, Objective

__all__ = ["Effect", "Window", "effect_of"]

_Floats = npt.NDArray[np.float64]
_ROUNDING = 1e-12

Counted = Callable[[str, int, int], Slots]
"""The minutes of an objective as they were counted. May raise Unavailable, or NotFound."""


@dataclass(frozen=True, slots=True)
class Window:
    """What effects are computed from: the objectives with their plan, the minutes of the window, and how to read."""

    objectives: tuple[Objective, ...]
    plan: Plan
    first: int
    end: int
    counted: Counted


@dataclass(frozen=True, slots=True)
class Effect:
    """What one adjustment does to the window of an objective.

    `minutes` of the window are adjusted by it, in which `events` were counted, `bad` of them bad. `budget_without` and
    `budget_with` are what is left of the budget without this one, and with it; `cost` how many times as much a minute
    of an outage costs by it. None where nothing can be said: no events are left, or silence counts as bad.
    """

    adjustment: str
    objective: str
    action: Action | None
    minutes: int
    events: float
    bad: float
    budget_without: float | None
    budget_with: float | None
    cost: float | None
    formula: str
    words: str


def effect_of(one: Adjustment, at: int, window: Window) -> Effect:
    """The effect of one adjustment on objective `at`. Raises what `counted` raises."""
    objective = window.objectives[at]
    action = None if one.correction is not None else one.action_for(objective.name)
    inside = np.zeros(window.end - window.first, np.bool_)
    for first, end in time_of(one, window.first, window.end):
        inside[max(0, first - window.first) : max(0, end - window.first)] = True
    raw = window.counted(objective.name, window.first, window.end)
    events, good = float(raw.total[inside].sum()), float(raw.good[inside].sum())
    before = after = None
    if objective.no_data.action != "bad":
        before = _judged(at, window, frozenset({one.name}))
        after = _judged(at, window, frozenset())
    allowed = objective.allowed_ratio
    without = None if before is None else budget.budget_left(before, allowed)
    with_it = None if after is None else budget.budget_left(after, allowed)
    cost = (
        before.total / after.total if before is not None and after is not None and after.total > 0 else None
    )
    return Effect(
        adjustment=one.name,
        objective=objective.name,
        action=action,
        minutes=int(inside.sum()),
        events=events,
        bad=events - good,
        budget_without=without,
        budget_with=with_it,
        cost=cost,
        formula=_formula(before, after, allowed),
        words=_words(action, without, with_it, cost),
    )


def _formula(before: Counts | None, after: Counts | None, allowed: float) -> str:
    if before is None or after is None:
        return ""
    return f"without: {budget.explain(before, allowed)}; with: {budget.explain(after, allowed)}"


def _words(action: Action | None, without: float | None, with_it: float | None, cost: float | None) -> str:
    """Such as: budget 31 % → 42 %; a minute of an outage costs 1.07 × as much."""
    told = [f"budget {_percent(without)} → {_percent(with_it)}"]
    if cost is not None:
        is_same = abs(cost - 1) < 0.005
        changes = "does not change" if is_same else f"is {cost:.2f} × as much"
        told.append(f"what a minute of an outage costs {changes}")
    elif action == "exclude" and with_it is None:
        told.append("nothing is left in the window that could be judged")
    return "; ".join(told)


def _percent(ratio: float | None) -> str:
    return "–" if ratio is None else f"{100 * ratio:,.1f} %".replace("-", "−")


def _judged(at: int, window: Window, left_out: Collection[str]) -> Counts:
    """The events of the budget in the window, without the adjustments `left_out`."""
    objective = window.objectives[at]
    each = objective.slot_minutes
    first = window.first // each * each
    end = window.end if each == 1 else window.end // each * each
    if first >= end:
        return Counts()
    if objective.kind == "composite":
        good, total = _composed(at, window, (first, end, each), left_out)
        if each > 1 and objective.method == "Timeslices":
            good = np.where(total > 0, good >= (objective.slice_target or 0.0) - _ROUNDING, 0.0).astype(
                np.float64
            )
        return Counts(float(good.sum()), float(total.sum()))
    good, total = _minutes(at, window, first, end, left_out, None)
    if each == 1:
        return Counts(float(good.sum()), float(total.sum()))
    good, total = good.reshape(-1, each).sum(1), total.reshape(-1, each).sum(1)
    has = total > 0
    ratio = np.divide(good, total, out=np.zeros_like(good), where=has)
    if objective.method == "Timeslices":
        ratio = (ratio >= (objective.slice_target or 0.0) - _ROUNDING).astype(np.float64)
    return Counts(float(ratio[has].sum()), float(has.sum()))


def _composed(
    at: int, window: Window, span: tuple[int, int, int], left_out: Collection[str]
) -> tuple[_Floats, _Floats]:
    """Good and total of each slot of a composite: one event where every part has some."""
    first, end, each = span
    objective = window.objectives[at]
    index = {one.name: place for place, one in enumerate(window.objectives)}
    places = [index[part.objective] for part in objective.parts if part.objective in index]
    ratios, weights, has = (
        [],
        [part.weight for part in objective.parts],
        np.ones((end - first) // each, np.bool_),
    )
    for place in places:
        if window.objectives[place].kind == "composite":
            good, total = _composed(place, window, span, left_out)
        else:
            good, total = _minutes(place, window, first, end, left_out, at)
            good, total = good.reshape(-1, each).sum(1), total.reshape(-1, each).sum(1)
        ratios.append(np.divide(good, total, out=np.zeros_like(good), where=total > 0))
        has &= total > 0
    if objective.all_of:
        parts = [window.objectives[place] for place in places]
        targets = [
            float(one.slice_target or 0.0) if one.method == "Timeslices" and one.slice_target else one.target
            for one in parts
        ]
        met = [ratio >= target - _ROUNDING for ratio, target in zip(ratios, targets, strict=True)]
        good = np.logical_and.reduce(met).astype(np.float64)
    else:
        good = np.average(np.stack(ratios), axis=0, weights=weights[: len(ratios)])
    return np.where(has, good, 0.0), has.astype(np.float64)


def _minutes(  # noqa: PLR0917 — whose minutes, which ones, and how
    at: int, window: Window, first: int, end: int, left_out: Collection[str], whole: int | None
) -> tuple[_Floats, _Floats]:
    """Good and total of the minutes of objective `at`, as its adjustments and those of what it is a part of (`whole`)
    leave them.
    """
    name = window.objectives[at].name
    raw = window.counted(name, first, end)
    good, total = np.where(raw.present, raw.good, 0.0), np.where(raw.present, raw.total, 0.0)
    own = _profile(window.plan, at, left_out)
    corrections = own.corrections(first, end)
    if corrections:
        good, total = corrected(
            good, total, first, corrections, lambda low, high: window.counted(name, low, high)
        )
    codes = own.codes(first, end)
    if whole is not None:
        codes = np.maximum(codes, _profile(window.plan, whole, left_out).codes(first, end))
    good = np.where(codes == GOOD, total, good)
    return np.where(codes == EXCLUDED, 0.0, good), np.where(codes == EXCLUDED, 0.0, total)


def _profile(plan: Plan, at: int, left_out: Collection[str]) -> Profile:
    number = int(plan.own[at])
    items = plan.profiles[number].items if number >= 0 else ()
    return Profile(tuple(item for item in items if item[0].name not in left_out))
