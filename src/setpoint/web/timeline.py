"""The timeline's page and JSON, and the door for deploy markers: `POST /api/timeline`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from setpoint.timeline import Event
from setpoint.web.format import day
from setpoint.web.page import Actor, Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["ALERT_KINDS", "router"]

ALERT_KINDS = (
    "alert.fired",
    "alert.resolved",
    "alert.acknowledged",
    "alert.undelivered",
    "notification.sent",
    "notification.failed",
    "notification.dead",
    "silence.created",
    "silence.changed",
    "silence.expired",
    "heartbeat.missed",
    "heartbeat.returned",
)
"""What the history of alerts is made of."""

KINDS = (
    "objective.state",
    *ALERT_KINDS,
    "deploy",
    "gate.decided",
    "policy.freeze",
    "policy.fixes_only",
    "policy.review",
    "policy.lifted",
    "policy.notified",
    "policy.postmortem_demanded",
    "policy.exception_applied",
    "policy.exception_used",
    "resource.applied",
    "resource.deleted",
    "demo.fault",
    "demo.heal",
    "access.login",
    "access.login_failed",
    "access.logout",
    "access.refused",
    "access.token_created",
    "access.token_revoked",
    "access.user_changed",
    "access.user_created",
    "access.user_deleted",
    "server.started",
    "server.restarted",
)
_OWN = (
    "access.", "adjustment.", "alert.", "gate.", "heartbeat.", "notification.", "objective.", "policy.", "report.",
    "resource.", "routing.", "rules.", "server.", "silence.", "sla.",
)  # fmt: skip
"""What Setpoint alone tells, because gates, reports, noise and pages believe it."""
_PAGE = 100

router = APIRouter()


class NewEvent(BaseModel):
    """What a caller tells the timeline; `at` in Unix milliseconds, now when it is left out."""

    model_config = ConfigDict(extra="forbid")

    kind: str = Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_.-]+$")
    summary: str = Field(min_length=1, max_length=500)
    service: str = Field("", max_length=253)
    data: dict[str, Any] = Field(default_factory=dict)
    at: int | None = Field(None, ge=0)
    key: str | None = Field(None, max_length=253)

    @field_validator("kind", "key")
    @classmethod
    def _is_not_ours(cls, value: str | None) -> str | None:
        # A key, too: whoever asks the gate next would get the event that has the key in place of a decision.
        if value is not None and value.startswith(_OWN):
            told = value.partition(".")[0]
            raise ValueError(
                f"what begins with '{told}.' only Setpoint itself tells; write another, such as deploy"
            )
        return value


@router.get("/timeline")
@needs("viewer")
def show_timeline(
    request: Request,
    parts: Parts,
    *,
    service: str = "",
    kind: Annotated[list[str] | None, Query()] = None,
    before_id: Annotated[int | None, Query(ge=1)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = _PAGE,
) -> Response:
    kinds = [name for name in kind or [] if name]
    found = parts.timeline.query(
        service=service or None, kinds=kinds or None, before_id=before_id, limit=limit + 1
    )
    events, has_more = found[:limit], len(found) > limit
    older = (
        "/timeline"
        + query_string(
            service=service, kind=kinds, before_id=events[-1].id, limit=limit if limit != _PAGE else None
        )
        if has_more
        else None
    )
    if wants_json(request):
        return json_answer({"items": events, "next": older})
    services = {*parts.objectives.overview().services, *(event.service for event in events)}
    return render(
        request,
        "timeline.html",
        days=_by_day(events),
        older=older,
        newest="/timeline" + query_string(service=service, kind=kinds) if before_id else None,
        service=service,
        services=sorted(services - {""} | ({service} if service else set())),
        kind=kinds[0] if kinds else "",
        kinds=sorted({*KINDS, *kinds, *(event.kind for event in events)}),
        is_filtered=bool(service or kinds),
        base_url=str(request.base_url).rstrip("/"),
    )


def _by_day(events: list[Event]) -> list[tuple[str, list[Event]]]:
    days: dict[str, list[Event]] = {}
    for event in events:
        days.setdefault(day(event.at_ms), []).append(event)
    return list(days.items())


@router.post("/api/timeline", status_code=201)
@needs("sender")
def add_event(parts: Parts, new: NewEvent, actor: Actor) -> Response:
    event = parts.timeline.append(
        new.kind, new.summary, service=new.service, actor=actor, data=new.data, at_ms=new.at, key=new.key
    )
    return json_answer(event, 201)
