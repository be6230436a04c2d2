"""The resource kind `PrometheusRule` of monitoring.coreos.com/v1, as the Prometheus Operator has it.

A manifest from a cluster is taken as it is: what Kubernetes adds to its metadata is read over. Its rules are evaluated
on Setpoint's own telemetry, or, with the annotation `setpoint/data-source: NAME`, by the server behind that DataSource.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from setpoint.alert.from_promql import metrics_read
from setpoint.alert.rules.declared import Declared
from setpoint.alert.rules.read import read_groups
from setpoint.alert.rules.rule import RecordingRule, RuleGroup
from setpoint.errors import Problem
from setpoint.resource import Document, Part, Registry
from setpoint.resource.fields import Fields
from setpoint.resource.read import Source
from setpoint.resource.registry import Catalogue

__all__ = ["API_VERSION", "DATA_SOURCE", "PrometheusRuleKind", "declared_by", "register"]

API_VERSION: Final = "monitoring.coreos.com/v1"
DATA_SOURCE: Final = "setpoint/data-source"
"""The annotation that names the DataSource on which the rules are evaluated."""

_KIND = "PrometheusRule"
_IGNORED = ("partial_response_strategy",)
_ALERT_METRICS = frozenset({"ALERTS", "ALERTS_FOR_STATE"})


class _AsWritten(Part):
    """The Operator's fields are written with underscores, as in rule files."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=None, populate_by_name=True)


class _RuleMetadata(Part):
    """Kubernetes's metadata: what it adds to a manifest that was applied to a cluster is read over."""

    name: str = Field(description="The name; the rules' groups belong to `PrometheusRule/NAME`.")
    namespace: str = Field(default="", description="The namespace in the cluster; it means nothing here.")
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of the resource, not of its alerts."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict,
        description="`setpoint/data-source: NAME` has the rules evaluated by the server behind that DataSource; "
        "others mean nothing here.",
    )
    creation_timestamp: Any = Field(default=None, description="Kubernetes's; read over.")
    generation: Any = Field(default=None, description="Kubernetes's; read over.")
    resource_version: Any = Field(default=None, description="Kubernetes's; read over.")
    self_link: Any = Field(default=None, description="Kubernetes's; read over.")
    uid: Any = Field(default=None, description="Kubernetes's; read over.")
    managed_fields: Any = Field(default=None, description="Kubernetes's; read over.")
    owner_references: Any = Field(default=None, description="Kubernetes's; read over.")
    finalizers: Any = Field(default=None, description="Kubernetes's; read over.")


class _Rule(_AsWritten):
    record: str = Field(
        default="", description="The metric that a recording rule makes; either this or `alert`."
    )
    alert: str = Field(
        default="", description="The name of the alerts that the rule makes; either this or `record`."
    )
    expr: str | int = Field(
        description="A PromQL expression; each series that it answers is recorded, or an alert."
    )
    for_: str = Field(
        default="",
        alias="for",
        description="How long a series must be there before its alert fires, such as 5m.",
    )
    keep_firing_for: str = Field(
        default="", description="How long an alert goes on firing after its series is gone, such as 10m."
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels that are set; in alerts they are templates."
    )
    annotations: dict[str, str] = Field(
        default_factory=dict,
        description="Templates that describe an alert, such as summary, description and runbook_url.",
    )


class _Group(_AsWritten):
    name: str = Field(description="The group's name, unique in its resource.")
    interval: str = Field(default="", description="How often it is evaluated; 1m when it is not said.")
    query_offset: str = Field(
        default="", description="How far before the instant of the evaluation its queries look, such as 30s."
    )
    limit: int = Field(
        default=0,
        ge=0,
        description="How many alerts or series a rule may make, or it fails; 0 sets no limit.",
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="Labels of all its rules; those of a rule come before them."
    )
    partial_response_strategy: str = Field(default="", description="Thanos's; read over.")
    rules: list[_Rule] = Field(
        default_factory=list, description="Evaluated in order; later ones see what earlier ones recorded."
    )


class _RulesSpec(_AsWritten):
    groups: list[_Group] = Field(default_factory=list, description="Groups of rules, each with an interval.")


class PrometheusRuleKind(Part):
    """Prometheus's recording and alerting rules, evaluated by Setpoint."""

    api_version: Literal["monitoring.coreos.com/v1"] = API_VERSION
    kind: Literal["PrometheusRule"] = "PrometheusRule"
    metadata: _RuleMetadata
    spec: _RulesSpec = Field(description="What a rule file of Prometheus holds.")
    status: Any = Field(default=None, description="Kubernetes's; read over.")


def declared_by(document: Document) -> list[Declared]:
    """The groups of a document; none of another kind."""
    kind = document.spec
    if not isinstance(kind, PrometheusRuleKind):
        return []
    data_source = kind.metadata.annotations.get(DATA_SOURCE, "")
    groups, _ = _read(document)
    return [Declared(group, data_source) for group in groups]


def register(registry: Registry) -> None:
    """Add `PrometheusRule` of monitoring.coreos.com/v1."""
    registry.register(API_VERSION, _KIND, PrometheusRuleKind, check=_check, references=_refer)


def _read(document: Document) -> tuple[tuple[RuleGroup, ...], list[Problem]]:
    source = Source(document.file or "", document.line or 0, document.body, dict(document.lines))
    fields = Fields(source, ("spec",), document.body.get("spec") or {}, [])
    return read_groups(fields, f"{_KIND}/{document.name}", ignored=_IGNORED), fields.problems


def _check(document: Document) -> Iterator[Problem]:
    kind = document.spec
    assert isinstance(kind, PrometheusRuleKind)
    groups, problems = _read(document)
    yield from problems
    if kind.metadata.annotations.get(DATA_SOURCE):
        for place, group in enumerate(groups):
            yield from _divided(document, place, group)


def _divided(document: Document, place: int, group: RuleGroup) -> Iterator[Problem]:
    """Rules that would need the data of two servers at once."""
    here = _ALERT_METRICS | {rule.name for rule in group.rules if isinstance(rule, RecordingRule)}
    for number, rule in enumerate(group.rules):
        reads = metrics_read(rule.node) or frozenset()
        if reads & here and reads - here:
            mine, theirs = min(reads & here), min(reads - here)
            yield document.problem(
                f"{mine} is recorded here and {theirs} is at the data source; a rule reads from one of both: record "
                f"{theirs}, too, by a rule before this one",
                *("spec", "groups", place, "rules", number, "expr"),
            )


def _refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    kind = document.spec
    assert isinstance(kind, PrometheusRuleKind)
    name = kind.metadata.annotations.get(DATA_SOURCE)
    if name and ("DataSource", name) not in catalogue:
        message = f"there is no DataSource '{name}'; apply one of that name, with the rules or before them"
        yield document.problem(message, "metadata", "annotations", DATA_SOURCE)
