"""What was told to whom, as page and JSON: what waits and why, what was sent, what was given up and can be sent again.

The outbox keeps the rows; each attempt also stands on the timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.alert.notify.outbox import Kept
from setpoint.alert.route.model import shown_labels
from setpoint.errors import InvalidInput
from setpoint.web.page import Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

STATES: Final = ("dead", "retrying", "waiting", "sent")
"""What needs somebody first."""

_READ, _ON_A_PAGE, _NAMED = 1000, 50, 3
_REASONS: Final = {
    "first": "its first",
    "message": "",
    "new_alerts": "more fired",
    "new_resolved": "some ended",
    "repeat": "it fires still",
    "all_resolved": "all ended",
}
router = APIRouter()


@router.get("/notifications")
@needs("viewer")
def list_notifications(
    request: Request,
    parts: Parts,
    *,
    state: Annotated[str, Query(max_length=20)] = "",
    receiver: Annotated[str, Query(max_length=400)] = "",
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = _ON_A_PAGE,
) -> Response:
    if state and state not in STATES:
        raise InvalidInput(f"there is no state '{state[:40]}' of notifications; write {', '.join(STATES)}")
    outbox = parts.outbox
    rows = [*outbox.dead(_READ), *outbox.pending(_READ), *outbox.sent(_READ)]
    counts = {name: sum(_state(one) == name for one in rows) for name in STATES}
    found = [
        one
        for one in rows
        if (not state or _state(one) == state) and (not receiver or one.notification.receiver == receiver)
    ]
    found.sort(key=lambda one: (STATES.index(_state(one)), -one.id))
    more = offset + limit < len(found)
    answer: dict[str, Any] = {
        "items": [_item(one) for one in found[offset : offset + limit]],
        "matching": len(found),
        "counts": {name: number for name, number in counts.items() if number},
        "channels": plain(outbox.statuses()),
        "overdue_ms": outbox.overdue_ms(),
        "next": "/notifications" + query_string(state=state, receiver=receiver, offset=offset + limit)
        if more
        else None,
    }
    if wants_json(request):
        return json_answer(answer)
    return render(
        request,
        "notifications.html",
        **answer,
        state=state,
        receiver=receiver,
        offset=offset,
        is_cut=len(rows) >= _READ,
        reasons=_REASONS,
        newest="/notifications" + query_string(state=state, receiver=receiver) if offset else None,
    )


@router.post("/notifications/{notification_id}/resend")
@needs("responder")
def resend(request: Request, parts: Parts, notification_id: int) -> Response:
    if abs(notification_id) >= 1 << 63:
        raise InvalidInput("that is no number of a notification; GET /notifications lists them")
    queued = parts.outbox.resend(notification_id)
    if wants_json(request):
        return json_answer({"id": queued, "resent": notification_id})
    return RedirectResponse("/notifications", 303)


def _state(one: Kept) -> str:
    if one.state in ("dead", "sent"):
        return one.state
    return "retrying" if one.attempts else "waiting"


def _item(one: Kept) -> dict[str, Any]:
    notification = one.notification
    names = list(dict.fromkeys(alert.name for alert in notification.alerts if alert.name))
    if notification.message is not None:
        names = [notification.message.title]
    return {
        "id": one.id,
        "state": _state(one),
        "receiver": notification.receiver,
        "integration": notification.integration,
        "reason": notification.reason,
        "group": shown_labels(notification.group_labels),
        "group_labels": dict(notification.group_labels),
        "firing": len(notification.firing),
        "resolved": len(notification.resolved),
        "names": names[:_NAMED],
        "more_names": max(0, len(names) - _NAMED),
        "alerts": _fingerprints(notification.firing, notification.resolved),
        "attempts": one.attempts,
        "error": one.error,
        "decided_ms": notification.at_ms,
        "created_ms": one.created_ms,
        "due_ms": one.due_ms,
        "settled_ms": one.settled_ms,
        "key": one.key,
        "bundled": notification.bundled,
    }


def _fingerprints(firing: Sequence[str], resolved: Sequence[str]) -> list[str]:
    return [*firing, *resolved][:100]
