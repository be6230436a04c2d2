"""What a document refers to and would not be there after an apply, or would not fit: refused, with line and reason.

`register` gives `refer` to the registry. It is asked again for every document that stays, so that none can be deleted
or changed that another one needs.
"""

from __future__ import annotations

from collections.abc import Iterator

from setpoint.errors import Problem
from setpoint.objective.duration import spoken_duration
from setpoint.objective.spec.alert import (
    AlertCondition,
    AlertPolicy,
    AlertPolicySpec,
    ConditionSpec,
    severity_fault,
)
from setpoint.objective.spec.indicator import IndicatorSpec, Sli
from setpoint.objective.spec.slo import Slo, entry_faults
from setpoint.resource import Document
from setpoint.resource.registry import Catalogue

__all__ = ["refer"]

_Place = tuple[str | int, ...]


def refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    """The faults between a `document` and the others; `catalogue` is every document after the apply."""
    match document.spec:
        case Slo():
            yield from _Slo(document, document.spec, catalogue).problems()
        case Sli():
            yield from _sources(document, document.spec.spec, ("spec",), catalogue)
        case AlertPolicy():
            yield from _policy(document, document.spec.spec, ("spec",), catalogue)
        case _:
            return


class _Slo:
    def __init__(self, document: Document, slo: Slo, catalogue: Catalogue) -> None:
        self._document, self._spec, self._catalogue = document, slo.spec, catalogue

    def problems(self) -> Iterator[Problem]:
        for place, indicator, reference in self._spec.indicators():
            if indicator is not None:
                inside = ("spec", *place, "indicator", "spec")
                yield from _sources(self._document, indicator.spec, inside, self._catalogue)
            elif reference is not None:
                yield from self._referenced(("spec", *place, "indicatorRef"), place, reference)
        for number, entry in enumerate(self._spec.alert_policies or ()):
            place = ("spec", "alertPolicies", number)
            if entry.spec is not None:
                yield from _policy(self._document, entry.spec, (*place, "spec"), self._catalogue)
                yield from self._lookbacks(entry.spec, (*place, "spec"))
            elif entry.alert_policy_ref is not None:
                found = self._catalogue.get(("AlertPolicy", entry.alert_policy_ref))
                if found is None or not isinstance(found.spec, AlertPolicy):
                    yield _missing(
                        self._document, "AlertPolicy", entry.alert_policy_ref, (*place, "alertPolicyRef")
                    )
                else:
                    yield from self._lookbacks(found.spec.spec, (*place, "alertPolicyRef"))

    def _referenced(self, place: _Place, at: _Place, name: str) -> Iterator[Problem]:
        found = self._catalogue.get(("SLI", name))
        if found is None or not isinstance(found.spec, Sli):
            yield _missing(self._document, "SLI", name, place)
            return
        told: set[str] = set()
        for number, entry in enumerate(self._spec.objectives):
            if at and at[-1] != number:
                continue
            for below, sentence in entry_faults(self._spec, entry, found.spec.spec):
                if below[:1] == ("groupBy",) and sentence in told:
                    continue
                told.add(sentence)
                inside = below if below[:1] == ("groupBy",) else ("objectives", number, *below)
                yield self._document.problem(f"{sentence} (the SLI '{name}')", "spec", *inside)

    def _lookbacks(self, spec: AlertPolicySpec, place: _Place) -> Iterator[Problem]:
        """Conditions that look back further than the window: what is older is not counted any more."""
        window = self._spec.time_window[0]
        for condition in _conditions(spec, self._catalogue):
            back_s = condition.condition.lookback_s
            if back_s > window.longest_s:
                yield self._document.problem(
                    f"a condition looks back {spoken_duration(back_s)}, and the window has {window.duration}; write a "
                    "shorter lookbackWindow",
                    *place,
                )


def _conditions(spec: AlertPolicySpec, catalogue: Catalogue) -> Iterator[ConditionSpec]:
    """The conditions of a policy that are there."""
    for entry in spec.conditions:
        if entry.spec is not None:
            yield entry.spec
        else:
            found = catalogue.get(("AlertCondition", entry.condition_ref or ""))
            if found is not None and isinstance(found.spec, AlertCondition):
                yield found.spec.spec


def _policy(
    document: Document, spec: AlertPolicySpec, place: _Place, catalogue: Catalogue
) -> Iterator[Problem]:
    for number, condition in enumerate(spec.conditions):
        name = condition.condition_ref
        if name is not None and ("AlertCondition", name) not in catalogue:
            at = (*place, "conditions", number, "conditionRef")
            yield _missing(document, "AlertCondition", name, at)
    for number, target in enumerate(spec.notification_targets):
        name = target.target_ref
        if name is not None and ("AlertNotificationTarget", name) not in catalogue:
            at = (*place, "notificationTargets", number, "targetRef")
            yield _missing(document, "AlertNotificationTarget", name, at)
    if any(entry.condition_ref is not None for entry in spec.conditions):
        sentence = severity_fault(list(_conditions(spec, catalogue)))
        if sentence:
            yield document.problem(sentence, *place, "conditions")


def _sources(
    document: Document, spec: IndicatorSpec, place: _Place, catalogue: Catalogue
) -> Iterator[Problem]:
    told: set[str] = set()
    for at, source in reversed(list(spec.sources())):  # the total stands for all, as they have one source
        if source.source and source.source not in told and ("DataSource", source.source) not in catalogue:
            told.add(source.source)
            yield _missing(document, "DataSource", source.source, (*place, *at, "metricSourceRef"))


def _missing(document: Document, kind: str, name: str, place: _Place) -> Problem:
    message = f"there is no {kind} '{name}'; apply one of that name, with the {document.kind} or before it"
    return document.problem(message, *place)
