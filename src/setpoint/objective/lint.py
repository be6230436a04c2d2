"""What looks wrong with objectives that are kept: promises that cannot hold, or that nobody would hear of.

`advice` warns of a document when it is applied; this looks at all objectives with what was counted since, for
`setpoint slo lint` and the page /lint. Pure: from statuses to findings, each with its numbers and what to do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from setpoint.objective.budget import spoken_events
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Objective, ObjectiveStatus
from setpoint.objective.ownership import Ownership

__all__ = ["RULES", "Finding", "Gravity", "Surroundings", "lint"]

Gravity = Literal["error", "warning", "note"]
GRAVITIES: Final[tuple[Gravity, ...]] = ("error", "warning", "note")

_DAY_S = 86_400
_SEEN_S = 7 * _DAY_S
_SEEN_EVENTS = 10_000
_SILENT_MS = _DAY_S * 1000
_SLACK = 0.02
_LISTED = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """`objective` is empty where it is about several, which `message` counts."""

    gravity: Gravity
    rule: str
    objective: str
    service: str
    message: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known beside the objectives; `now_ms` in Unix milliseconds. `promised` are the targets that are promised
    to customers, by objective: an SLA's name and its target.
    """

    now_ms: int
    dependencies: Dependencies
    ownership: Ownership
    promised: Mapping[str, tuple[str, float]]


_Pair = tuple[Objective, ObjectiveStatus]
_Found = Iterator[tuple[Gravity, str, str]]


def lint(
    pairs: Sequence[_Pair], around: Surroundings, chosen: Callable[[Objective], bool] = lambda _: True
) -> list[Finding]:
    """What is found of the `chosen` ones among all objectives with their statuses, the gravest first."""
    parts = {part.objective for objective, _ in pairs for part in objective.parts}
    found: list[Finding] = []
    promises = _promises(objective for objective, _ in pairs if objective.name not in parts)
    kept = [pair for pair in pairs if chosen(pair[0])]
    for objective, status in kept:
        if objective.name in parts:
            told: Iterable[tuple[str, tuple[Gravity, str, str]]] = [
                ("traffic", one) for one in _traffic(objective, status, around)
            ]
        else:
            told = [(name, one) for name, rule in RULES.items() for one in rule(objective, status, around)]
            told += [("dependency", one) for one in _dependency(objective, promises, around)]
        found += [
            Finding(gravity, rule, objective.name, objective.service, message, remedy)
            for rule, (gravity, message, remedy) in told
        ]
    found = _gathered(found)
    found += _of_all([objective for objective, _ in kept if objective.name not in parts], around)
    return sorted(found, key=lambda one: (GRAVITIES.index(one.gravity), one.rule, one.service, one.objective))


