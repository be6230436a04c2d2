"""Asks of rules and policies, when they are applied, what a page must say (`actionable`).

A rule of a PrometheusRule that pages without an owner or a runbook is refused, with its line and what to add; what does
not page is warned of, a line for each kind of gap. So are policies of objectives: OpenSLO has no place that must hold a
runbook, and their owner is the team of the service. A rule file cannot be refused; `setpoint slo lint` tells of it.

Whether a team answers for a service is only warned of: else the first Team that somebody applies would be refused for
what others had applied before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from setpoint.alert.from_objective import AlertCondition, AlertPolicy, Ownership, Slo
from setpoint.alert.from_promql import parse
from setpoint.alert.quality.actionable import Gap, Owners, labels_given, missing, pages
from setpoint.alert.quality.severity import is_paging
from setpoint.alert.rules.spec import PrometheusRuleKind
from setpoint.errors import InvalidInput, Problem
from setpoint.resource import Document, Registry
from setpoint.resource.registry import Catalogue

__all__ = ["given_by", "owners_of", "register"]

_Place = tuple[str | int, ...]


def register(registry: Registry) -> None:
    """Look at the rules and policies that are registered."""
    registry.relate("PrometheusRule", references=_refuse, advice=_advise_rules)
    registry.relate("AlertPolicy", advice=_advise_policy)


def owners_of(ownership: Ownership) -> Owners:
    """Who answers for which service."""
    return Owners(bool(ownership.teams), ownership.owners)


def given_by(expr: str) -> frozenset[str]:
    """The labels that an expression brings; none where it cannot be read, which others tell."""
    try:
        return labels_given(parse(expr))
    except InvalidInput:
        return frozenset()


def _rules(document: Document) -> Iterator[tuple[_Place, str, Mapping[str, str], Mapping[str, str], str]]:
    """The alerting rules: place, name, labels with those of the group, annotations, expression."""
    kind = document.spec
    assert isinstance(kind, PrometheusRuleKind)
    for number, group in enumerate(kind.spec.groups):
        for index, rule in enumerate(group.rules):
            if rule.alert:
                place = ("spec", "groups", number, "rules", index)
                yield place, rule.alert, {**group.labels, **rule.labels}, rule.annotations, str(rule.expr)


def _gaps(labels: Mapping[str, str], annotations: Mapping[str, str], expr: str, owners: Owners) -> list[Gap]:
    """The gaps of a rule; its expression is read only where it could fill one."""
    found = missing(labels, annotations, expr, owners)
    if any(one.what in ("owner", "severity") for one in found):
        found = missing(labels, annotations, expr, owners, given_by(expr))
    return found


def _refuse(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    del catalogue
    for place, name, labels, notes, expr in _rules(document):
        if pages(labels):
            for gap in _gaps(labels, notes, expr, Owners()):
                message = (
                    f"the alert {name} pages (severity {labels['severity']}) and {gap.message}; {gap.remedy}"
                )
                yield document.problem(message, *place, *gap.place)


def _advise_rules(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    owners = owners_of(Ownership.of(one.spec for one in catalogue.values()))
    gathered: dict[tuple[str, str], list[tuple[_Place, str]]] = {}
    for place, name, labels, notes, expr in _rules(document):
        refused = {gap.message for gap in _gaps(labels, notes, expr, Owners())} if pages(labels) else set()
        for gap in _gaps(labels, notes, expr, owners):
            if gap.message not in refused and gap.what != "query":
                gathered.setdefault((gap.message, gap.remedy), []).append(((*place, *gap.place), name))
    for (message, remedy), cases in gathered.items():
        place, name = cases[0]
        of_all = f"the alert {name}" if len(cases) == 1 else f"the alert {name} (and {len(cases) - 1} more)"
        yield document.problem(f"{of_all} {message}; {remedy}", *place)


def _advise_policy(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    policy = document.spec
    assert isinstance(policy, AlertPolicy)
    if not any(is_paging(severity) for severity in _severities(policy, catalogue)):
        return
    annotations = policy.metadata.annotations
    gaps = missing({"severity": "page", "team": "-"}, annotations, "-", Owners())
    for gap in gaps:
        yield document.problem(
            f"it pages and {gap.message}; {gap.remedy.replace('the annotation ', 'metadata.annotations.')}",
            "metadata",
            "annotations",
        )
    ownership = Ownership.of(one.spec for one in catalogue.values())
    unowned = sorted(
        {
            one.spec.spec.service
            for one in catalogue.values()
            if isinstance(one.spec, Slo)
            and ownership.teams
            and one.spec.spec.service not in ownership.owners
            and "team" not in one.spec.metadata.labels
            and any(entry.alert_policy_ref == document.name for entry in one.spec.spec.alert_policies or ())
        }
    )
    if unowned:
        yield document.problem(
            f"it pages for {', '.join(unowned[:5])}, and no team answers for {'it' if len(unowned) == 1 else 'them'}; "
            "add the service to a Team",
            "metadata",
            "name",
        )


def _severities(policy: AlertPolicy, catalogue: Catalogue) -> Iterator[str]:
    for entry in policy.spec.conditions:
        if entry.spec is not None:
            yield entry.spec.severity
        elif entry.condition_ref is not None:
            found = catalogue.get(("AlertCondition", entry.condition_ref))
            if found is not None and isinstance(found.spec, AlertCondition):
                yield found.spec.spec.severity
