"""One alert as page and JSON: why it fires, who was told of it and who was not, and by which decision.

The values against the thresholds come from what made the alert (the rule manager, the objective), the way to its
receivers from the dispatcher, the attempts from the outbox and the timeline. Opening the page of an alert that fires
is written down once: noise counts what ended before anyone looked.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from setpoint.alert.model import Alert
from setpoint.alert.rules.status import GroupStatus, RuleStatus, RuleWhy
from setpoint.app import App
from setpoint.errors import InvalidInput, NotFound, SetpointError
from setpoint.objective.model import AlertStatus as BurnAlert
from setpoint.timeline import Event
from setpoint.web.alert_rows import AlertRow, alert_row, link, matcher_text
from setpoint.web.alerts import silence_url
from setpoint.web.objective import segment
from setpoint.web.page import Actor, Parts, json_answer, plain, query_string, render, wants_json
from setpoint.web.roles import needs
from setpoint.web.rules import explore_url, reason_of, rule_url, state_of
from setpoint.web.timeline import ALERT_KINDS

__all__ = ["SEEN", "router"]

log = logging.getLogger(__name__)

SEEN: Final = "alert.seen"
ACKNOWLEDGED: Final = "alert.acknowledged"
_LOOKED_AT, _SHOWN = 1000, 30

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Why:
    """What is known of why an alert fires: of a rule, of an objective, or only what its sender said.

    `sentence` says it with the numbers; `rules` are conditions with values; `burn` is the objective's policy.
    """

    sentence: str
    rules: tuple[RuleWhy, ...] = ()
    rule: tuple[GroupStatus, RuleStatus] | None = None
    objective: str = ""
    burn: BurnAlert | None = None


@router.get("/alerts/{fingerprint}")
@needs("viewer")
def show_alert(request: Request, parts: Parts, fingerprint: str, actor: Actor) -> Response:
    now_ms = parts.clock.now_ms()
    alert = parts.alert_book.get(fingerprint)
    if alert is None:
        return _gone(request, parts, fingerprint)
    fires = not alert.is_resolved(now_ms)
    if fires and "hx-request" not in request.headers:
        _seen(parts, alert, actor)
    row = alert_row(alert, parts.dispatcher.status(fingerprint), parts.reports.ownership.owners)
    told = parts.dispatcher.explain(fingerprint)
    why = _why(parts, alert)
    events = _events(parts, fingerprint, alert.labels)
    waiting = _waiting(parts, fingerprint)
    if wants_json(request):
        return json_answer(
            _as_json(alert, row)
            | {"fires": fires, "told": told, "why": _why_json(why), "deliveries": waiting, "events": events}
        )
    return render(
        request,
        "alert.html",
        alert=alert,
        row=row,
        fires=fires,
        told=told,
        why=why,
        deliveries=waiting,
        events=events[:_SHOWN],
        silence_url=silence_url(row),
        silence_this="/silences/new" + query_string(matchers=matcher_text(alert.labels)[:8000]),
        labels=sorted(alert.labels.items(), key=lambda pair: (pair[0] != "alertname", pair[0])),
        links={value for value in alert.annotations.values() if value.startswith("http") and link(value)},
        rule_url=rule_url,
        explore_url=explore_url,
        reason_of=reason_of,
        state_of=state_of,
    )


@router.post("/alerts/{fingerprint}/acknowledge")
@needs("responder")
def acknowledge(request: Request, parts: Parts, fingerprint: str, actor: Actor) -> Response:
    alert = parts.alert_book.get(fingerprint)
    if alert is None or alert.is_resolved(parts.clock.now_ms()):
        raise NotFound(f"no alert '{fingerprint[:80]}' fires; `setpoint alert list` shows those that do")
    event = _note(parts, ACKNOWLEDGED, alert, actor, f"{actor} looks after {alert.name or fingerprint}")
    if wants_json(request):
        return json_answer(event)
    return RedirectResponse(f"/alerts/{segment(fingerprint)}", 303)


def _note(parts: App, kind: str, alert: Alert, actor: str, summary: str) -> Event:
    """An event of a person and an alert, once for each time that it fires and each person."""
    return parts.timeline.append(
        kind,
        summary[:900],
        service=_storable(alert.labels.get("service", ""))[:255],
        actor=actor,
        data={"fingerprint": alert.fingerprint, "labels": _few(alert.labels), "starts_ms": alert.starts_ms},
        key=f"{kind}/{alert.fingerprint}/{alert.starts_ms}/{actor}"[:500],
    )


def _seen(parts: App, alert: Alert, actor: str) -> None:
    try:
        _note(parts, SEEN, alert, actor, _storable(f"{actor} opened {alert.name or alert.fingerprint}"))
    except SetpointError as error:  # a page of an alert stands whatever becomes of a note on it
        log.warning("that %s was looked at is not written down: %s", alert.fingerprint, error.message)


def _few(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name in ("alertname", "objective", "service")}


def _storable(text: str) -> str:
    return text.replace("\0", " ").encode("utf-8", "replace").decode()


# ---- why it fires ----------------------------------------------------------------------------------------------------


def _why(parts: App, alert: Alert) -> Why:
    if alert.source == "objective":
        return _of_objective(parts, alert)
    found = _rule_of(parts.rules.groups(), alert)
    if found is not None:
        return _of_rule(parts, alert, found)
    if alert.source == "rules":
        return Why("Its rule is not evaluated any more, or says this no longer.")
    told = ", ".join(f"{name} {value}" for name, value in list(alert.values.items())[:20])
    values = f" with {told}" if told else ""
    sender = "A sender" if alert.source == "alertmanager" else f"The source {alert.source}"
    return Why(f"{sender} told it{values}; what is behind it is known there.")


def _of_objective(parts: App, alert: Alert) -> Why:
    name, policy = alert.labels.get("objective", ""), alert.labels.get("alertname", "")
    try:
        status = parts.objectives.status(name)
    except SetpointError:
        return Why(f"It was an alert of the objective {name or 'of no name'}, which does not exist any more.")
    burn = next((one for one in status.alerts if one.policy == policy), None)
    if burn is None:
        return Why(f"The objective {name} has no policy {policy} any more.", objective=name)
    return Why(burn.summary, objective=name, burn=burn)


def _rule_of(groups: Sequence[GroupStatus], alert: Alert) -> tuple[GroupStatus, RuleStatus] | None:
    for group in groups:
        for rule in group.rules:
            if rule.name == alert.name and any(one.fingerprint == alert.fingerprint for one in rule.alerts):
                return group, rule
    return None


def _of_rule(parts: App, alert: Alert, found: tuple[GroupStatus, RuleStatus]) -> Why:
    group, rule = found
    try:
        whys = parts.rules.why(group.name, rule.name, group.file)
    except SetpointError as error:
        return Why(f"The values cannot be asked for now: {error.message}", rule=found)
    mine = [why for why in whys if any(one.alert.fingerprint == alert.fingerprint for one in why.alerts)]
    kept = tuple(mine or whys)
    return Why(kept[0].summary if kept else "", kept, found)


def _why_json(why: Why) -> dict[str, Any]:
    return {
        "sentence": why.sentence,
        "rules": plain(why.rules),
        "rule": None if why.rule is None else rule_url(*why.rule),
        "objective": why.objective,
        "policy": plain(why.burn),
    }


# ---- who was told ----------------------------------------------------------------------------------------------------


def _waiting(parts: App, fingerprint: str) -> list[dict[str, Any]]:
    """What of it waits to be delivered, or was given up."""
    found = [*parts.outbox.pending(), *parts.outbox.dead()]
    return [
        {
            "id": one.id,
            "receiver": one.notification.receiver,
            "integration": one.notification.integration,
            "state": one.state,
            "attempts": one.attempts,
            "error": one.error,
            "due_ms": one.due_ms,
            "created_ms": one.created_ms,
        }
        for one in found
        if fingerprint in one.notification.firing or fingerprint in one.notification.resolved
    ]


def _events(parts: App, fingerprint: str, labels: Mapping[str, str]) -> list[Event]:
    """What the timeline tells of an alert, newest first, of the last thousand events of alerts of its service."""
    service = labels.get("service", "")[:255]
    events = parts.timeline.query(service=service or None, kinds=[*ALERT_KINDS, SEEN], limit=_LOOKED_AT)
    return [event for event in events if _is_of(event.data, fingerprint, labels)]


def _is_of(data: Mapping[str, Any], fingerprint: str, labels: Mapping[str, str]) -> bool:
    named = data.get("alerts")
    if data.get("fingerprint") == fingerprint or (isinstance(named, list) and fingerprint in named):
        return True
    pair = data.get("objective"), data.get("policy")
    return all(pair) and pair == (labels.get("objective"), labels.get("alertname"))


def _as_json(alert: Alert, row: AlertRow) -> dict[str, Any]:
    made: dict[str, Any] = plain(row)
    del made["chips"], made["more"]
    return made | {
        "name": alert.name,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "values": plain(alert.values),
        "ends_ms": alert.ends_ms,
        "updated_ms": alert.updated_ms,
        "is_timeout": alert.is_timeout,
    }


def _gone(request: Request, parts: App, fingerprint: str) -> Response:
    """An alert that is not held any more: what the timeline tells of it. Raises NotFound."""
    if len(fingerprint) > 64 or not fingerprint.isprintable():
        raise InvalidInput("that is no fingerprint of an alert; /alerts lists those that fire")
    events = _events(parts, fingerprint, {})
    if not events:
        raise NotFound(
            f"no alert '{fingerprint}' is known; /alerts lists those that fire, /alerts/history what was"
        )
    if wants_json(request):
        return json_answer({"fingerprint": fingerprint, "fires": False, "events": events})
    last = next((event for event in events if event.kind in ("alert.resolved", "alert.fired")), events[0])
    return render(request, "alert_gone.html", fingerprint=fingerprint, last=last, events=events[:_SHOWN])
