"""Objectives as rules for a Prometheus that evaluates them elsewhere: a YAML file, or JSON with what is left out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import PlainTextResponse, Response

from setpoint.app import App
from setpoint.errors import InvalidInput, NotFound
from setpoint.objective import Objective
from setpoint.objective.convert.rule_file import Format, rule_file
from setpoint.objective.convert.rules import export_rules
from setpoint.objective.spec import Slo
from setpoint.web.page import KEPT_NOWHERE, Parts, json_answer, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_OBJECTIVES_MAX = 2000

router = APIRouter()


@router.get("/export/rules")
@needs("viewer")
def rules(
    request: Request,
    parts: Parts,
    *,
    name: Annotated[list[str] | None, Query()] = None,
    form: Annotated[Format, Query(alias="format")] = "prometheus",
    as_sloth: bool = False,
) -> Response:
    wanted = _wanted(parts, name or [])
    annotations = {
        one.name: dict(one.spec.metadata.annotations)
        for one in parts.resources.documents()
        if isinstance(one.spec, Slo)
    }
    exported = export_rules(wanted, annotations, as_sloth=as_sloth)
    text = rule_file(exported, form)
    if wants_json(request):
        return json_answer({"groups": exported.groups, "left_out": exported.left_out, "text": text})
    return PlainTextResponse(text, headers=KEPT_NOWHERE, media_type="application/yaml")


def _wanted(parts: App, names: list[str]) -> list[Objective]:
    """The objectives of these names, or all that their documents declare; all there are when none is named."""
    objectives = parts.objectives.overview().objectives
    known = {one.name for one in objectives} | {one.slo for one in objectives}
    for name in names:
        if name not in known:
            raise NotFound(f"there is no objective '{name}'; `setpoint slo list` lists those there are")
    chosen = [one for one in objectives if not names or one.name in names or one.slo in names]
    if len(chosen) > _OBJECTIVES_MAX:
        raise InvalidInput(
            f"{len(chosen):,} objectives are too many for one file of rules; name {_OBJECTIVES_MAX:,} at most"
        )
    return chosen
