"""The page and JSON of adjustments: what is left out of budgets, counted good or corrected, and what that does.

`objective.adjustment.view` knows; this module shows. A page of an adjustment or an objective has `?name=`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.objective.adjustment.view import AdjustmentStatus
from setpoint.web.page import Parts, json_answer, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_EFFECTS, _EFFECTS_OF_ONE = 3, 50
_STATES = ("active", "upcoming", "past")

router = APIRouter()


@router.get("/adjustments")
@needs("viewer")
def show_adjustments(
    request: Request, parts: Parts, name: Annotated[str, Query(max_length=400)] = ""
) -> Response:
    found = parts.objectives.adjustments.statuses(name, _EFFECTS_OF_ONE if name else _EFFECTS)
    counts = {state: sum(one.state == state for one in found) for state in _STATES}
    if wants_json(request):
        return json_answer({"items": found, "counts": counts, "total": len(found)})
    return render(
        request,
        "adjustments.html",
        now_ms=parts.clock.now_ms(),
        groups=_groups(found),
        counts=counts,
        total=len(found),
        name=name,
    )


def _groups(found: Sequence[AdjustmentStatus]) -> Mapping[str, list[AdjustmentStatus]]:
    """Those in each state, states without any left out."""
    groups = {state: [one for one in found if one.state == state] for state in _STATES}
    return {state: some for state, some in groups.items() if some}