def _target(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """A target so high that one failure spends everything."""
    del around
    if not status.total or not status.covered_s:
        return
    expected = status.total * max(1.0, objective.window_s / status.covered_s)
    allowed = expected * objective.allowed_ratio
    if allowed >= 1:
        return
    window = spoken_duration(objective.window_s)
    yield (
        "warning",
        f"{_percent(objective.target)} of some {spoken_events(expected)} events in {window} allows "
        f"{spoken_events(allowed)} bad ones: a single failure is more than the whole budget",
        f"lower the target to {_percent(_reachable(expected))} or less, or count time (Timeslices) in place of events",
    )


def _nobody(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """An objective that could burn down without a word."""
    del status, around
    if objective.policies is not None and not objective.policies:
        yield (
            "warning",
            "nobody is told when it burns: its alertPolicies are empty",
            ("leave alertPolicies out for the defaults, or name some"),
        )


def _traffic(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """An indicator that sees nothing."""
    if status.backfilling:
        return
    if status.last_event_ms is None:
        message = f"no event was ever seen: {status.reason.removeprefix('no data: ')}"
        yield (
            "error",
            message,
            "check that the queries match what the service sends: setpoint slo explain " + objective.name,
        )
    elif around.now_ms - status.last_event_ms > _SILENT_MS:
        since = spoken_duration((around.now_ms - status.last_event_ms) / 1000)
        yield (
            "warning",
            f"the last event was {since} ago",
            ("see whether the service still runs and still sends, or delete the objective"),
        )


def _errors(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """An indicator that never saw a failure, which may be because it cannot."""
    del around
    if status.bad > 0 or not status.total or status.backfilling or objective.kind == "composite":
        return
    is_long = status.covered_s >= min(_SEEN_S, objective.window_s)
    if is_long and (status.total >= _SEEN_EVENTS or objective.kind in ("raw", "threshold")):
        seen = spoken_duration(min(status.covered_s, objective.window_s))
        yield (
            "warning",
            f"not one bad event among {spoken_events(status.total)} in {seen}: perfect, or blind to failures",
            "make the service fail once on purpose and see whether it counts; if it does, raise the target",
        )


def _slack(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """A target that says nothing of how good the service is."""
    del around
    if status.budget_left is None or status.bad <= 0 or status.covered_s < objective.window_s - _DAY_S:
        return
    used = 1 - status.budget_left
    if used < _SLACK and status.sli is not None:
        yield (
            "note",
            f"only {_percent(used)} of the budget was used in {spoken_duration(objective.window_s)}: the SLI is "
            f"{_percent(status.sli)}",
            "raise the target to what users got used to, or spend the budget on faster releases",
        )


def _window(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """A window that has less history than it is long."""
    if status.last_event_ms is None or status.backfilling or not objective.is_rolling:
        return
    missing_s = objective.window_s - status.covered_s
    if missing_s > max(_DAY_S, objective.window_s * 0.05):
        yield (
            "note",
            f"its window is {spoken_duration(objective.window_s)}, and there is history of "
            f"{spoken_duration(status.covered_s)}: the budget is that of the shorter time",
            f"wait {spoken_duration(missing_s)}, or take a shorter window until then",
        )


def _promise(objective: Objective, status: ObjectiveStatus, around: Surroundings) -> _Found:
    """An SLA that is tighter than what is watched."""
    del status
    known = around.promised.get(objective.name)
    if known is not None and known[1] >= objective.target:
        name, target = known
        how = "as much as" if target == objective.target else "more than"
        yield (
            "warning",
            f"the SLA '{name}' promises {_percent(target)}, {how} the objective's {_percent(objective.target)}: "
            "credits are owed before, or just when, the budget is gone",
            "promise less to customers than you aim for, so that alerts come first",
        )


RULES: Final[Mapping[str, Callable[[Objective, ObjectiveStatus, Surroundings], _Found]]] = {
    "target": _target,
    "nobody": _nobody,
    "traffic": _traffic,
    "errors": _errors,
    "slack": _slack,
    "window": _window,
    "sla": _promise,
}
"""The rules that look at one objective, by the name that findings carry; `dependency`, `owner` and `defaults` look at
several.
"""


def _promises(objectives: Iterable[Objective]) -> Mapping[str, float]:
    """The highest target that each service promises of its requests."""
    found: dict[str, float] = {}
    for one in objectives:
        if one.kind in ("ratio", "raw"):
            found[one.service] = max(one.target, found.get(one.service, 0.0))
    return found


def _dependency(objective: Objective, promises: Mapping[str, float], around: Surroundings) -> _Found:
    """A target above what the services behind allow, when each request needs all of them."""
    needed = {name: promises[name] for name in around.dependencies.of(objective.service) if name in promises}
    if not needed or objective.kind not in ("ratio", "raw"):
        return
    most = math.prod(needed.values())
    if objective.target > most + 1e-12:
        named = ", ".join(f"{name} {_percent(target)}" for name, target in sorted(needed.items()))
        product = " × ".join(_percent(target) for target in needed.values())
        shown = f"{product} = {_percent(most)}" if len(needed) > 1 else _percent(most)
        yield (
            "warning",
            f"promises {_percent(objective.target)}, and what it needs promises less ({named}): {shown} when each "
            "request needs all of it",
            "lower the target, raise theirs, or let requests succeed without them (caches, fallbacks, retries)",
        )


def _of_all(objectives: Sequence[Objective], around: Surroundings) -> Iterator[Finding]:
    untold = [one for one in objectives if one.policies is None]
    if untold:
        yield Finding(
            "note",
            "defaults",
            "",
            "",
            f"{_several(untold)} the default alert policies, which are written to the timeline and sent to nobody",
            "name an AlertPolicy with notificationTargets where somebody should be called",
        )
    if around.ownership.teams:
        owned = around.ownership.owners
        without = sorted(
            {one.service for one in objectives if one.service not in owned and "team" not in one.labels}
        )
        for service in without:
            yield Finding(
                "warning",
                "owner",
                "",
                service,
                f"no team answers for the service {service}",
                "add it to the services of a Team",
            )


def _gathered(found: list[Finding]) -> list[Finding]:
    """With one line in place of many that only say that a server is young."""
    young = [one for one in found if one.rule == "window"]
    if len(young) <= _LISTED:
        return found
    several = Finding(
        "note",
        "window",
        "",
        "",
        f"{len(young):,} objectives have less history than their windows are long, such as {young[0].objective}: "
        f"{young[0].message}",
        "wait until they are full, or take shorter windows until then",
    )
    return [one for one in found if one.rule != "window"] + [several]


def _several(objectives: Sequence[Objective]) -> str:
    return f"{objectives[0].name} has" if len(objectives) == 1 else f"{len(objectives):,} objectives have"


def _reachable(expected: float) -> float:
    """The highest target that allows ten bad events of so many, rounded down: 0.98 for 720."""
    ratio = 10 / expected
    if ratio >= 0.5:
        return 0.5
    scale: int = 10 ** (math.floor(-math.log10(ratio)) + 1)
    return math.floor((1 - ratio) * scale) / scale


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.6g} %"
