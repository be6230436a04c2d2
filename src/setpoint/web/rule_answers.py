"""Rules and their alerts in the shapes of Prometheus's API, so that Grafana and its kin show them unchanged.

`catalog` answers `/api/v1/rules` and `/api/v1/alerts` with these; the filters and the paging are Prometheus's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha1
from typing import Any

import numpy as np

from setpoint.alert.rules.status import AlertView, GroupStatus, RuleStatus
from setpoint.errors import InvalidInput
from setpoint.telemetry.match import matches
from setpoint.web.prometheus import Given

__all__ = ["alert_list", "rule_groups"]

_KINDS = {"": ("alerting", "recording"), "alert": ("alerting",), "record": ("recording",)}
_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")


def rule_groups(groups: Sequence[GroupStatus], given: Given) -> dict[str, Any]:
    """The data of `/api/v1/rules`. Raises InvalidInput for a parameter that Prometheus refuses."""
    is_wanted = _filter(given)
    with_alerts = not _flag(given, "exclude_alerts")
    limit, token = _page(given)
    names, files = given.all("rule_group[]"), given.all("file[]")
    answer: dict[str, Any] = {"groups": []}
    is_found = not token
    for group in groups:
        if (names and group.name not in names) or (files and group.file not in files):
            continue
        is_found = is_found or _token(group) == token
        rules = [rule for rule in group.rules if is_wanted(rule)] if is_found else []
        if not rules:
            continue
        if limit and len(answer["groups"]) == limit:
            answer["groupNextToken"] = _token(group)
            break
        answer["groups"].append(_group(group, rules, with_alerts))
    if not is_found:
        raise InvalidInput(f"invalid group_next_token '{token[:80]}'. were rule groups changed?")
    return answer


def alert_list(alerts: Sequence[AlertView]) -> dict[str, Any]:
    """The data of `/api/v1/alerts`."""
    return {"alerts": [_alert(alert) for alert in alerts]}


def _filter(given: Given) -> Callable[[RuleStatus], bool]:
    kind = given.get("type").lower()
    if kind not in _KINDS:
        raise InvalidInput(f'invalid parameter "type": not supported value "{kind}"; write alert or record')
    kinds, names, selectors = _KINDS[kind], set(given.all("rule_name[]")), given.selectors()

    def is_wanted(rule: RuleStatus) -> bool:
        return (
            rule.kind in kinds
            and (not names or rule.name in names)
            and (not selectors or any(matches(one, rule.labels) for one in selectors))
        )

    return is_wanted


def _flag(given: Given, name: str) -> bool:
    text = given.get(name)
    if text in _TRUE:
        return True
    if text and text not in _FALSE:
        raise InvalidInput(f'invalid parameter "{name}": write true or false')
    return False


def _page(given: Given) -> tuple[int, str]:
    """How many groups at most (0: all), and from which on."""
    limit, token = given.get("group_limit"), given.get("group_next_token")
    if token and not limit:
        raise InvalidInput(
            'invalid parameter "group_limit": group_limit needs to be present in order to paginate over the groups'
        )
    if not limit:
        return 0, ""
    if not limit.isascii() or not limit.isdigit() or not int(limit[:10]) > 0:
        raise InvalidInput('invalid parameter "group_limit": group_limit needs to be greater than 0')
    return int(limit[:10]), token


def _token(group: GroupStatus) -> str:
    return sha1(f"{group.file};{group.name}".encode(), usedforsecurity=False).hexdigest()


def _group(group: GroupStatus, rules: Sequence[RuleStatus], with_alerts: bool) -> dict[str, Any]:
    found = {
        "name": group.name,
        "file": group.file,
        "rules": [_rule(rule, with_alerts) for rule in rules],
        "interval": _seconds(group.interval_ms),
        "limit": group.limit,
        "evaluationTime": group.took_s,
        "lastEvaluation": _time(group.evaluated_ms),
    }
    return found | ({"dataSource": group.data_source} if group.data_source else {})


def _rule(rule: RuleStatus, with_alerts: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"name": rule.name, "query": rule.query, "health": rule.health}
    if rule.labels or rule.kind == "alerting":
        found["labels"] = dict(rule.labels)
    if rule.last_error:
        found["lastError"] = rule.last_error
    found |= {
        "evaluationTime": rule.took_s,
        "lastEvaluation": _time(rule.evaluated_ms),
        "type": rule.kind,
    }
    if rule.kind == "recording":
        return found
    return {
        "state": rule.state,
        "duration": _seconds(rule.for_ms),
        "keepFiringFor": _seconds(rule.keep_firing_for_ms),
        "annotations": dict(rule.annotations),
        "alerts": [_alert(alert) for alert in rule.alerts] if with_alerts else [],
    } | found


def _alert(alert: AlertView) -> dict[str, Any]:
    found = {
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "state": alert.state,
        "activeAt": _time(alert.active_at_ms),
        "value": _number(alert.value),
    }
    kept_ms = alert.keeps_firing_since_ms
    return found if kept_ms is None else found | {"keepFiringSince": _time(kept_ms)}


def _seconds(duration_ms: int) -> float:
    return duration_ms // 1000 if duration_ms % 1000 == 0 else duration_ms / 1000


def _time(instant_ms: int | None) -> str:
    """As Go writes instants: no zeros at the end of fractions."""
    if instant_ms is None:
        return "0001-01-01T00:00:00Z"
    moment = datetime.fromtimestamp(instant_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    fraction = f".{instant_ms % 1000:03d}".rstrip("0").rstrip(".")
    return f"{moment}{fraction}Z"


def _number(value: float | str) -> str:
    """As Go's format 'e' with as few digits as needed."""
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    text: str = np.format_float_scientific(value, trim="-", exp_digits=2)
    return text
