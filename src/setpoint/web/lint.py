"""What looks wrong with the objectives that are kept, and with rules that page, as page and JSON; `objective.lint` and
`alert.quality` find it.
"""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi.responses import Response

from setpoint.alert.quality.found import found_rules
from setpoint.alert.quality.require import owners_of
from setpoint.app import App
from setpoint.objective import Objective
from setpoint.objective.lint import GRAVITIES, Finding, Surroundings, lint
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_SHOWN = 500

router = APIRouter()


@router.get("/lint")
@needs("viewer")
def show_lint(
    request: Request, parts: Parts, *, team: str | None = None, service: str | None = None
) -> Response:
    found = _findings(parts, team, service)
    counts = {gravity: sum(one.gravity == gravity for one in found) for gravity in GRAVITIES}
    if wants_json(request):
        return json_answer({"items": found, "counts": counts, "objectives": len(parts.objectives.overview())})
    return render(
        request,
        "lint.html",
        found=found[:_SHOWN],
        hidden=max(0, len(found) - _SHOWN),
        counts=counts,
        narrowed=team or service,
        address="/lint" + query_string(team=team, service=service),
    )


def _findings(parts: App, team: str | None, service: str | None) -> list[Finding]:
    chosen = _chosen(parts, team, service)
    overview = parts.objectives.overview()
    statuses = {status.name: status for status in parts.objectives.statuses()}
    pairs = [(one, statuses[one.name]) for one in overview.objectives if one.name in statuses]
    around = Surroundings(
        parts.clock.now_ms(),
        parts.dependencies.known(),
        parts.reports.ownership,
        promised=parts.slas.promised(),
    )
    found = lint(pairs, around, chosen)
    rules = (rule for group in parts.rules.groups() for rule in group.rules)
    found += found_rules(rules, owners_of(around.ownership), team=team, service=service)
    return sorted(found, key=lambda one: GRAVITIES.index(one.gravity))


def _chosen(parts: App, team: str | None, service: str | None) -> Callable[[Objective], bool]:
    """Raises NotFound when there is no such team or service."""
    if not team and not service:
        return lambda _: True
    names = {one.name for one in parts.reports.objectives(parts.reports.scope(team=team, service=service))}
    return lambda one: one.name in names and (not service or one.service == service)
