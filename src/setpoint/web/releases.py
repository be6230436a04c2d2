"""May it be released: every service with what holds it, why, since when and until when; policies and exceptions.

`PolicyBoard` keeps what is in force and `decide` says it, as the gate would for a feature; nothing is written here. Of
thousands of services only those on the page are decided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.app import App
from setpoint.objective.policy import Request as Asked
from setpoint.objective.policy import decide
from setpoint.objective.policy.board import Snapshot, Standing
from setpoint.objective.policy.decide import Decision
from setpoint.objective.policy.model import Policy, PolicyException
from setpoint.objective.policy.words import rule_words
from setpoint.release.gate import DECIDED
from setpoint.timeline import Event
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["held_line", "router"]

STATES: Final[Mapping[str, str]] = {
    "frozen": "exhausted",
    "only fixes": "burning",
    "review": "burning",
    "don't know": "no data",
    "may release": "healthy",
    "no policy": "no data",
}
"""What is said of a service, worst first, and the state of an objective that looks the same."""

_OF_RELEASES: Final = {"freeze": "frozen", "fixesOnly": "only fixes", "review": "review"}
_ON_A_PAGE: Final = 50
_DECISIONS: Final = 12

router = APIRouter()


@router.get("/releases")
@needs("viewer")
def show_releases(
    request: Request,
    parts: Parts,
    *,
    q: Annotated[str, Query(max_length=200)] = "",
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = _ON_A_PAGE,
) -> Response:
    board, snapshot = parts.policies, parts.policies.latest
    services = board.services()
    states = {name: _state(snapshot, name) for name in services}
    chosen = [name for name in services if q.lower() in name.lower() or q == states[name]]
    chosen.sort(key=lambda name: (list(STATES).index(states[name]), name))
    shown = chosen[offset : offset + limit]
    items = [_item(parts, snapshot, name, states[name]) for name in shown] if snapshot else []
    more = offset + limit < len(chosen)
    following = "/releases" + query_string(q=q, offset=offset + limit) if more else None
    decisions = [_decided(event) for event in parts.timeline.query(kinds=[DECIDED], limit=_DECISIONS)]
    counts = Counter(states.values())
    answer = {
        "items": items,
        "total": len(services),
        "matching": len(chosen),
        "counts": {state: counts[state] for state in STATES if counts[state]},
        "next": following,
    }
    if wants_json(request):
        return json_answer(answer | {"exceptions": _exceptions(parts), "decisions": decisions})
    return render(
        request,
        "releases.html",
        **answer,
        looks=STATES,
        q=q,
        offset=offset,
        newest="/releases" + query_string(q=q) if offset else None,
        decisions=decisions,
        policies=[_policy(one, snapshot) for one in board.policies],
        exceptions=_exceptions(parts),
        is_young=snapshot is None,
        base_url=str(request.base_url).rstrip("/"),
    )


@router.get("/policies")
@needs("viewer")
def show_policies(request: Request, parts: Parts) -> Response:
    if not wants_json(request):
        return RedirectResponse("/releases#policies", 303)
    snapshot = parts.policies.latest
    return json_answer(
        {
            "items": [_policy(one, snapshot) for one in parts.policies.policies],
            "exceptions": _exceptions(parts),
        }
    )


def held_line(parts: App, service: str) -> Standing | None:
    """What is in force for a service, for a line on the pages of its objectives; None when it may release."""
    snapshot = parts.policies.latest
    standing = snapshot.standings.get(service) if snapshot else None
    return standing if standing is not None and standing.releases else None


def _state(snapshot: Snapshot | None, service: str) -> str:
    standing = snapshot.standings.get(service) if snapshot else None
    if standing is None or not standing.policies:
        return "no policy" if standing else "don't know"
    if standing.releases:
        return _OF_RELEASES[standing.releases]
    return "don't know" if standing.is_unknown else "may release"


def _item(parts: App, snapshot: Snapshot, service: str, state: str) -> dict[str, Any]:
    """A service as a row: the decision on a feature, and what else the row says."""
    decision = decide(parts.policies.seen(Asked(service), snapshot))
    return {"service": service, "state": state} | decision.as_json() | {"first": _first(decision)}


def _first(decision: Decision) -> dict[str, Any] | None:
    """The rule that says most about it."""
    found: Sequence[dict[str, Any]] = decision.as_json()["because"]
    return found[0] if found else None


def _decided(event: Event) -> dict[str, Any]:
    told = event.data.get("decision")
    told = told if isinstance(told, Mapping) else {}
    names = ("decision", "service", "change", "version", "reason", "reviewed_by")
    return {"id": event.id, "at_ms": event.at_ms, "actor": event.actor} | {
        name: text if isinstance(text := told.get(name), str) else "" for name in names
    }


def _policy(policy: Policy, snapshot: Snapshot | None) -> dict[str, Any]:
    """A policy with its rules in words, whom it governs, and for whom each rule is in force."""
    services: list[str] = []
    objectives = 0
    if snapshot is not None:
        rows = dict(
            zip((one.name for one in snapshot.governed.policies), snapshot.governed.rows, strict=True)
        )
        mine = rows.get(policy.name, ())
        objectives = len(mine)
        services = sorted({snapshot.facts.services[row] for row in mine})
    return {
        "name": policy.name,
        "display_name": policy.display_name,
        "description": policy.description,
        "is_default": policy.is_default,
        "ignores_no_data": policy.ignores_no_data,
        "objectives": objectives,
        "services": services,
        "rules": [
            {
                "name": rule.name,
                "description": rule.description,
                "releases": rule.releases,
                "notify": list(rule.notify),
                "postmortem": rule.postmortem,
                "words": rule_words(rule),
                "in_force": _in_force(snapshot, policy.name, rule.name),
            }
            for rule in policy.rules
        ],
    }


def _in_force(snapshot: Snapshot | None, policy: str, rule: str) -> list[dict[str, Any]]:
    held = snapshot.held.get((policy, rule), {}) if snapshot else {}
    return [{"objective": name, "since_ms": since_ms} for name, since_ms in sorted(held.items())]


def _exceptions(parts: App) -> list[dict[str, Any]]:
    """All exceptions: those in force, then those to come, then those that ended."""
    now_ms = parts.clock.now_ms()
    ranked = sorted(parts.policies.exceptions, key=lambda one: (_when(one, now_ms), one.until_ms, one.name))
    words = ("in force", "to come", "ended")
    return [one.as_json() | {"state": words[_when(one, now_ms)]} for one in ranked]


def _when(exception: PolicyException, now_ms: int) -> int:
    if exception.until_ms <= now_ms:
        return 2
    return 0 if exception.is_current(now_ms) else 1
