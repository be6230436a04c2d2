"""What does not fit between a policy or an exception and the other documents: names that lead nowhere are refused with
their line; what contradicts itself, has no effect or ended is warned of. `register` gives both to the registry.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from setpoint.clock import Clock, rfc3339
from setpoint.errors import InvalidInput, Problem
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Objective
from setpoint.objective.policy.model import Condition, Policy, Rule
from setpoint.objective.policy.resolve import policies_of, rows_of
from setpoint.objective.policy.spec import AppliesTo, ErrorBudgetPolicy, PolicyException, instant_of
from setpoint.objective.policy.words import RELEASES
from setpoint.objective.resolve import References, objectives_of, resolve
from setpoint.objective.spec.service import Service
from setpoint.objective.spec.slo import Slo
from setpoint.objective.spec.team import Team
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["adviser", "refer_policy", "referrer_of_exceptions"]

_LONG_EXCEPTION_S: Final = 30 * 86_400
_LOOSER_IS_SMALLER: Final = frozenset({"<", "<="})

Relation = Callable[[Document, Catalogue], Iterator[Problem]]


def refer_policy(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Services, teams, objectives and targets that are not there."""
    policy = document.spec
    if not isinstance(policy, ErrorBudgetPolicy):
        return
    applies = policy.spec.applies_to
    if applies is not None:
        yield from _selected(document, applies, catalogue)
    targets = [name for kind, name in catalogue if kind == "AlertNotificationTarget"]
    for number, rule in enumerate(policy.spec.rules or ()):
        for index, name in enumerate(rule.notify):
            if name not in targets:
                message = _missing("AlertNotificationTarget", name, targets)
                yield document.problem(message, "spec", "rules", number, "notify", index)


def _selected(document: Document, applies: AppliesTo, catalogue: Catalogue) -> Iterator[Problem]:
    services = _services(catalogue)
    for number, name in enumerate(applies.services or ()):
        if name not in services:
            yield document.problem(
                _missing("service", name, services), "spec", "appliesTo", "services", number
            )
    teams = _teams(catalogue)
    for number, name in enumerate(applies.teams or ()):
        if name not in teams:
            yield document.problem(_missing("Team", name, teams), "spec", "appliesTo", "teams", number)
    slos = {one.name: one.spec for one in catalogue.values() if isinstance(one.spec, Slo)}
    for number, name in enumerate(applies.objectives or ()):
        if not _is_objective(name, slos, catalogue):
            known = [one for slo in slos.values() for one in _objective_names(slo, catalogue)]
            message = _missing("objective", name, {*known, *slos})
            yield document.problem(message, "spec", "appliesTo", "objectives", number)


def _services(catalogue: Catalogue) -> set[str]:
    known = {one.name for one in catalogue.values() if isinstance(one.spec, Service)}
    return known | {one.spec.spec.service for one in catalogue.values() if isinstance(one.spec, Slo)}


def _teams(catalogue: Catalogue) -> set[str]:
    """Those with a document, and those that only labels of SLOs name."""
    known = {one.name for one in catalogue.values() if isinstance(one.spec, Team)}
    for one in catalogue.values():
        if isinstance(one.spec, Slo):
            value = one.spec.metadata.labels.get("team", ())
            known.update([value] if isinstance(value, str) else value)
    return known


def _is_objective(name: str, slos: dict[str, Slo], catalogue: Catalogue) -> bool:
    slo = slos.get(name.partition(".")[0])
    if slo is None:
        return False
    if name in slos or slo.spec.group_by:  # the groups are known when samples come
        return True
    return name in _objective_names(slo, catalogue)


def _objective_names(slo: Slo, catalogue: Catalogue) -> list[str]:
    return [one.name for one in _objectives(slo, catalogue)]


def _objectives(slo: Slo, catalogue: Catalogue) -> list[Objective]:
    references = References(
        lambda kind, other: found.spec if (found := catalogue.get((kind, other))) is not None else None
    )
    try:
        return objectives_of(slo, references, _one_group, lambda _: None)
    except InvalidInput:  # a reference leads nowhere: the SLO is refused for that
        return []


def _one_group(objective: Objective, labels: Sequence[str]) -> list[tuple[str, ...]]:
    del objective
    return [tuple(labels)]


def _missing(noun: str, name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), 1, 0.6)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"there is no {noun} '{name}'; {hint}apply one of that name, with the policy or before it"


def referrer_of_exceptions(clock: Clock | None) -> Relation:
    """Finds services and policies of an exception that are not there; one that ended may outlive them."""

    def refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
        exception = document.spec
        if not isinstance(exception, PolicyException):
            return
        if clock is not None and instant_of(exception.spec.until) <= clock.now_ms():
            return
        services = _services(catalogue)
        for number, name in enumerate(exception.spec.services or ()):
            if name not in services:
                yield document.problem(_missing("service", name, services), "spec", "services", number)
        policies = [name for kind, name in catalogue if kind == "ErrorBudgetPolicy"]
        for number, name in enumerate(exception.spec.policies or ()):
            if name not in policies:
                message = _missing("ErrorBudgetPolicy", name, policies)
                yield document.problem(message, "spec", "policies", number)

    return refer


