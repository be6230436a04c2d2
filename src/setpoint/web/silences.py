"""Silences as pages and JSON: which there are, what each mutes, a form that shows what a new one would mute.

`SilenceBook` keeps them, `silence_form` reads them. The API that Alertmanager's clients speak is /api/v2/silences; here
is what it does not have: recurring ones, previews, and words for people.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.alert.quality import is_paging
from setpoint.alert.route.matcher import Matcher, matches_all
from setpoint.alert.silence.model import Silence
from setpoint.app import App
from setpoint.errors import InvalidInput, NotFound, Problem
from setpoint.resource.duration import duration_ms
from setpoint.resource.recurrence import next_spans
from setpoint.web.alert_rows import AlertRow, alert_row, ordered
from setpoint.web.form import Form, read_form
from setpoint.web.objective import segment
from setpoint.web.page import Actor, Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs
from setpoint.web.silence_form import FIELDS, RULES, draft_of, read_matchers, read_silence

__all__ = ["router"]

STATES: Final = ("active", "pending", "expired")
_ON_A_PAGE = 50
_PREVIEWED, _TOLD = 100, 1000
_OCCURRENCES, _HORIZON_MINUTES = 3, 400 * 1440
_DURATIONS: Final = ("30m", "1h", "2h", "4h", "8h", "1d", "3d", "7d")

router = APIRouter()
Sent = Annotated[Form, Depends(read_form)]
"""What a handler declares to be given the form or the JSON that was sent."""


@router.get("/silences")
@needs("viewer")
def list_silences(
    request: Request,
    parts: Parts,
    *,
    state: Annotated[str, Query(max_length=20)] = "",
    offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = _ON_A_PAGE,
) -> Response:
    now_ms = parts.clock.now_ms()
    if state and state not in STATES:
        raise InvalidInput(f"there is no state '{state[:40]}' of silences; write {', '.join(STATES)}")
    every = [(one, one.state(now_ms)) for one in parts.silences.all()]
    counts = {name: sum(known == name for _, known in every) for name in STATES}
    found = [(one, known) for one, known in every if known == state or (not state and known != "expired")]
    found.sort(key=lambda item: (STATES.index(item[1]), _urgency(*item)))
    alerts = _firing(parts, now_ms)
    items = [_item(one, known, now_ms, alerts) for one, known in found[offset : offset + limit]]
    more = offset + limit < len(found)
    answer = {
        "items": items,
        "matching": len(found),
        "total": len(every),
        "counts": counts,
        "next": "/silences" + query_string(state=state, offset=offset + limit) if more else None,
    }
    if wants_json(request):
        return json_answer(answer)
    return render(
        request,
        "silences.html",
        **answer,
        state=state,
        offset=offset,
        newest="/silences" + query_string(state=state) if offset else None,
    )


@router.get("/silences/new")
@needs("viewer")
def draft_silence(
    request: Request,
    parts: Parts,
    *,
    id_: Annotated[str, Query(alias="id", max_length=100)] = "",
    matchers: Annotated[str, Query(max_length=8192)] = "",
    comment: Annotated[str, Query(max_length=2000)] = "",
) -> Response:
    draft = {"id": "", "matchers": matchers, "comment": comment}
    if id_:
        draft = draft_of(_known(parts, id_))
    return _form_page(request, parts, Form(dict(draft), is_json=False))


@router.post("/silences/preview")
@needs("viewer")
def preview_silence(request: Request, parts: Parts, form: Sent) -> Response:
    if form.is_json or wants_json(request):
        return json_answer(_preview(parts, form))
    return _form_page(request, parts, form)


@router.post("/silences")
@needs("responder")
def post_silence(request: Request, parts: Parts, form: Sent, actor: Actor) -> Response:
    try:
        silence = read_silence(form, parts.clock.now_ms(), actor)
        known = parts.silences.post(silence, actor=actor)
    except InvalidInput as error:
        if form.is_json or wants_json(request):
            raise
        problems = error.problems or (Problem(error.message),)
        return _form_page(request, parts, form, problems=problems, status=400)
    if form.is_json or wants_json(request):
        return json_answer(_told(parts, known), 201)
    return RedirectResponse(f"/silences#s-{known}", 303)


@router.get("/silences/{silence_id}")
@needs("viewer")
def show_silence(request: Request, parts: Parts, silence_id: str) -> Response:
    told = _told(parts, silence_id)
    if wants_json(request):
        return json_answer(told)
    state = "?state=expired" if told["state"] == "expired" else ""
    return RedirectResponse(f"/silences{state}#s-{segment(silence_id)}", 303)


@router.post("/silences/{silence_id}/expire")
@needs("responder")
def expire_silence(request: Request, parts: Parts, silence_id: str, form: Sent, actor: Actor) -> Response:
    parts.silences.expire(_known(parts, silence_id).id, actor=actor)
    if form.is_json or wants_json(request):
        return json_answer(_told(parts, silence_id))
    return RedirectResponse("/silences", 303)


@router.post("/silences/{silence_id}/extend")
@needs("responder")
def extend_silence(request: Request, parts: Parts, silence_id: str, form: Sent, actor: Actor) -> Response:
    form.only("duration")
    added_ms = duration_ms(form.text("duration", 40, "1h"))
    draft = _known(parts, silence_id)
    if draft.state(parts.clock.now_ms()) == "expired":
        raise InvalidInput("that silence has ended; make it anew, with the same matchers")
    longer = Silence(
        draft.id, draft.matchers, draft.starts_ms, draft.ends_ms + added_ms, draft.created_by, draft.comment,
        parts.clock.now_ms(), draft.recurrence,
    )  # fmt: skip
    known = parts.silences.post(longer, actor=actor)
    if form.is_json or wants_json(request):
        return json_answer(_told(parts, known))
    return RedirectResponse(f"/silences#s-{known}", 303)


def _known(parts: App, silence_id: str) -> Silence:
    found = parts.silences.get(silence_id)
    if found is None:
        raise NotFound(f"there is no silence '{silence_id[:80]}'; `setpoint silence list` shows the others")
    return found


def _firing(parts: App, now_ms: int) -> list[Any]:
    return [alert for alert in parts.alert_book.alerts() if not alert.is_resolved(now_ms)]


def _urgency(silence: Silence, state: str) -> int:
    """What ends first among active ones, what begins first among those to come, what ended last."""
    if state == "expired":
        return -silence.ends_ms
    return silence.ends_ms if state == "active" else silence.starts_ms


def _told(parts: App, silence_id: str) -> dict[str, Any]:
    now_ms = parts.clock.now_ms()
    silence = _known(parts, silence_id)
    return _item(silence, silence.state(now_ms), now_ms, _firing(parts, now_ms))


def _item(silence: Silence, state: str, now_ms: int, alerts: Sequence[Any]) -> dict[str, Any]:
    recurrence = silence.recurrence
    return {
        "id": silence.id,
        "state": state,
        "matchers": [str(one) for one in silence.matchers],
        "starts_ms": silence.starts_ms,
        "ends_ms": silence.ends_ms,
        "next_change_ms": silence.next_change_ms(now_ms),
        "created_by": silence.created_by,
        "comment": silence.comment,
        "updated_ms": silence.updated_ms,
        "recurrence": recurrence,
        "repeats": None if recurrence is None else RULES.get(recurrence.rule, recurrence.rule),
        "matches": 0
        if state == "expired"
        else sum(matches_all(silence.matchers, alert.labels) for alert in alerts),
    }


# ---- the form and its preview ----------------------------------------------------------------------------------------


def _form_page(
    request: Request, parts: App, form: Form, *, problems: Sequence[Problem] = (), status: int = 200
) -> Response:
    draft = {name: form.fields.get(name) or "" for name in FIELDS}
    preview: dict[str, Any] | None = None
    fault = ""
    if draft["matchers"]:
        try:
            preview = _preview(parts, form)
        except InvalidInput as error:
            fault = "; ".join(one.message for one in error.problems) or error.message
    page = render(
        request,
        "silence_new.html",
        draft=draft,
        problems={(one.path or ""): one.message for one in problems},
        preview=preview,
        fault=fault,
        rules=RULES,
        durations=_DURATIONS,
    )
    page.status_code = status
    return page


def _preview(parts: App, form: Form) -> dict[str, Any]:
    """What a silence with these matchers would mute now, and when it would recur. Raises InvalidInput."""
    now_ms = parts.clock.now_ms()
    matchers = read_matchers(form)
    alerts = parts.silences.preview(matchers, _firing(parts, now_ms))
    owners = parts.reports.ownership.owners
    rows = ordered(
        alert_row(alert, parts.dispatcher.status(alert.fingerprint), owners) for alert in alerts[:_TOLD]
    )
    return {
        "matchers": [str(one) for one in matchers],
        "total": len(alerts),
        "paging": sum(is_paging(alert.labels.get("severity", "")) for alert in alerts),
        "services": sorted({name for alert in alerts if (name := alert.labels.get("service", ""))})[
            :_PREVIEWED
        ],
        "items": rows[:_PREVIEWED],
        "advice": _advice(matchers, rows),
        "occurrences": _occurrences(form, now_ms),
    }


def _advice(matchers: Sequence[Matcher], rows: Sequence[AlertRow]) -> str:
    if not rows:
        return "No alert of now matches; a silence may wait for one that comes. Check the names and values."
    if len({row.service for row in rows}) > 3:
        return "It reaches several services; add a matcher if it need not."
    names = {one.name for one in matchers}
    return "" if len(names) > 1 else "One matcher only: alerts to come that it holds for are muted, too."


def _occurrences(form: Form, now_ms: int) -> list[dict[str, int]]:
    """When a recurring one would mute next; nothing for another, or while the rest of the form is not complete."""
    if not form.text("every", 500):
        return []
    whole = Form({**form.fields, "comment": form.fields.get("comment") or "-"}, is_json=form.is_json)
    silence = read_silence(whole, now_ms, "-")
    if silence.recurrence is None:
        return []
    after = max(now_ms, silence.starts_ms) // 60_000 - 1
    spans = next_spans(silence.recurrence, after, _OCCURRENCES, _HORIZON_MINUTES)
    return [
        {"starts_ms": begin * 60_000, "ends_ms": end * 60_000}
        for begin, end in spans
        if begin * 60_000 < silence.ends_ms
    ]
