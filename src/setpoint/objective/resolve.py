"""From documents to objectives: references are followed, and a document that declares several is fanned out.

`book` calls `resolve` with every live document when one of them changes, and now and then for new groups. Names: one
objective of a document has the document's name; of several, each has `<slo>.<its displayName as a slug, else its
number>`; a group has the slugs of its labels' values behind that. A '.' cannot occur in a document's name, so none of
them clash. The parts of a composite are objectives of their own, which tell nobody: the composite does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from setpoint.errors import InvalidInput
from setpoint.objective.duration import parse_duration
from setpoint.objective.grouping import GROUPS_MAX, Discover, in_groups
from setpoint.objective.model import AlertPolicy as Policy
from setpoint.objective.model import Condition, LowTraffic, NoData, Objective, Part, Target
from setpoint.objective.ownership import Ownership
from setpoint.objective.spec.alert import (
    AlertCondition,
    AlertNotificationTarget,
    AlertPolicy,
    AlertPolicySpec,
    ConditionEntry,
    ConditionSpec,
    LowTrafficSpec,
    PolicyEntry,
    TargetEntry,
    TargetSpec,
)
from setpoint.objective.spec.fields import ratio_of
from setpoint.objective.spec.indicator import IndicatorSpec, Sli
from setpoint.objective.spec.names import entry_names
from setpoint.objective.spec.slo import ObjectiveEntry, Slo, SloSpec
from setpoint.resource import Metadata

__all__ = [
    "GROUPS_MAX",
    "Declared",
    "Discover",
    "References",
    "composite_target",
    "no_groups",
    "objectives_of",
    "resolve",
]

logger = logging.getLogger(__name__)

_REFERRED = (Sli, AlertPolicy, AlertCondition, AlertNotificationTarget)
_Kind = TypeVar("_Kind", Sli, AlertPolicy, AlertCondition, AlertNotificationTarget)


class Declared(Protocol):
    """What is needed of a resource document; its `spec` is the model of the whole document."""

    @property
    def spec(self) -> object: ...


def no_groups(objective: Objective, labels: Sequence[str]) -> list[tuple[str, ...]]:
    """A `Discover` that finds nothing."""
    del objective, labels
    return []


def resolve(
    documents: Iterable[Declared], discover: Discover, warn: Callable[[str], None] = logger.warning
) -> list[Objective]:
    """The objectives of all SLOs among `documents`, in their order; the other kinds are what SLOs refer to.

    An SLO that refers to something which is not among them is left out, and `warn` is told why: the store refuses
    such a state, but may hold a document that this version no longer reads.
    """
    specs = [document.spec for document in documents]
    by_name: dict[tuple[str, str], object] = {
        (spec.kind, spec.metadata.name): spec for spec in specs if isinstance(spec, _REFERRED)
    }
    references = References(lambda kind, name: by_name.get((kind, name)))
    owners = Ownership.of(specs).owners
    found: list[Objective] = []
    for spec in specs:
        if isinstance(spec, Slo):
            try:
                objectives = objectives_of(spec, references, discover, warn)
                found.extend(_of_team(one, owners) for one in objectives)
            except InvalidInput as error:
                warn(f"the SLO '{spec.metadata.name}' is not kept: {error.message}")
    return found


def _of_team(objective: Objective, owners: Mapping[str, str]) -> Objective:
    """With the owner of its service as the label `team`, where its document does not say another."""
    owner = owners.get(objective.service)
    if owner is None or "team" in objective.labels:
        return objective
    return replace(objective, labels={**objective.labels, "team": (owner,)})


def objectives_of(
    slo: Slo, references: References, discover: Discover, warn: Callable[[str], None] = logger.warning
) -> list[Objective]:
    """The objectives of one SLO, a composite before its parts. Raises InvalidInput when a reference leads nowhere."""
    return list(_Resolver(slo, references, discover, warn).objectives())


class References:
    """The documents that others refer to, each made into what the model has once."""

    def __init__(self, find: Callable[[str, str], object | None]) -> None:
        """`find` gives the model of a whole document by kind and name."""
        self._find = find
        self._resolved: dict[str, Policy] = {}

    def _get(self, kind: type[_Kind], name: str) -> _Kind:
        word = str(kind.model_fields["kind"].default)
        found = self._find(word, name)
        if not isinstance(found, kind):
            raise InvalidInput(f"there is no {word} '{name}'; apply one of that name")
        return found

    def indicator(self, name: str) -> IndicatorSpec:
        """The SLI of this name. Raises InvalidInput."""
        return self._get(Sli, name).spec

    def policy(self, entry: PolicyEntry, number: int) -> Policy:
        """The policy of an SLO's entry; one that many SLOs refer to is made once."""
        name = entry.alert_policy_ref
        if name is None:
            assert entry.spec is not None
            own = entry.metadata
            label = (own.name if own else "") or f"policy-{number}"
            return self._policy(
                label, own.display_name if own else "", entry.spec, own.annotations if own else {}
            )
        if name not in self._resolved:
            document = self._get(AlertPolicy, name)
            metadata = document.metadata
            self._resolved[name] = self._policy(
                name, metadata.display_name, document.spec, metadata.annotations
            )
        return self._resolved[name]

    def _policy(
        self, name: str, display_name: str, spec: AlertPolicySpec, annotations: Mapping[str, str]
    ) -> Policy:
        conditions = [self._condition(entry) for entry in spec.conditions]
        return Policy(
            name=name,
            severity=conditions[0][1].severity,
            conditions=tuple(_condition(label, one) for label, one in conditions),
            low_traffic=_low_traffic(spec.low_traffic),
            when_no_data=spec.alert_when_no_data,
            when_resolved=spec.alert_when_resolved,
            when_breaching=spec.alert_when_breaching,
            targets=tuple(
                self._target(entry, number) for number, entry in enumerate(spec.notification_targets, 1)
            ),
            display_name=display_name,
            description=spec.description,
            annotations=dict(annotations),
        )

    def _condition(self, entry: ConditionEntry) -> tuple[str, ConditionSpec]:
        if entry.spec is not None:
            return (entry.metadata.name if entry.metadata else ""), entry.spec
        name = entry.condition_ref or ""
        return name, self._get(AlertCondition, name).spec

    def _target(self, entry: TargetEntry, number: int) -> Target:
        if entry.spec is not None:
            name, spec = (entry.metadata.name if entry.metadata else "") or f"target-{number}", entry.spec
        else:
            name = entry.target_ref or ""
            spec = self._get(AlertNotificationTarget, name).spec
        return _target(name, spec)


