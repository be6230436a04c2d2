"""SLAs as page and JSON: what is promised to customers, whether it is kept, and the credit that is owed for less."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.objective.sla.book import PERIODS_MOST
from setpoint.objective.sla.model import SlaStatus
from setpoint.web.page import Parts, json_answer, plain, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_AS_STATE = {"broken": "exhausted", "at risk": "burning", "don't know": "no data", "kept": "healthy"}
Periods = Annotated[int, Query(ge=1, le=PERIODS_MOST)]

router = APIRouter()


@router.get("/slas")
@needs("viewer")
def list_slas(request: Request, parts: Parts, *, periods: Periods = 1) -> Response:
    found = parts.slas.all(periods)
    if wants_json(request):
        return json_answer({"items": [_answer(one) for one in found]})
    return render(request, "slas.html", slas=parts.slas.all(max(2, periods)), one=None, as_state=_AS_STATE)


@router.get("/slas/{name}")
@needs("viewer")
def show_sla(request: Request, parts: Parts, name: str, *, periods: Periods = 4) -> Response:
    found = parts.slas.show(name, periods)
    if wants_json(request):
        return json_answer(_answer(found))
    return render(request, "slas.html", slas=[found], one=found, as_state=_AS_STATE)


def _answer(found: SlaStatus) -> dict[str, Any]:
    """With the state and credit of the running period at its top."""
    answer: dict[str, Any] = plain(found)
    for told, period in zip(answer["periods"], found.periods, strict=True):
        told["is_over"] = period.is_over
    now = found.periods[0]
    return answer | {"state": now.state, "credit": now.credit, "credit_highest": now.credit_highest}
