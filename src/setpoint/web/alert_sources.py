"""Alert sources as a page and JSON: who sends, how it goes, and a place where a mapping is tried before it is applied.

A trial reads a body as `events_in` would and says which alerts it would make; nothing is stored, and whatever is wrong
is told with its place in the resource or in the body.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from setpoint.alert.door.body import read_json
from setpoint.alert.door.keyed import Taken
from setpoint.alert.door.pagerduty import read_event
from setpoint.alert.door.sources import Source, read_told
from setpoint.alert.door.spec import AlertSource
from setpoint.app import App
from setpoint.errors import InvalidInput, Problem
from setpoint.resource import canonical_yaml, load_text
from setpoint.web.form import Form, read_form
from setpoint.web.page import Parts, json_answer, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_TEXT_MOST: Final = 60_000
_SHOWN_MOST = 50
_HEAD = "apiVersion: setpoint/v1\nkind: AlertSource\nmetadata:\n  name: trial\nspec:\n"
_EXAMPLE: Final = """\
apiVersion: setpoint/v1
kind: AlertSource
metadata:
  name: build-farm
spec:
  type: json
  keyFile: build-farm-key
  labels:
    service: builds
  mapping:
    items: checks
    labels:
      alertname: "{{ .check }}"
      host: "{{ $body.host }}"
      severity: '{{ if ge .level 2 }}page{{ else }}ticket{{ end }}'
    annotations:
      summary: "{{ .check }} of {{ $body.host }}: {{ .text }}"
    status: "{{ .state }}"
    resolved: [passing]
    startsAt: "{{ .since }}"
    dedup: "{{ .id }}"
"""
_BODY: Final = """\
{
  "host": "build-3",
  "checks": [
    {"id": 81, "check": "disk", "level": 2, "state": "failing", "text": "97 % full", "since": 1795442400}
  ]
}
"""
_BODIES: Final[Mapping[str, str]] = {
    "json": _BODY,
    "pagerduty": json.dumps(
        {
            "event_action": "trigger",
            "dedup_key": "disk/db1",
            "payload": {"summary": "Disk of db1 is full", "source": "db1", "severity": "critical"},
        },
        indent=2,
    ),
    "cloudevents": json.dumps(
        {
            "specversion": "1.0",
            "id": "1",
            "source": "/ci/main",
            "type": "com.example.build.failed",
            "subject": "main",
            "data": {"summary": "main is red", "severity": "page"},
        },
        indent=2,
    ),
    "grafana": json.dumps(
        {
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "High memory", "team": "blue"},
                    "annotations": {"summary": "Memory is nearly used up"},
                    "startsAt": "2026-11-23T14:00:00Z",
                    "values": {"B": 44.2},
                }
            ]
        },
        indent=2,
    ),
}

router = APIRouter()
Sent = Annotated[Form, Depends(read_form)]


@router.get("/alert-sources")
@needs("viewer")
def show_sources(
    request: Request, parts: Parts, source: Annotated[str, Query(max_length=63)] = ""
) -> Response:
    sources = parts.alert_sources.all()
    if wants_json(request):
        return json_answer({"items": [_item(one) for one in sources], "api": _counted(parts)})
    spec, body = _EXAMPLE, _BODY
    trial = None if source else _trial(parts, spec, body, None)
    if source:
        known = parts.alert_sources.get(source)
        found = next(
            one for one in parts.resources.documents() if (one.kind, one.name) == ("AlertSource", source)
        )
        spec, body = canonical_yaml(found.body), _BODIES.get(known.spec.type, _BODIES["grafana"])
    return _page(request, parts, spec, body, trial)


@router.post("/alert-sources/try")
@needs("editor")
def try_source(request: Request, parts: Parts, sent: Sent) -> Response:
    sent.only("spec", "body", "headers")
    spec, body = _given(sent, "spec"), _given(sent, "body")
    trial = _trial(parts, spec, body, sent.fields.get("headers"))
    if wants_json(request) or sent.is_json:
        return json_answer(trial)
    return _page(request, parts, spec, body, trial)


def _page(request: Request, parts: App, spec: str, body: str, trial: dict[str, Any] | None) -> Response:
    return render(
        request,
        "alert_sources.html",
        sources=[_item(one) for one in parts.alert_sources.all()],
        api=_counted(parts),
        spec=spec,
        body=body,
        trial=trial,
        shown_most=_SHOWN_MOST,
        base_url=str(request.base_url).rstrip("/"),
    )


def _given(sent: Form, name: str) -> str:
    """A field as text; a program may send it as JSON."""
    value = sent.fields.get(name)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return sent.text(name, _TEXT_MOST)


def _item(source: Source) -> dict[str, Any]:
    counts, spec = source.counts, source.spec
    return {
        "name": source.name,
        "type": spec.type,
        "description": spec.description,
        "path": "/v2/enqueue" if spec.type == "pagerduty" else f"/alerts/in/{source.name}",
        "has_key": spec.key_file is not None,
        "key_file": spec.key_file,
        "signed_only": spec.signed_only,
        "requests": counts.requests,
        "alerts": counts.alerts,
        "refused": counts.refused,
        "last_ms": counts.last_ms,
        "last_refusal": counts.last_refusal,
    }


def _counted(parts: App) -> dict[str, Any]:
    """The same of Alertmanager's API, which needs no source."""
    counts = parts.alert_sources.counts()["alertmanager"]
    return {"path": "/api/v2/alerts", **dataclasses.asdict(counts)}


