"""The release gate over HTTP: one question, one decision; and a decision made again. `release.Gate` decides.

The status follows the answer, 200 only for allow, so that a pipeline which looks at nothing else than whether the
request succeeded is held (decision 0030); `always_ok=true` gives 200 for who reads the answer.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header
from fastapi.responses import Response

from setpoint.errors import Forbidden
from setpoint.objective.policy import Request as Asked
from setpoint.web.page import Actor, Parts, json_answer
from setpoint.web.roles import needs

__all__ = ["router"]

router = APIRouter()


@router.get("/gate/{service}")
@needs("viewer")
def ask_gate(  # noqa: PLR0917 — what is asked
    parts: Parts,
    service: str,
    actor: Actor,
    change: str = "feature",
    version: str = "",
    reviewed_by: str = "",
    always_ok: bool = False,
    sec_fetch_site: Annotated[str, Header()] = "",
) -> Response:
    if (
        sec_fetch_site == "cross-site"
    ):  # a GET that writes: `access` lets it pass, as it takes GET for reading
        raise Forbidden("a page of another site asked; ask from a pipeline, or open it yourself")
    found = parts.gate.ask(Asked(service, change, version, reviewed_by), actor)
    return json_answer(found.as_json(), 200 if always_ok else found.http_status)


@router.get("/gate/decisions/{event_id}/replay")
@needs("viewer")
def replay_decision(parts: Parts, event_id: int) -> Response:
    return json_answer(parts.gate.replay(event_id).as_json())
