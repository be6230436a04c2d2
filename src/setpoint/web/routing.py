"""Who hears of which alerts: the tree of routes as a page and JSON, and what it does with labels that somebody tries.

`RoutingSource` knows what is in force; `trial` answers. Trying sends and changes nothing, so whoever may look may try.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from setpoint.alert.model import Labels
from setpoint.alert.route.matcher import parse_matchers, shown_matchers
from setpoint.alert.route.model import Routing
from setpoint.alert.route.trial import Trial, route_json, try_labels
from setpoint.app import App
from setpoint.errors import InvalidInput
from setpoint.web.form import Form, read_form
from setpoint.web.page import Parts, json_answer, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_LABELS_MOST, _LENGTH_MOST = 100, 8192
_AT_MS_MAX = 253_402_300_799_999
_PAIR: Final = re.compile(
    r"\s*(?P<name>[^\s=!~\"{},]+)=(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>\S*))(?:\s+|$)"
)
_EXAMPLE: Final = 'write them such as severity=page service=checkout, or severity="page", service="checkout"'

router = APIRouter()


@router.get("/routing")
@needs("viewer")
def show_routing(
    request: Request,
    parts: Parts,
    *,
    labels: Annotated[str, Query(max_length=_LENGTH_MOST)] = "",
    at: Annotated[str, Query(max_length=40)] = "",
) -> Response:
    now_ms = parts.clock.now_ms()
    routing = parts.routing.current
    answer: dict[str, Any] = {
        "status": parts.routing.status.as_json(),
        "route": route_json(routing.route, routing, now_ms),
        "receivers": _receivers(routing),
        "inhibit_rules": _rules(routing),
        "time_intervals": [
            {"name": name, "holds_now": one.contains(now_ms)}
            for name, one in sorted(routing.intervals.items())
        ],
        "templates": list(routing.templates),
        "text": routing.text,
    }
    fault = ""
    if labels.strip():
        try:
            answer["trial"] = _tried(parts, _read_labels(labels), _read_instant(at, now_ms))
        except InvalidInput as error:
            if wants_json(request):
                raise
            fault = error.message
    if wants_json(request):
        return json_answer(answer)
    return render(request, "routing.html", **{"trial": None, **answer}, labels=labels, at=at, fault=fault)


@router.post("/routing/try")
@needs("viewer")
def try_routing(parts: Parts, form: Annotated[Form, Depends(read_form)]) -> Response:
    """`{"labels": {"severity": "page"}, "at": "2026-11-23T03:00:00Z"}`; labels may be text, `at` Unix milliseconds."""
    form.only("labels", "at")
    given = form.fields.get("labels")
    labels = (
        _checked(given) if isinstance(given, Mapping) else _read_labels(form.text("labels", _LENGTH_MOST))
    )
    at = form.fields.get("at", "")
    now_ms = parts.clock.now_ms()
    if isinstance(at, int) and not isinstance(at, bool):
        if not 0 <= at <= _AT_MS_MAX:
            raise InvalidInput("at is out of range; write Unix milliseconds, or such as 2026-11-23T03:00:00Z")
        at_ms = at
    else:
        at_ms = _read_instant(form.text("at", 40), now_ms)
    return json_answer(_tried(parts, labels, at_ms))


def _tried(parts: App, labels: Labels, at_ms: int) -> dict[str, Any]:
    """The trial with what silences and inhibits the labels."""
    silenced_by = parts.silences.mutes(labels, at_ms)
    inhibited_by = parts.dispatcher.inhibitor.inhibited_by(labels, at_ms)
    trial: Trial = try_labels(
        parts.routing.current, labels, at_ms, silenced_by=silenced_by, inhibited_by=inhibited_by
    )
    silences = [parts.silences.get(one) for one in silenced_by]
    sources = [parts.alert_book.get(one) for one in inhibited_by]
    return {
        **trial.as_json(),
        "silences": [
            {"id": one.id, "matchers": shown_matchers(one.matchers), "comment": one.comment}
            for one in silences
            if one
        ],
        "inhibitors": [
            {"fingerprint": one.fingerprint, "labels": dict(one.labels)} for one in sources if one
        ],
    }


def _receivers(routing: Routing) -> list[dict[str, Any]]:
    used = {route.receiver for route in routing.route.walk()}
    return [
        {
            "name": one.name,
            "channels": [
                {"key": channel.key, "send_resolved": channel.send_resolved} for channel in one.integrations
            ],
            "is_used": one.name in used,
        }
        for one in routing.receivers.values()
    ]


def _rules(routing: Routing) -> list[dict[str, Any]]:
    return [
        {
            "name": one.name,
            "source": [str(matcher) for matcher in one.source],
            "target": [str(matcher) for matcher in one.target],
            "equal": list(one.equal),
            "line": one.line,
        }
        for one in routing.inhibit_rules
    ]


def _read_labels(text: str) -> dict[str, str]:
    """Labels as people write them: `a=b c="d e"`, or as matchers with commas and braces. Raises InvalidInput."""
    found: dict[str, str] = {}
    at = 0
    text = text.strip()
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None or (pair["plain"] is not None and pair["plain"].endswith(",")):
            return _of_matchers(text)
        quoted = pair["quoted"]
        found[pair["name"]] = pair["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        at = pair.end()
    return _checked(found)


def _of_matchers(text: str) -> dict[str, str]:
    try:
        matchers = parse_matchers(text)
    except InvalidInput as error:
        raise InvalidInput(f"these are no labels: {text[:200]}; {_EXAMPLE}") from error
    others = [one for one in matchers if one.kind != "="]
    if others:
        raise InvalidInput(f"{others[0]} is a condition; an alert has values: {_EXAMPLE}")
    return _checked({one.name: one.value for one in matchers})


def _checked(labels: Mapping[Any, Any]) -> dict[str, str]:
    if not labels:
        raise InvalidInput(f"there are no labels; {_EXAMPLE}")
    if len(labels) > _LABELS_MOST:
        raise InvalidInput(f"there are {len(labels)} labels; an alert has at most {_LABELS_MOST} here")
    for name, value in labels.items():
        if not isinstance(value, str) or not isinstance(name, str) or len(name) + len(value) > _LENGTH_MOST:
            raise InvalidInput(f"the label '{str(name)[:80]}' is no text that fits; {_EXAMPLE}")
    return dict(labels)


def _read_instant(text: str, now_ms: int) -> int:
    """An instant that somebody wrote; now, where nobody did. Raises InvalidInput."""
    if not text.strip():
        return now_ms
    try:
        at = datetime.fromisoformat(text.strip())
        if at.tzinfo is None:
            raise InvalidInput(f"'{text}' has no offset; write {text}Z for UTC, or such as {text}+01:00")
        at_ms = int(at.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"'{text}' is no instant; write one such as 2026-11-23T03:00:00Z") from error
    if not 0 <= at_ms <= _AT_MS_MAX:
        raise InvalidInput(f"'{text}' is out of range; write a later instant")
    return at_ms