def _trial(parts: App, spec: str, body: str, headers: Any) -> dict[str, Any]:
    """What a source of this spec would make of a body: `alerts`, and `problems` whose `where` is spec or body."""
    try:
        name, read = _read_spec(parts, spec)
    except InvalidInput as error:
        return _failed("spec", error, 0 if "apiVersion" in spec else _HEAD.count("\n"))
    try:
        told = _read_body(read, body, headers)
        taken = parts.alert_sources.trial(name, read.spec, told)
    except InvalidInput as error:
        return _failed("body", error)
    return {"alerts": _alerts(parts, taken), "dropped": taken.dropped, "problems": [], "name": name}


def _read_spec(parts: App, text: str) -> tuple[str, AlertSource]:
    """The name and the resource; a text without an envelope is taken as its spec. Raises InvalidInput."""
    is_whole = "apiVersion" in text
    if not text.strip():
        raise InvalidInput(problems=(Problem("write an AlertSource here, or its spec"),))
    if not is_whole and text.lstrip().startswith("{"):
        whole = _HEAD.rstrip() + " " + " ".join(text.split("\n"))
    else:
        whole = text if is_whole else _HEAD + "".join(f"  {line}\n" for line in text.splitlines())
    documents = load_text([("", whole)], parts.registry)
    if len(documents) != 1 or not isinstance(documents[0].spec, AlertSource):
        raise InvalidInput(problems=(Problem("write one resource of the kind AlertSource"),))
    return documents[0].name, documents[0].spec


def _read_body(source: AlertSource, body: str, headers: Any) -> Any:
    sent = {"content-type": "application/json"}
    if source.spec.type == "cloudevents":
        is_batch = body.lstrip().startswith("[")
        sent["content-type"] = f"application/cloudevents{'-batch' if is_batch else ''}+json"
    if isinstance(headers, dict) and all(isinstance(one, str) for one in headers.values()):
        sent |= {str(name).lower(): value for name, value in headers.items()}
    data = body.encode("utf-8", "surrogatepass")
    if source.spec.type == "pagerduty":
        event = read_json(data)
        if not isinstance(event, dict):
            raise InvalidInput(problems=(Problem("an event is an object"),))
        return [read_event(event, "made-when-it-comes")]
    return read_told(source.spec, source.spec.compiled(), sent, data)


def _failed(where: str, error: InvalidInput, above: int = 0) -> dict[str, Any]:
    """What is wrong; `above` lines stand above what was given."""
    problems = error.problems or (Problem(error.message),)
    return {
        "alerts": [],
        "dropped": 0,
        "problems": [
            {
                "where": where,
                "path": one.path,
                "line": None if one.line is None or one.line <= above else one.line - above,
                "message": one.message,
            }
            for one in problems
        ],
    }


def _alerts(parts: App, taken: Taken) -> list[dict[str, Any]]:
    now_ms = parts.clock.now_ms()
    acknowledged = {one.fingerprint for one in taken.acknowledged}
    return [
        {
            "state": "resolved"
            if one.is_resolved(now_ms)
            else "acknowledged"
            if one.fingerprint in acknowledged
            else "firing",
            "fingerprint": one.fingerprint,
            "labels": dict(one.labels),
            "annotations": dict(one.annotations),
            "starts_ms": one.starts_ms,
            "ends_ms": one.ends_ms,
            "url": one.generator_url,
            "values": dict(one.values),
            "receivers": list(
                dict.fromkeys(route.receiver for route in parts.dispatcher.routing.match(one.labels))
            ),
        }
        for one in taken.alerts
    ]
