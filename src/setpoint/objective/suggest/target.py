"""A target that can be kept, from what was kept: never 100 %, and each bound told with its numbers.

margin    what failed in the past, half as much again, must fit into the budget: failed × 1.5 ≤ 1 − target
traffic   ten failures in four weeks must be allowed, else single ones are what the budget is about
others    no more than the product of what the services promise that it cannot do without
most      99.99 %: beyond it the budget of four weeks is gone in four minutes, before anybody looks
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal

from setpoint.objective.budget import spoken_events
from setpoint.objective.duration import spoken_duration
from setpoint.objective.suggest.model import Dependency, History

__all__ = ["LEVELS", "WINDOW_S", "Bound", "history_of", "percent", "target_for"]

LEVELS = (0.9999, 0.9995, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)
WINDOW_S = 28 * 86_400
_MARGIN = 1.5
_LEAST_ALLOWED = 10
_BY_CHANCE = 3
_ROUNDING = 1e-9

Bound = tuple[float | None, list[str]]
"""A target (None: none can be kept) and the reasons for it."""


def history_of(good: Sequence[float], total: Sequence[float], step_s: int, end_ms: int) -> History | None:
    """What was kept, of as many stretches of `step_s` seconds that end at `end_ms`; None without events."""
    steps, all_good, all_total = 0, 0.0, 0.0
    worst, worst_ms, worst_bad = 1.0, end_ms - step_s * 1000, 0.0
    for at, (some, every) in enumerate(zip(good, total, strict=True)):
        if not every > 0:
            continue
        ok = min(max(0.0 if math.isnan(some) else some, 0.0), every)
        steps, all_good, all_total = steps + 1, all_good + ok, all_total + every
        if ok / every < worst or steps == 1:
            worst, worst_bad = ok / every, every - ok
            worst_ms = end_ms - (len(total) - at) * step_s * 1000
    if not steps:
        return None
    return History(step_s, steps, all_good, all_total, worst, worst_ms, worst_bad)


def target_for(history: History, unit: str, dependencies: Sequence[Dependency]) -> Bound:
    """The highest level that all bounds allow, and why not the next one."""
    failed = 1 - history.ratio
    in_window = history.total * WINDOW_S / (history.steps * history.step_s)
    most = math.prod(one.target for one in dependencies)
    reasons = [_kept(history, unit)]
    bounds: list[str] = []
    for level in LEVELS:
        allowed = float(1 - Decimal(repr(level)))
        why = _why_not(level, allowed, history, in_window, most, unit, dependencies)
        if why:
            bounds.append(why)
            continue
        spent = failed / allowed
        would = "all of the budget" if failed <= 0 else f"{percent(1 - spent)} of the budget"
        reasons.append(f"{percent(level)} would have left {would}")
        if bounds:
            reasons.append(bounds[-1])
        elif level == LEVELS[0]:
            reasons.append(
                f"more is not suggested: at {percent(level)} an outage of everything takes the budget of four weeks "
                "in four minutes"
            )
        return level, reasons
    return None, [*reasons, *bounds[-1:]]


def _why_not(  # noqa: PLR0917 — the bounds of a level
    level: float,
    allowed: float,
    history: History,
    in_window: float,
    most: float,
    unit: str,
    dependencies: Sequence[Dependency],
) -> str:
    if level > most + _ROUNDING:
        told = " × ".join(f"{one.service} {percent(one.target)}" for one in dependencies)
        product = f" = {percent(most)}" if len(dependencies) > 1 else ""
        return f"not {percent(level)}: it cannot be better than what it depends on ({told}{product})"
    failed = 1 - history.ratio
    if failed * _MARGIN > allowed + _ROUNDING:
        gone = percent(failed / allowed)
        return f"not {percent(level)}: {gone} of the budget would have gone, and a third is to be left"
    if failed * history.total * _MARGIN + _BY_CHANCE > allowed * history.total:
        return (
            f"not {percent(level)}: only {spoken_events(history.total)} {unit} were seen, and {_BY_CHANCE} more that "
            "fail by chance would be too many"
        )
    if in_window * allowed < _LEAST_ALLOWED:
        return (
            f"not {percent(level)}: at {spoken_events(in_window)} {unit} in four weeks it allows "
            f"{spoken_events(in_window * allowed)} failures, so that single ones would decide"
        )
    return ""


def _kept(history: History, unit: str) -> str:
    bad = history.total - history.good
    told = (
        f"kept {percent(history.ratio)} in {spoken_duration(history.steps * history.step_s)} "
        f"({spoken_events(bad)} bad of {spoken_events(history.total)} {unit})"
    )
    if history.steps > 1 and bad > 0:
        form = "%Y-%m-%d" if history.step_s >= 86_400 else "%Y-%m-%d %H:%M UTC"
        at = datetime.fromtimestamp(history.worst_ms / 1000, UTC).strftime(form)
        told += f"; the worst {_stretch(history.step_s)}, from {at}, kept {percent(history.worst)}"
    return told


def _stretch(step_s: int) -> str:
    return {86_400: "day", 3600: "hour"}.get(step_s, spoken_duration(step_s))


def percent(ratio: float) -> str:
    """Rounded down to what matters: 0.99982 is 99.982 %; no figure reads 100 % that is not."""
    value = ratio * 100
    if value >= 100 or value <= 0:
        return f"{value:.4g} %".replace("-", "−")
    digits = min(6, max(1, 2 - math.floor(math.log10(max(100 - value, 1e-5)))))
    scale = 10.0**digits
    return f"{math.floor(value * scale + 1e-7) / scale:.{digits}f}".rstrip("0").rstrip(".") + " %"
