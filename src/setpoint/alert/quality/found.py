"""Rules that are kept and do not say what a page must say: findings for `setpoint slo lint` and the page /lint.

A PrometheusRule was refused or warned of when it was applied; a rule file comes without anybody being asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from setpoint.alert.from_objective import Finding
from setpoint.alert.quality.actionable import Gap, Owners, missing, pages
from setpoint.alert.quality.require import given_by

__all__ = ["found_rules"]

_LISTED = 3


class RuleLike(Protocol):
    """What is needed of a rule's status."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...
    @property
    def query(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def annotations(self) -> Mapping[str, str]: ...


def found_rules(
    rules: Iterable[RuleLike], owners: Owners, *, team: str | None = None, service: str | None = None
) -> list[Finding]:
    """A warning for each gap of a rule that pages, a note for all rules of which nobody knows whether they page;
    only those of a team or a service, where one is given.
    """
    found: list[Finding] = []
    unknown: list[RuleLike] = []
    for rule in rules:
        if rule.kind != "alerting" or not _is_chosen(rule, owners, team, service):
            continue
        gaps = _gaps(rule, owners)
        if pages(rule.labels):
            found += [_finding(rule, gap) for gap in gaps]
        elif any(gap.what == "severity" for gap in gaps):
            unknown.append(rule)
    if unknown:
        named = ", ".join(f"{one.name} ({_place(one)})" for one in unknown[:_LISTED])
        more = f" and {len(unknown) - _LISTED:,} more" if len(unknown) > _LISTED else ""
        message = f"nobody can tell whether these alerts page, they have no severity: {named}{more}"
        found.append(Finding("note", "actionable", "", "", message, "add the label severity: page or ticket"))
    return found


def _gaps(rule: RuleLike, owners: Owners) -> list[Gap]:
    found = missing(rule.labels, rule.annotations, rule.query, owners)
    if any(one.what in ("owner", "severity") for one in found):
        found = missing(rule.labels, rule.annotations, rule.query, owners, given_by(rule.query))
    return found


def _finding(rule: RuleLike, gap: Gap) -> Finding:
    message = (
        f"the alert {rule.name} ({_place(rule)}) pages (severity {rule.labels['severity']}) and {gap.message}"
    )
    return Finding("warning", "actionable", "", rule.labels.get("service", ""), message, gap.remedy)


def _place(rule: RuleLike) -> str:
    return f"{rule.file}:{rule.line}" if rule.line else rule.file


def _is_chosen(rule: RuleLike, owners: Owners, team: str | None, service: str | None) -> bool:
    of = rule.labels.get("service", "")
    if service and of != service:
        return False
    return not team or team in (rule.labels.get("team"), owners.by_service.get(of))
