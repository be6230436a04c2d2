"""What a page must say to be worth waking somebody: whose it is, how urgent, what to do, and which query said so.

Pure: `missing` looks at one alert as it is declared. `require` asks it of rules and policies when they are applied, and
`found` of what is kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from setpoint.alert.from_promql import (
    Aggregation,
    Binary,
    Call,
    LabelMatcher,
    MatrixSelector,
    Node,
    Subquery,
    Unary,
    VectorSelector,
)
from setpoint.alert.quality.severity import is_paging

__all__ = ["RUNBOOKS", "Gap", "Owners", "labels_given", "missing", "pages"]

RUNBOOKS = ("runbook_url", "runbook")
"""Annotations that name a runbook."""

_OWNERS = ("team", "owner")
_URL = re.compile(r"https?://[^\s/]+\S*")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_KEEPS_ALL = ("topk", "bottomk", "limitk", "limit_ratio")
_TAKES_LABEL = ("label_replace", "label_join")


@dataclass(frozen=True, slots=True)
class Gap:
    """What an alert does not say; `place` is where it belongs, such as ("annotations", "runbook_url")."""

    what: Literal["owner", "severity", "runbook", "query"]
    message: str
    remedy: str
    place: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Owners:
    """Which team answers for which service; where there are no teams at all, a service is owner enough."""

    has_teams: bool = False
    by_service: Mapping[str, str] = field(default_factory=dict)


def missing(
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    expr: str,
    owners: Owners,
    given: frozenset[str] = frozenset(),
) -> list[Gap]:
    """The gaps of an alert with these labels and annotations, which may be templates; `given` are labels that its
    expression brings. Whether it pages is for the caller: without a severity nobody knows.
    """
    found = []
    if not labels.get("severity", "").strip() and "severity" not in given:
        found.append(
            Gap(
                "severity",
                "has no severity: nobody can tell whether it pages",
                "add the label severity: page or ticket",
                ("labels", "severity"),
            )
        )
    found += _owner(labels, owners, given)
    runbook = next((annotations[name].strip() for name in RUNBOOKS if annotations.get(name, "").strip()), "")
    if not runbook.startswith("{{") and not _URL.fullmatch(_TEMPLATE.sub("x", runbook)):
        told = f"has '{runbook[:80]}' as runbook, which is no URL" if runbook else "has no runbook"
        remedy = "add the annotation runbook_url: https://…, the page that says what to look at and what to do first"
        found.append(Gap("runbook", told, remedy, ("annotations", "runbook_url")))
    if not expr.strip():
        found.append(Gap("query", "has no query that says why it fires", "write its expression", ("expr",)))
    return found


def _owner(labels: Mapping[str, str], owners: Owners, given: frozenset[str]) -> list[Gap]:
    if any(labels.get(name, "").strip() or name in given for name in _OWNERS) or "service" in given:
        return []
    service = labels.get("service", "").strip()
    place = ("labels", "team")
    if not service:
        remedy = "add the label team: NAME, or service: NAME of a service that a Team answers for"
        return [Gap("owner", "has no owner", remedy, place)]
    if "{{" in service or not owners.has_teams or service in owners.by_service:
        return []
    remedy = f"add {service} to the services of a Team, or the label team: NAME"
    return [Gap("owner", f"has no owner: no team answers for the service {service}", remedy, place)]


def labels_given(node: Node) -> frozenset[str]:
    """The labels that every series has which an expression answers, as far as its text tells: by `by`, and by matchers
    that a series without the label does not satisfy.
    """
    match node:
        case VectorSelector():
            return frozenset(one.name for one in node.matchers if _needs(one))
        case MatrixSelector():
            return labels_given(node.selector)
        case Subquery() | Unary():
            return labels_given(node.expr)
        case Aggregation() | Call() | Binary():
            return _derived(node)
        case _:
            return frozenset()


def _derived(node: Aggregation | Call | Binary) -> frozenset[str]:
    if isinstance(node, Aggregation):
        return _aggregated(node)
    return _called(node) if isinstance(node, Call) else _joined(node)


def _needs(matcher: LabelMatcher) -> bool:
    return matcher.op == "=" and matcher.value != "" and matcher.name != "__name__"


def _aggregated(node: Aggregation) -> frozenset[str]:
    inner = labels_given(node.expr)
    if node.op in _KEEPS_ALL:
        return inner
    grouping = node.grouping
    return inner - set(grouping.labels) if grouping.without else frozenset(grouping.labels)


def _called(node: Call) -> frozenset[str]:
    vectors = [labels_given(one) for one in node.args]
    kept = frozenset[str]().union(*vectors) if vectors else frozenset[str]()
    target = getattr(node.args[1], "value", "") if node.name in _TAKES_LABEL and len(node.args) > 1 else ""
    return kept | {str(target)} if target else kept


def _joined(node: Binary) -> frozenset[str]:
    left, right = labels_given(node.left), labels_given(node.right)
    if node.op == "or":
        return left & right
    if node.op in ("and", "unless"):
        return left
    matching = node.matching
    if matching.group is not None:
        return (left if matching.group == "left" else right) | set(matching.include)
    if matching.on:
        return frozenset(matching.labels)
    return (left | right) - set(matching.labels)


def pages(labels: Mapping[str, str]) -> bool:
    """Whether an alert with these labels wakes somebody; a template as severity may."""
    severity = labels.get("severity", "")
    return "{{" in severity or is_paging(severity)
