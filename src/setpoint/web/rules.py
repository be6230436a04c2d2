"""Rules as pages and JSON: every group with its health, and of one rule why it fires or does not.

`RuleManager` evaluates and knows; this module shows. Prometheus's own API of rules stands under /api/v1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.alert.rules.status import GroupStatus, RuleStatus
from setpoint.errors import InvalidInput, NotFound
from setpoint.web.objective import segment
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["explore_url", "reason_of", "router", "rule_url", "state_of"]

STATES: Final = ("firing", "pending", "broken", "inactive", "recording")
_ON_A_PAGE = 200

router = APIRouter()


@router.get("/rules")
@needs("viewer")
def list_rules(
    request: Request,
    parts: Parts,
    *,
    q: Annotated[str, Query(max_length=400)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=5000)] = _ON_A_PAGE,
) -> Response:
    if state and state not in STATES:
        raise InvalidInput(f"there is no state '{state[:40]}' of rules; write {', '.join(STATES)}")
    groups = parts.rules.groups()
    counts = Counter(state_of(rule) for group in groups for rule in group.rules)
    chosen = [
        (group, rule)
        for group in groups
        for rule in group.rules
        if (not state or state_of(rule) == state) and _matches(group, rule, q.lower())
    ]
    shown = chosen[offset : offset + limit]
    more = offset + limit < len(chosen)
    answer: dict[str, Any] = {
        "total": sum(counts.values()),
        "matching": len(chosen),
        "counts": {name: counts[name] for name in STATES if counts[name]},
        "next": "/rules" + query_string(q=q, state=state, offset=offset + limit) if more else None,
        "faults": plain(parts.rules.faults()),
    }
    if wants_json(request):
        items = [
            plain(rule) | {"shown_state": state_of(rule), "url": rule_url(group, rule)}
            for group, rule in shown
        ]
        return json_answer({"items": items} | answer)
    return render(
        request,
        "rules.html",
        **answer,
        groups=_by_group(shown),
        state_of=state_of,
        rule_url=rule_url,
        q=q,
        state=state,
        offset=offset,
        newest="/rules" + query_string(q=q, state=state) if offset else None,
    )


@router.get("/rules/{path:path}")
@needs("viewer")
def show_rule(
    request: Request, parts: Parts, path: str, *, file: Annotated[str | None, Query(max_length=4096)] = None
) -> Response:
    group, rule = _named(parts.rules.groups(), path, file)
    whys = parts.rules.why(group, rule, file)
    if not whys:
        raise NotFound(f"there is no rule '{path[:200]}' any more; /rules lists the others")
    if wants_json(request):
        return json_answer({"items": whys})
    return render(
        request,
        "rule.html",
        whys=whys,
        state_of=state_of,
        explore_url=explore_url,
        reason_of=reason_of,
    )


def state_of(rule: RuleStatus) -> str:
    """What is said of a rule: what is wrong with it before all else."""
    if rule.health == "err":
        return "broken"
    if rule.kind == "recording":
        return "recording"
    return rule.state if rule.state in ("firing", "pending") else "inactive"


def rule_url(group: GroupStatus, rule: RuleStatus) -> str:
    """The page of a rule."""
    return f"/rules/{segment(group.name)}/{segment(rule.name)}{query_string(file=group.file)}"


def explore_url(rule: RuleStatus) -> str:
    """Its expression on the page of metrics, over six hours."""
    return "/explore" + query_string(q=rule.expr, range="6h", source=rule.data_source)


def _matches(group: GroupStatus, rule: RuleStatus, words: str) -> bool:
    text = f"{group.file}\n{group.name}\n{rule.name}\n{rule.expr}".lower()
    return all(word in text for word in words.split())


def _by_group(
    shown: Iterable[tuple[GroupStatus, RuleStatus]],
) -> list[tuple[GroupStatus, list[RuleStatus]]]:
    found: dict[tuple[str, str], tuple[GroupStatus, list[RuleStatus]]] = {}
    for group, rule in shown:
        found.setdefault((group.file, group.name), (group, []))[1].append(rule)
    return list(found.values())


def _named(groups: Sequence[GroupStatus], path: str, file: str | None) -> tuple[str, str]:
    """Group and rule of a path; either name may hold slashes, so the path is compared as a whole."""
    for group in groups:
        if path.startswith(f"{group.name}/") and (file is None or group.file == file):
            rest = path[len(group.name) + 1 :]
            if any(rule.name == rest for rule in group.rules):
                return group.name, rest
    raise NotFound(f"there is no rule '{path[:200]}'; /rules lists those that are evaluated")


def reason_of(op: str, left: float | None, right: float | None) -> str:
    """How far a value is from its threshold, in a word: `1.4 times`; empty where that says nothing."""
    if not op or left is None or right is None or right == 0 or left * right < 0:
        return ""
    ratio = left / right
    return f"{ratio:.3g} times" if 0.001 <= ratio <= 1000 else ""