class _Resolver:
    """The objectives of one SLO."""

    def __init__(
        self, slo: Slo, references: References, discover: Discover, warn: Callable[[str], None]
    ) -> None:
        self._slo, self._references = slo, references
        self._discover, self._warn = discover, warn

    def objectives(self) -> Iterator[Objective]:
        """In the order of the document; a composite before its parts."""
        spec, name = self._slo.spec, self._slo.metadata.name
        own = self._common()
        if spec.is_composite:
            yield from self._composite(own)
            return
        names = entry_names([entry.display_name for entry in spec.objectives])
        for entry, entry_name in zip(spec.objectives, names, strict=True):
            fields = own | self._entry(entry)
            if len(names) > 1:
                fields |= {
                    "name": f"{name}.{entry_name}",
                    "display_name": f"{own['display_name'] or name}: {entry.display_name or entry_name}",
                }
            yield from self._groups(Objective(**fields))

    def _common(self) -> dict[str, Any]:
        spec, metadata = self._slo.spec, self._slo.metadata
        window = spec.time_window[0]
        return {
            "name": metadata.name,
            "service": spec.service,
            "window_s": window.longest_s,
            "is_rolling": window.calendar is None,
            "calendar": window.of_calendar(),
            "display_name": metadata.display_name,
            "description": spec.description,
            "labels": _labels(metadata),
            "method": spec.budgeting_method,
            "no_data": _no_data(spec),
            "low_traffic": _low_traffic(spec.low_traffic),
            "policies": self._policies(),
            "slo": metadata.name,
        }

    def _policies(self) -> tuple[Policy, ...] | None:
        entries = self._slo.spec.alert_policies
        if entries is None:
            return None
        found: dict[str, Policy] = {}
        for number, entry in enumerate(entries, 1):
            policy = self._references.policy(entry, number)
            name = policy.name if policy.name not in found else f"{policy.name}-{number}"
            found[name] = policy if name == policy.name else replace(policy, name=name)
        return tuple(found.values())

    def _entry(self, entry: ObjectiveEntry) -> dict[str, Any]:
        """What an entry of `objectives` says, and what it counts."""
        spec = self._slo.spec
        inline, reference = (
            (entry.indicator, entry.indicator_ref)
            if entry.has_indicator
            else (spec.indicator, spec.indicator_ref)
        )
        indicator = inline.spec if inline is not None else self._references.indicator(reference or "")
        fields = {"target": entry.ratio, **_counted(indicator)}
        if indicator.is_threshold:
            if entry.op is None or entry.value is None:  # the SLI has changed since; `refer` tells it
                raise InvalidInput("its indicator is a thresholdMetric, and it has no op and value")
            fields |= {"op": entry.op, "value": float(entry.value)}
        return fields | _slices(entry)

    def _composite(self, own: dict[str, Any]) -> Iterator[Objective]:
        spec, name = self._slo.spec, self._slo.metadata.name
        names = entry_names([entry.display_name for entry in spec.objectives])
        parts = [
            Objective(
                **own
                | self._entry(entry)
                | {
                    "name": f"{name}.{entry_name}",
                    "display_name": f"{own['display_name'] or name}: {entry.display_name or entry_name}",
                    "policies": (),
                    "no_data": _untold(own["no_data"]),
                }
            )
            for entry, entry_name in zip(spec.objectives, names, strict=True)
        ]
        weights = [float(entry.composite_weight or 1) for entry in spec.objectives]
        slices: dict[str, Any] = (
            {} if spec.budgeting_method == "Occurrences" else {"slice_s": parts[0].slice_s}
        )
        if spec.budgeting_method == "Timeslices":
            slices["slice_target"] = 1.0
        whole = Objective(
            **own,
            **slices,
            target=composite_target(spec),
            total_query="",
            kind="composite",
            parts=tuple(Part(part.name, weight) for part, weight in zip(parts, weights, strict=True)),
            all_of=spec.is_all_of,
        )
        yield from self._groups(whole, *parts)

    def _groups(self, *declared: Objective) -> Iterator[Objective]:
        labels = self._slo.spec.group_by
        if labels is None:
            yield from declared
        else:
            yield from in_groups(declared, labels, self._discover, self._warn)


