"""What is wrong, or looks wrong, between an SLA and the other documents; `register` hands it on."""

from __future__ import annotations

from collections.abc import Iterator

from setpoint.errors import Problem
from setpoint.objective.sla.spec import Sla, SlaSpec
from setpoint.objective.spec.slo import Slo
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["advise_sla", "refer_sla"]


def refer_sla(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """Promises over objectives that nobody declares."""
    for number, promise in enumerate(_spec(document).objectives):
        found = catalogue.get(("SLO", promise.objective.partition(".")[0]))
        if found is None or not isinstance(found.spec, Slo):
            yield document.problem(
                f"there is no objective '{promise.objective}'; apply the SLO that declares it, with the SLA or before",
                "spec",
                "objectives",
                number,
                "objective",
            )


def advise_sla(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """A service that is not declared, promises that are tighter than what people watch, and none to pay for."""
    spec = _spec(document)
    if ("Service", spec.service) not in catalogue:
        yield document.problem(
            f"there is no Service '{spec.service}'; add one, so that it has a home", "spec", "service"
        )
    for number, promise in enumerate(spec.objectives):
        place = ("spec", "objectives", number)
        slo = catalogue.get(("SLO", promise.objective))
        targets = []
        if slo is not None and isinstance(slo.spec, Slo) and len(slo.spec.spec.objectives) == 1:
            entry = slo.spec.spec.objectives[0]
            targets = [float(entry.target)] if entry.target is not None else []
            targets += [float(entry.target_percent) / 100] if entry.target_percent is not None else []
        if targets and promise.ratio >= targets[0]:
            yield document.problem(
                f"{100 * promise.ratio:.10g} % is promised and the objective's own target is {100 * targets[0]:.10g} "
                "%: customers may claim before anybody is paged; promise less, or raise the objective's target",
                *place,
            )
        if not promise.credits and not spec.credits:
            yield document.problem(
                "no credits are written, so nothing is owed when it is broken; add credits", *place
            )


def _spec(document: Document) -> SlaSpec:
    assert isinstance(document.spec, Sla)
    return document.spec.spec
