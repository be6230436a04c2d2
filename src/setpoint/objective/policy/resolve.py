"""From documents to policies and exceptions, and which objectives a policy looks at.

The board calls it whenever resources change. The default rules are the SRE workbook's example of an error budget policy
(sre.google/workbook/error-budget-policy): only fixes and security changes while more is spent than four weeks allow,
until the service is back within its objective; a postmortem when a single incident spent over 20 % of the budget.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from setpoint.objective.duration import parse_duration
from setpoint.objective.model import Objective, Target
from setpoint.objective.ownership import Ownership
from setpoint.objective.policy import spec
from setpoint.objective.policy.model import Condition, Policy, PolicyException, Rule, Selection
from setpoint.objective.resolve import Declared
from setpoint.objective.spec.alert import AlertNotificationTarget

__all__ = ["DEFAULT_RULES", "conditions_of", "exceptions_of", "policies_of", "rows_of", "rules_of"]

_FOUR_WEEKS_S: Final = 28 * 86_400

DEFAULT_RULES: Final = (
    Rule(
        name="budget-exceeded",
        when=(Condition("budgetSpent", ">=", 1.0, _FOUR_WEEKS_S),),
        until=(Condition("budgetSpent", "<", 1.0, _FOUR_WEEKS_S),),
        releases="fixesOnly",
        description="The SRE workbook's example: all changes but fixes and security changes wait until the service is "
        "back within its objective.",
    ),
    Rule(
        name="costly-incident",
        when=(Condition("incidentSpent", ">", 0.2, _FOUR_WEEKS_S),),
        postmortem=True,
        description="The SRE workbook's example: one incident that spends over 20 % of the budget needs a postmortem.",
    ),
)


def policies_of(documents: Iterable[Declared]) -> tuple[Policy, ...]:
    """Every policy among the documents, by name."""
    specs = [document.spec for document in documents]
    targets = {one.metadata.name: one for one in specs if isinstance(one, AlertNotificationTarget)}
    ownership = Ownership.of(specs)
    found = [_policy(one, targets, ownership) for one in specs if isinstance(one, spec.ErrorBudgetPolicy)]
    return tuple(sorted(found, key=lambda policy: policy.name))


def exceptions_of(documents: Iterable[Declared]) -> tuple[PolicyException, ...]:
    """Every exception among the documents, by name; also those that ended."""
    found = [
        _exception(document.spec) for document in documents if isinstance(document.spec, spec.PolicyException)
    ]
    return tuple(sorted(found, key=lambda exception: exception.name))


def rows_of(selection: Selection, objectives: Sequence[Objective]) -> list[int]:
    """Which of these objectives a selection means. The parts of a composite are meant where they are named: else the
    composite speaks for them, as in alerts.
    """
    parts = {part.objective for one in objectives for part in one.parts}
    named = selection.objectives or frozenset()
    return [
        at
        for at, one in enumerate(objectives)
        if _is_meant(selection, one) and (one.name not in parts or one.name in named)
    ]


def _is_meant(selection: Selection, objective: Objective) -> bool:
    if selection.services is not None and objective.service not in selection.services:
        return False
    if selection.teams is not None and not selection.teams.intersection(objective.labels.get("team", ())):
        return False
    if selection.objectives is not None and not selection.objectives.intersection(
        (objective.name, objective.slo)
    ):
        return False
    return all(values.intersection(objective.labels.get(name, ())) for name, values in selection.labels)


def _policy(
    document: spec.ErrorBudgetPolicy, targets: dict[str, AlertNotificationTarget], teams: Ownership
) -> Policy:
    rules = rules_of(document)
    named = dict.fromkeys(name for rule in rules for name in rule.notify)
    return Policy(
        name=document.metadata.name,
        rules=rules,
        ignores_no_data=document.spec.no_data == "ignore",
        display_name=document.metadata.display_name,
        description=document.spec.description,
        selection=_selection(document.spec.applies_to, teams),
        targets=tuple(_target(targets[name]) for name in named if name in targets),
        is_default=document.spec.rules is None,
    )


def _target(document: AlertNotificationTarget) -> Target:
    one = document.spec
    kind = "webhook" if one.is_webhook else one.target
    return Target(document.metadata.name, kind, one.url or "", one.secret_file or "")


def _selection(given: spec.AppliesTo | None, ownership: Ownership) -> Selection:
    if given is None:
        return Selection()
    teams = None
    if given.teams is not None:
        # A label may name a team for which there is no document.
        teams = frozenset(part for team in given.teams for part in (team, *ownership.parts_of(team)))
    labels = {
        name: frozenset([value] if isinstance(value, str) else value)
        for name, value in (given.labels or {}).items()
    }
    return Selection(
        services=None if given.services is None else frozenset(given.services),
        teams=teams,
        labels=tuple(sorted(labels.items())),
        objectives=None if given.objectives is None else frozenset(given.objectives),
    )


def rules_of(document: spec.ErrorBudgetPolicy) -> tuple[Rule, ...]:
    """The rules of a policy: its own, or the default ones."""
    if document.spec.rules is None:
        return DEFAULT_RULES
    return tuple(
        Rule(
            name=one.name,
            when=conditions_of(one.when),
            until=conditions_of(one.until),
            releases=one.releases or "",
            notify=tuple(dict.fromkeys(one.notify)),
            postmortem=one.postmortem,
            description=one.description,
        )
        for one in document.spec.rules
    )


def conditions_of(given: Sequence[spec.When | spec.Until]) -> tuple[Condition, ...]:
    """The conditions of a rule as the model has them."""
    return tuple(_when(one) if isinstance(one, spec.When) else _until(one) for one in given)


def _when(one: spec.When) -> Condition:
    found: Condition | None = None
    if one.remaining_budget is not None:
        found = Condition("remainingBudget", "<=", one.remaining_budget.at_most)
    elif one.budget_spent is not None:
        found = Condition(
            "budgetSpent", ">=", one.budget_spent.at_least, parse_duration(one.budget_spent.over)
        )
    elif one.burn_rate is not None:
        found = Condition("burnRate", ">", one.burn_rate.above, parse_duration(one.burn_rate.over))
    elif one.time_to_exhaustion is not None:
        found = Condition("timeToExhaustion", "<", parse_duration(one.time_to_exhaustion.below))
    elif one.no_data is not None:
        found = Condition("noData", ">=", parse_duration(one.no_data.lasting))
    elif one.open_incidents is not None:
        found = Condition("openIncidents", ">=", one.open_incidents.at_least)
    elif one.incident_spent is not None:
        within_s = parse_duration(one.incident_spent.within)
        found = Condition("incidentSpent", ">", one.incident_spent.above, within_s)
    return found or Condition("state", "in", states=tuple(one.state or ()))


def _until(one: spec.Until) -> Condition:
    found: Condition | None = None
    if one.remaining_budget is not None:
        found = Condition("remainingBudget", ">=", one.remaining_budget.at_least)
    elif one.budget_spent is not None:
        found = Condition("budgetSpent", "<", one.budget_spent.below, parse_duration(one.budget_spent.over))
    elif one.burn_rate is not None:
        found = Condition("burnRate", "<", one.burn_rate.below, parse_duration(one.burn_rate.over))
    elif one.open_incidents is not None:
        found = Condition("openIncidents", "<=", one.open_incidents.at_most)
    elif one.in_force_for is not None:
        found = Condition("inForceFor", ">=", parse_duration(one.in_force_for))
    return found or Condition("state", "in", states=tuple(one.state or ()))


def _exception(document: spec.PolicyException) -> PolicyException:
    given = document.spec
    return PolicyException(
        name=document.metadata.name,
        approved_by=given.approved_by,
        reason=given.reason,
        until_ms=spec.instant_of(given.until),
        from_ms=0 if given.from_ is None else spec.instant_of(given.from_),
        services=tuple(given.services or ()),
        policies=tuple(given.policies or ()),
        changes=tuple(given.changes or ()),
        versions=tuple(given.versions or ()),
    )