def composite_target(spec: SloSpec) -> float:
    """The target of a composite: what it says, else the weighted mean of its parts', for "all of" the lowest."""
    said = spec.composite
    if said is not None and (said.target is not None or said.target_percent is not None):
        return ratio_of(said.target, said.target_percent)
    targets = [entry.ratio for entry in spec.objectives]
    if spec.is_all_of:
        return min(targets)
    weights = [float(entry.composite_weight or 1) for entry in spec.objectives]
    mean = sum(weight * target for weight, target in zip(weights, targets, strict=True)) / sum(weights)
    return round(mean, 12)  # 0.99 and 0.999 make 0.9945, not 0.9944999999999999


def _counted(indicator: IndicatorSpec) -> dict[str, Any]:
    """The fields of an Objective that say what is counted."""
    if indicator.threshold_metric is not None:
        source = indicator.threshold_metric.metric_source
        return {"kind": "threshold", "total_query": source.text, "is_counter": False} | _from(source)
    ratio = indicator.ratio_metric
    assert ratio is not None
    if ratio.raw is not None:
        source = ratio.raw.metric_source
        fields = {"kind": "raw", "total_query": source.text, "is_counter": False}
        return fields | _from(source) | {"raw_is_failure": ratio.raw_type == "failure"}
    assert ratio.total is not None
    return {
        "kind": "ratio",
        "total_query": ratio.total.metric_source.text,
        "good_query": ratio.good.metric_source.text if ratio.good else None,
        "bad_query": ratio.bad.metric_source.text if ratio.bad else None,
        "is_counter": bool(ratio.counter),
    } | _from(ratio.total.metric_source)


def _from(source: Any) -> dict[str, Any]:
    return {"engine": source.engine, "source": source.source}


def _slices(entry: ObjectiveEntry) -> dict[str, Any]:
    if entry.slice_s is None:
        return {}
    target = entry.time_slice_target
    return {"slice_s": entry.slice_s, "slice_target": None if target is None else float(target)}


def _labels(metadata: Metadata) -> dict[str, tuple[str, ...]]:
    return {
        key: (values,) if isinstance(values, str) else tuple(values)
        for key, values in metadata.labels.items()
    }


def _no_data(spec: SloSpec) -> NoData:
    if spec.no_data is None:
        return NoData()
    after = spec.no_data.after
    return NoData(spec.no_data.action, None if after is None else parse_duration(after))


def _untold(no_data: NoData) -> NoData:
    """The silence of a part is told by its composite."""
    return replace(no_data, action="ignore") if no_data.action == "alert" else no_data


def _low_traffic(spec: LowTrafficSpec | None) -> LowTraffic:
    return LowTraffic() if spec is None else LowTraffic(spec.min_events, spec.min_bad)


def _condition(name: str, spec: ConditionSpec) -> Condition:
    one = spec.condition
    return Condition(one.kind, one.op, one.threshold_number, one.lookback_s, one.after_s, name)


def _target(name: str, spec: TargetSpec) -> Target:
    """`secret` is the name of the file that holds it, read when an alert is sent."""
    kind = "webhook" if spec.is_webhook else spec.target
    return Target(name, kind, spec.url or "", spec.secret_file or "")
