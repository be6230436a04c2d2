"""One webhook request: the payload of Alertmanager's webhook (version 4), signed, and what its answer means.

`deliver` calls `post` in a thread of its own. A receiver that understands Alertmanager understands this: the numbers
and the event's id are beside the fields that it knows. Redirects are not followed and no proxy is taken from the
environment.

The signature is `X-Setpoint-Signature: t=<Unix seconds>,v1=<hex>`, the HMAC-SHA256 under the target's secret of
`<t>.<body>`; a receiver that checks `t`, too, cannot be sent an old request again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from setpoint import __version__
from setpoint.alert.from_objective import Target
from setpoint.clock import rfc3339

__all__ = ["Answer", "payload_of", "post", "signature"]

_TIMEOUT_S = 10.0
_RETRY_AFTER_MOST_S = 600.0
_REFUSALS = (400, 413, 415, 422)
_NEVER = "0001-01-01T00:00:00Z"
_NUMBERS = ("budget_left", "sli", "target", "exhaustion_s")
ENDS = ("alert.resolved", "policy.lifted")
"""The kinds of events that say of something that it is over."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`ok`: the receiver has it. `refused`: it will not take this payload, however often it is sent. `error` says what
    went wrong; `retry_after_s` is what the receiver asked for.
    """

    ok: bool
    refused: bool = False
    error: str = ""
    retry_after_s: float = 0.0


def payload_of(events: Sequence[Mapping[str, Any]], target: str, external_url: str) -> dict[str, Any]:
    """The body for some events of alerts (rows of `alert_events_after`, `data` decoded), oldest first."""
    alerts = [_alert(event, external_url) for event in events]
    common = dict(alerts[0]["labels"])
    notes = dict(alerts[0]["annotations"])
    for alert in alerts[1:]:
        common = {name: value for name, value in common.items() if alert["labels"].get(name) == value}
        notes = {name: value for name, value in notes.items() if alert["annotations"].get(name) == value}
    return {
        "version": "4",
        "groupKey": f"setpoint/{target}",
        "truncatedAlerts": 0,
        "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
        "receiver": target,
        "groupLabels": {},
        "commonLabels": common,
        "commonAnnotations": notes,
        "externalURL": external_url,
        "alerts": alerts,
    }


def _alert(event: Mapping[str, Any], external_url: str) -> dict[str, Any]:
    data = event["data"]
    if event["kind"].startswith("policy."):
        return _policy(event, external_url)
    is_firing = event["kind"] not in ENDS
    named = {name: ",".join(values) for name, values in data["labels"].items()}
    labels = named | {
        "alertname": data["policy"],
        "objective": data["objective"],
        "service": event["service"],
        "severity": data["severity"],
    }
    annotations = {"summary": event["summary"], "description": data["reason"]}
    shown = data["display_name"] or data["objective"]
    annotations["title"] = f"{shown}: {data['policy_display_name'] or data['policy']}"
    identity = f"{data['objective']}\0{data['policy']}".encode()
    return {
        "status": "firing" if is_firing else "resolved",
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(int(data["since_ms"])),
        "endsAt": _NEVER if is_firing else rfc3339(int(event["at_ms"])),
        "generatorURL": f"{external_url}/objectives/{data['objective']}",
        "fingerprint": hashlib.blake2b(identity, digest_size=8).hexdigest(),
        "state": data["state"],
        "eventId": event["id"],
        "values": data["values"],
    }


def _policy(event: Mapping[str, Any], external_url: str) -> dict[str, Any]:
    """A rule of an error budget policy that is in force, or no longer."""
    data, is_firing = event["data"], event["kind"] not in ENDS
    identity = f"policy\0{data['policy']}\0{data['rule']}\0{event['service']}".encode()
    return {
        "status": "firing" if is_firing else "resolved",
        "labels": {
            "alertname": data["policy"],
            "rule": data["rule"],
            "releases": data["releases"],
            "objective": data["objective"],
            "service": event["service"],
            "severity": "policy",
        },
        "annotations": {
            "summary": event["summary"],
            "description": data["reason"],
            "title": f"{event['service']}: {data['policy']}, {data['rule']}",
        },
        "startsAt": rfc3339(int(data["since_ms"])),
        "endsAt": _NEVER if is_firing else rfc3339(int(event["at_ms"])),
        "generatorURL": f"{external_url}/releases#s-{event['service']}",
        "fingerprint": hashlib.blake2b(identity, digest_size=8).hexdigest(),
        "state": data["state"],
        "eventId": event["id"],
        "values": {name: data["numbers"][name] for name in _NUMBERS if data["numbers"]},
    }


def signature(secret: str, at_s: int, body: bytes) -> str:
    """The value of the signature header."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def post(target: Target, secret: str, payload: Mapping[str, Any], key: str, now_ms: int) -> Answer:
    """Send one request and tell what became of it; never raises for what a receiver or a network does."""
    body = json.dumps(payload, ensure_ascii=False, allow_nan=False).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"Setpoint/{__version__}",
        "Idempotency-Key": key,
    }
    if secret:
        headers["X-Setpoint-Signature"] = signature(secret, now_ms // 1000, body)
    try:
        with (
            httpx.Client(timeout=_TIMEOUT_S, follow_redirects=False, trust_env=False) as client,
            client.stream("POST", target.url, content=body, headers=headers) as response,
        ):
            return _answer(response)
    except httpx.TimeoutException:
        return Answer(ok=False, error=f"did not answer within {_TIMEOUT_S:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
        return Answer(ok=False, error=str(error) or type(error).__name__)


def _answer(response: httpx.Response) -> Answer:
    if response.is_success:
        return Answer(ok=True)
    wait_s = 0.0
    asked = response.headers.get("Retry-After", "")
    if asked.isascii() and asked.isdigit() and len(asked) <= 9:
        wait_s = min(float(asked), _RETRY_AFTER_MOST_S)
    where = f" to {response.headers.get('Location', '?')[:200]}" if response.is_redirect else ""
    told = f"answered {response.status_code}{where}"
    return Answer(ok=False, refused=response.status_code in _REFUSALS, error=told, retry_after_s=wait_s)
