"""`suggest`: the objectives that a service could have, from its series and their past. `web` hands in the functions
that look at telemetry, so that nothing here knows how samples are kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from setpoint.errors import SetpointError
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.model import Objective
from setpoint.objective.spec.names import slug
from setpoint.objective.suggest.conventions import Labels, candidates
from setpoint.objective.suggest.model import Advice, Candidate, Count, Dependency, History, Mean, Suggestion
from setpoint.objective.suggest.target import history_of, percent, target_for
from setpoint.objective.suggest.write import document, spoken_bound, whole

__all__ = ["Telemetry", "promised", "suggest"]

_DAY_S = 86_400
_WINDOW = "28d"
_QUICK = (0.99, 0.95, 0.9)
"""What part of the events should be quick; the latency that is suggested is the least at which one of these is kept."""
_MARGIN = 1.5


class Telemetry:
    """What is asked of the samples. A stretch ends at `end_ms`."""

    def __init__(self, count: Count, mean: Mean, end_ms: int) -> None:
        self.count, self.mean, self.end_ms = count, mean, end_ms

    def tries(self, days: int) -> list[tuple[int, int]]:
        """(step_s, steps), from the whole time to the last hours: young telemetry has no two days yet, and of a great
        deal only the last ones can be read at once.
        """
        lengths = [one for one in (days, 7, 2) if one <= days]
        return [*((_DAY_S, one) for one in dict.fromkeys(lengths)), (3600, 24), (300, 24)]


def promised(service: str, dependencies: Dependencies, objectives: Iterable[Objective]) -> list[Dependency]:
    """The best promise of each service that it calls itself; those that promise nothing are not among them."""
    best: dict[str, Dependency] = {}
    called = dependencies.of(service)
    for one in objectives:
        known = best.get(one.service)
        if one.service in called and (known is None or one.target > known.target):
            best[one.service] = Dependency(one.service, one.target, one.name)
    return [best[name] for name in called if name in best]


def suggest(  # noqa: PLR0917 — what advice is made from
    service: str,
    series: Iterable[Labels],
    telemetry: Telemetry,
    objectives: Sequence[Objective],
    dependencies: Sequence[Dependency],
    days: int,
    *,
    is_declared: bool,
) -> Advice:
    """Advice for a service of these series. A query that cannot be answered leaves its SLI out, with the reason."""
    found, left_out = candidates(slug(service) or "service", service, series)
    own = [one for one in objectives if one.service == service]
    made = []
    for candidate in found:
        try:
            one = _suggestion(candidate, telemetry, dependencies, days, service)
        except SetpointError as error:
            left_out.append(f"{candidate.metric}: {error.message}")
            continue
        if isinstance(one, str):
            left_out.append(f"{candidate.metric}: {one}")
        else:
            made.append(replace(one, declared=_declared(one, own)))
    fresh = [one for one in made if not one.declared]
    advice = Advice(
        service=service,
        at_ms=telemetry.end_ms,
        days=days,
        is_declared=is_declared,
        suggestions=tuple(made),
        dependencies=tuple(dependencies),
        left_out=tuple(left_out),
        yaml="",
    )
    return replace(advice, yaml=whole(advice, fresh))


def _suggestion(
    candidate: Candidate, telemetry: Telemetry, dependencies: Sequence[Dependency], days: int, service: str
) -> Suggestion | str:
    """What to declare, or why nothing."""
    threshold: tuple[str, float] | None = None
    if candidate.kind == "latency":
        quick = _quick(candidate, telemetry, days)
        if isinstance(quick, str):
            return quick
        history, threshold = quick
    else:
        history_or_none = _history(candidate, telemetry, days)
        if history_or_none is None:
            return f"no {candidate.unit} in the last {days} d"
        history = history_or_none
    hard = dependencies if candidate.kind == "availability" else ()
    target, reasons = target_for(history, candidate.unit, hard)
    if threshold is not None:
        reasons.insert(0, _why_quick(candidate, threshold, history))
    if target is None:
        return f"{'; '.join(reasons)}: nothing that could be promised"
    good = candidate.good.replace("{le}", threshold[0]) if threshold else candidate.good
    made = Suggestion(
        name=candidate.name,
        kind=candidate.kind,
        convention=candidate.convention,
        metric=candidate.metric,
        target=target,
        window=_WINDOW,
        good=good,
        total=candidate.total,
        raw=candidate.raw,
        threshold_s=None if threshold is None else threshold[1],
        history=history,
        reasons=tuple(reasons),
        declared="",
        yaml="",
    )
    return replace(made, yaml=document(made, candidate, service))


def _history(candidate: Candidate, telemetry: Telemetry, days: int) -> History | None:
    best: History | None = None
    failed: SetpointError | None = None
    for step_s, steps in telemetry.tries(days):
        try:
            if candidate.raw:
                ratios = telemetry.mean(candidate.raw, step_s, steps)
                total = [step_s / 60 if math.isfinite(one) else math.nan for one in ratios]
                good = [one * step_s / 60 for one in ratios]
            else:
                total = telemetry.count(candidate.total, step_s, steps).get("", [])
                good = telemetry.count(candidate.good, step_s, steps).get("", [math.nan] * len(total))
        except SetpointError as error:  # too much at once: a shorter time may do
            failed = error
            continue
        best = history_of(good, total, step_s, telemetry.end_ms) or best
        if best is not None and best.steps >= 2:
            return best
    if best is None and failed is not None:
        raise failed
    return best


def _quick(candidate: Candidate, telemetry: Telemetry, days: int) -> tuple[History, tuple[str, float]] | str:
    """The least bound within which enough events stay, with what was kept; or why there is none."""
    best: str | tuple[History, tuple[str, float]] = f"no {candidate.unit} in the last {days} d"
    failed: SetpointError | None = None
    for step_s, steps in telemetry.tries(days):
        try:
            buckets = telemetry.count(candidate.buckets, step_s, steps)
        except SetpointError as error:
            failed = error
            continue
        everything = next((buckets[le] for le in buckets if le in ("+Inf", "inf", "Inf")), None)
        if everything is None:
            continue
        histories = [
            (made, bound)
            for bound in candidate.bounds
            if (
                made := history_of(
                    buckets.get(bound[0], [math.nan] * steps), everything, step_s, telemetry.end_ms
                )
            )
        ]
        chosen = _least(histories)
        if chosen is None and histories:
            slowest, kept = spoken_bound(histories[-1][1][1]), percent(histories[-1][0].ratio)
            best = f"even within {slowest} only {kept} of the {candidate.unit} end"
        if chosen is not None:
            best = chosen
            if chosen[0].steps >= 2:
                return chosen
    if failed is not None and isinstance(best, str):
        raise failed
    return best


def _least(
    histories: Sequence[tuple[History, tuple[str, float]]],
) -> tuple[History, tuple[str, float]] | None:
    for level in _QUICK:
        for history, bound in histories:
            if (1 - history.ratio) * _MARGIN <= 1 - level:
                return history, bound
    return None


def _why_quick(candidate: Candidate, threshold: tuple[str, float], history: History) -> str:
    return (
        f"{spoken_bound(threshold[1])} is the least bound of its {len(candidate.bounds)} buckets within which "
        f"{percent(history.ratio)} ended, so that a round target can be kept"
    )


def _declared(one: Suggestion, own: Sequence[Objective]) -> str:
    """An objective of the service that counts the same already, or has the name."""
    metric = one.metric.removesuffix("_bucket").removesuffix("_count")
    for other in own:
        if one.name in {other.name, other.slo}:
            return other.name
        queries = " ".join((other.total_query, other.good_query or "", other.bad_query or ""))
        is_quick = "_bucket" in queries
        if metric in queries and is_quick == (one.kind == "latency"):
            return other.name
    return ""
