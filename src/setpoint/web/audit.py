"""Every change with who made it: the timeline without what Setpoint found out, decided and did itself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_PAGE = 100

router = APIRouter()


@router.get("/audit")
@needs("viewer")
def show_changes(
    request: Request,
    parts: Parts,
    *,
    actor: Annotated[str, Query(max_length=255)] = "",
    kind: Annotated[str, Query(max_length=100)] = "",
    before_id: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE,
) -> Response:
    """What people and programs changed, newest first; `actor` and `kind` choose, `next` leads to older changes."""
    found = parts.timeline.query(
        kinds=[kind] if kind else None,
        actor=actor or None,
        before_id=before_id,
        limit=min(limit + 1, 1000),
        only_changes=True,
    )
    events, has_more = found[:limit], len(found) > limit
    chosen = {"actor": actor, "kind": kind}
    older = "/audit" + query_string(**chosen, before_id=events[-1].id) if has_more else None
    if wants_json(request):
        return json_answer({"items": events, "next": older})
    names = {user.name for user in parts.directory.users} | {token.name for token in parts.directory.tokens}
    return render(
        request,
        "audit.html",
        events=events,
        older=older,
        newest="/audit" + query_string(**chosen) if before_id else None,
        actor=actor,
        actors=sorted(names | {event.actor for event in events} | ({actor} if actor else set())),
        kind=kind,
        kinds=sorted({event.kind for event in events} | ({kind} if kind else set())),
    )
