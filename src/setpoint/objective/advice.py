"""What is allowed in a document and looks wrong: `apply` warns of it and goes on. `register` hands it on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from setpoint.errors import InvalidInput, Problem
from setpoint.objective.alerting.checks import faults
from setpoint.objective.dependencies import Dependencies
from setpoint.objective.model import Objective
from setpoint.objective.resolve import References, objectives_of
from setpoint.objective.spec.alert import AlertCondition, AlertPolicy, ConditionSpec
from setpoint.objective.spec.service import Service
from setpoint.objective.spec.slo import Slo
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["advise"]

_Place = tuple[str | int, ...]

_HOLD_WHEN_WELL = {
    "burnrate": (("lt", "lte"), "the budget goes slowly", "gte"),
    "budgetDrop": (("lt", "lte"), "little of the budget went", "gte"),
    "timeToExhaustion": (("gt", "gte"), "the budget lasts long", "lte"),
    "remainingBudget": (("gt", "gte"), "much of the budget is left", "lte"),
}


def advise(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Problems of a `document` among all documents that would be live after the apply."""
    match document.spec:
        case Slo():
            yield from _slo(document, document.spec, catalogue)
        case Service():
            yield from _service(document, document.spec, catalogue)
        case AlertCondition():
            yield from _condition(document, document.spec.spec, ("spec",))
        case AlertPolicy():
            for number, entry in enumerate(document.spec.spec.conditions):
                if entry.spec is not None:
                    yield from _condition(document, entry.spec, ("spec", "conditions", number, "spec"))
            yield from _for_others(document, document.spec, catalogue)
        case _:
            return


def _service(document: Document, service: Service, catalogue: Catalogue) -> Iterator[Problem]:
    """Dependencies that nobody declares, and circles of them: both may be so, and mostly are mistakes."""
    for number, name in enumerate(service.spec.depends_on):
        if ("Service", name) not in catalogue:
            message = (
                f"there is no Service '{name}'; add one, or correct the name: until then it explains nothing"
            )
            yield document.problem(message, "spec", "dependsOn", number)
    if service.spec.depends_on:
        others = Dependencies.behind(
            service, lambda name: getattr(catalogue.get(("Service", name)), "spec", None)
        )
        circle = others.cycle(service.metadata.name)
        if circle:
            message = f"services depend on each other in a circle ({' → '.join(circle)}); each counts once"
            yield document.problem(message, "spec", "dependsOn")


def _slo(document: Document, slo: Slo, catalogue: Catalogue) -> Iterator[Problem]:
    spec = slo.spec
    if ("Service", spec.service) not in catalogue:
        message = (
            f"there is no Service '{spec.service}'; add one, so that its objectives and events have a home"
        )
        yield document.problem(message, "spec", "service")
    if "time_window" not in spec.model_fields_set:
        message = "timeWindow is left out, and 30 days that roll are taken; write [{duration: 30d, isRolling: true}]"
        yield document.problem(message, "spec")
    for number, policy in enumerate(spec.alert_policies or ()):
        for index, entry in enumerate(policy.spec.conditions if policy.spec is not None else ()):
            if entry.spec is not None:
                place = ("spec", "alertPolicies", number, "spec", "conditions", index, "spec")
                yield from _condition(document, entry.spec, place)
    for told in _policy_faults(slo, catalogue):
        yield document.problem(told, "spec", "alertPolicies")


def _policy_faults(slo: Slo, catalogue: Catalogue, name: str = "") -> Iterator[str]:
    """What is wrong with the policies of an SLO (only with the policy `name`, where it is given)."""
    references = References(
        lambda kind, other: found.spec if (found := catalogue.get((kind, other))) is not None else None
    )
    told = set()
    try:
        objectives = objectives_of(slo, references, _one_group, lambda _: None)
    except InvalidInput:  # a reference leads nowhere: `references` refuses that
        return
    for objective in objectives:
        for policy in objective.policies or ():
            found = faults(objective, policy) if name in ("", policy.name) else []
            yield from (fault for fault in found if fault not in told)
            told.update(found)


def _for_others(document: Document, policy: AlertPolicy, catalogue: Catalogue) -> Iterator[Problem]:
    """What is wrong with a policy for the SLOs that refer to it; the first of them says it."""
    name = policy.metadata.name
    for other in catalogue.values():
        if isinstance(other.spec, Slo) and any(
            entry.alert_policy_ref == name for entry in other.spec.spec.alert_policies or ()
        ):
            found = list(_policy_faults(other.spec, catalogue, name))
            for told in found:
                yield document.problem(f"of the SLO '{other.name}': {told}", "spec", "conditions")
            if found:
                return


def _one_group(objective: Objective, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """Some group: the policies of each are the same."""
    del objective
    return [tuple(labels)]


def _condition(document: Document, spec: ConditionSpec, place: _Place) -> Iterator[Problem]:
    """A condition that holds while all is well, as in some of OpenSLO's own examples."""
    ops, when, instead = _HOLD_WHEN_WELL[spec.condition.kind]
    if spec.condition.op in ops:
        message = (
            f"'{spec.condition.op}' holds while {when}, so this fires when all is well; op: {instead} is meant, "
            "most likely"
        )
        yield document.problem(message, *place, "condition", "op")