def adviser(clock: Clock | None) -> Relation:
    """Warns of policies that contradict each other or do nothing, and of exceptions that ended or last for long."""
    seen = _Seen()

    def advise(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
        match document.spec:
            case ErrorBudgetPolicy():
                yield from _policy_advice(document, *seen.of(catalogue))
            case PolicyException():
                yield from _exception_advice(document, document.spec, clock)
            case _:
                return

    return advise


class _Seen:
    """Policies and objectives of the catalogue that was looked at last: an apply asks for each of its documents."""

    def __init__(self) -> None:
        self._last: tuple[Catalogue, tuple[Policy, ...], list[Objective]] | None = None

    def of(self, catalogue: Catalogue) -> tuple[tuple[Policy, ...], list[Objective]]:
        last = self._last
        if last is None or last[0] is not catalogue:
            documents = catalogue.values()
            last = catalogue, policies_of(documents), resolve(documents, _one_group, lambda _: None)
            self._last = last
        return last[1], last[2]


def _exception_advice(
    document: Document, exception: PolicyException, clock: Clock | None
) -> Iterator[Problem]:
    if clock is None:
        return
    now_ms, until_ms = clock.now_ms(), instant_of(exception.spec.until)
    begin_ms = now_ms if exception.spec.from_ is None else max(now_ms, instant_of(exception.spec.from_))
    if until_ms <= now_ms:
        ago = spoken_duration((now_ms - until_ms) / 1000)
        message = (
            f"it ended {ago} ago ({rfc3339(until_ms)}) and has no effect; write a later instant, or delete it"
        )
        yield document.problem(message, "spec", "until")
    elif until_ms - begin_ms > _LONG_EXCEPTION_S * 1000:
        lasts = spoken_duration((until_ms - begin_ms) / 1000)
        message = f"it lasts {lasts}: what holds for that long is a rule; change the policy, or end it sooner"
        yield document.problem(message, "spec", "until")


def _policy_advice(
    document: Document, everything: Sequence[Policy], objectives: Sequence[Objective]
) -> Iterator[Problem]:
    own = next((one for one in everything if one.name == document.name), None)
    if own is None:
        return
    yield from _inside(document, own)
    rows = rows_of(own.selection, objectives)
    if not rows:
        yield document.problem(
            "no objective fits all that is written here, so the policy governs nothing at present; "
            "`setpoint slo list` shows services and labels",
            "spec",
            "appliesTo",
        )
    yield from _windows(document, own, [objectives[row] for row in rows])
    for other in everything:
        if other.name < own.name and (shared := set(rows) & set(rows_of(other.selection, objectives))):
            yield from _between(document, own, other, objectives[min(shared)])


def _inside(document: Document, policy: Policy) -> Iterator[Problem]:
    """Rules of one policy of which one makes the other pointless, or says the opposite."""
    for number, rule in enumerate(policy.rules):
        for index, other in enumerate(policy.rules):
            if index == number or not rule.releases or not other.releases:
                continue
            same = set(rule.when) == set(other.when)
            if same and index < number and rule.releases != other.releases:
                yield _problem_at(
                    document,
                    number,
                    f"the same condition as in '{other.name}' has another result ({rule.releases}, there "
                    f"{other.releases}); the stricter one counts: take one of them out",
                )
            elif not same and rule.strictness < other.strictness and _implies(rule, other):
                yield _problem_at(
                    document,
                    number,
                    f"has no effect on releases: whenever it holds, '{other.name}' holds, too, and is stricter "
                    f"({other.releases}); exchange what they do, or take it out",
                )


def _problem_at(document: Document, number: int, message: str) -> Problem:
    return document.problem(message, "spec", "rules", number)


def _implies(rule: Rule, other: Rule) -> bool:
    """Whether `other` holds whenever `rule` does: each of its conditions is met by a narrower one of `rule`."""
    return all(any(_is_within(mine, theirs) for mine in rule.when) for theirs in other.when)


def _is_within(mine: Condition, theirs: Condition) -> bool:
    if mine.kind != theirs.kind or mine.over_s != theirs.over_s:
        return False
    if mine.kind == "state":
        return set(mine.states) <= set(theirs.states)
    if mine.op in _LOOSER_IS_SMALLER:
        return mine.threshold <= theirs.threshold
    return mine.threshold >= theirs.threshold


def _between(document: Document, own: Policy, other: Policy, shared: Objective) -> Iterator[Problem]:
    """Two policies that look at one objective and say different things of one condition."""
    for number, rule in enumerate(own.rules):
        for theirs in other.rules:
            differs = rule.releases and theirs.releases and rule.releases != theirs.releases
            if differs and set(rule.when) == set(theirs.when):
                message = (
                    f"the policy '{other.name}' says otherwise of the same condition for {shared.name}: there "
                    f"{RELEASES[theirs.releases]}, here {RELEASES[rule.releases]}; the stricter one counts: let each "
                    "look at other objectives (appliesTo), or say the same"
                )
                yield document.problem(message, "spec", *(("rules", number) if not own.is_default else ()))


def _windows(document: Document, policy: Policy, objectives: Sequence[Objective]) -> Iterator[Problem]:
    """Conditions over more time than an objective's window has: what is older is not counted any more."""
    if policy.is_default:
        return
    for number, rule in enumerate(policy.rules):
        over_s = max((one.over_s for one in rule.when if one.kind in ("budgetSpent", "burnRate")), default=0)
        short = next((one for one in objectives if one.window_s < over_s), None)
        if short is not None:
            yield document.problem(
                f"looks at {spoken_duration(over_s)}, and the window of {short.name} has "
                f"{spoken_duration(short.window_s)}, which is what counts there; write a shorter 'over', or a "
                "longer window",
                "spec",
                "rules",
                number,
                "when",
            )
