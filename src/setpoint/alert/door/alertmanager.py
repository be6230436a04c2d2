"""The body of Alertmanager's `POST /api/v2/alerts`, read as Alertmanager reads it, down to the words of its refusals.

Senders rely on three things beside the shape: only `labels` is required, unknown fields are nothing to complain of,
and of several alerts the valid ones count although the answer is 400. A body that does not parse, or misses labels,
changes nothing. No model of pydantic stands between, because this is the path on which alerts wait to be delivered.

Where Alertmanager is lenient to its harm we are not: half a character and NUL are refused, and there are bounds on how
many labels an alert has and how long they are. Of a key that stands twice the last counts, as there: vmalert sends
`alertname` twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from setpoint.alert.door.body import parse
from setpoint.alert.door.told import faults_of, instant_of
from setpoint.alert.model import Alert, fingerprint_of

__all__ = ["Posted", "Refused", "read_alerts"]

_REMEMBERED = 65_536
_URI = re.compile(r"(?:[a-zA-Z][a-zA-Z0-9+.-]*:)?/[^\x00-\x1f]*|[a-zA-Z][a-zA-Z0-9+.-]*:[^\x00-\x1f]+")
_EARLIEST_MS = 0
_LATEST_MS = 253_402_300_799_999


class Refused(Exception):
    """Alertmanager's answer to a body that it does not take: a status, a code and a message."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


@dataclass(frozen=True, slots=True)
class Posted:
    """What a body brought: the valid alerts, and what is wrong with the others."""

    alerts: Sequence[Alert]
    faults: Sequence[str]


def read_alerts(body: bytes, now_ms: int, resolve_timeout_ms: int) -> Posted:
    """The alerts of a body. Raises Refused."""
    if not body.strip():
        raise Refused(422, 602, "alerts in body is required")
    try:
        items = parse(body, last_wins=True)
        if items is None:
            return Posted((), ())
        if not isinstance(items, list):
            raise ValueError("the alerts stand in a list: send [{…}]")
        written = [_checked(item, f"[{number}]") for number, item in enumerate(items)]
    except ValueError as error:
        raise Refused(400, 400, f'parsing alerts body from "" failed, because {error}') from None
    for number, item in enumerate(written):
        if "labels" not in item:
            raise Refused(422, 602, f"{number}.labels in body is required")
        address = item.get("generatorURL", "")
        if address and not _URI.fullmatch(address):
            raise Refused(422, 601, f'{number}.generatorURL in body must be of type uri: "{address[:200]}"')
    alerts, faults = [], []
    for number, item in enumerate(written):
        made = _alert(item, f"[{number}]", now_ms, resolve_timeout_ms)
        if isinstance(made, str):
            faults.append(made)
        else:
            alerts.append(made)
    return Posted(alerts, faults)


def _checked(item: Any, path: str) -> dict[str, Any]:
    """One alert whose fields have the right types, without those that are null. Raises ValueError."""
    if not isinstance(item, dict):
        raise ValueError(f"{path} is no object; send {{'labels': {{…}}}}")
    found: dict[str, Any] = {}
    for name in ("labels", "annotations"):
        texts = item.get(name)
        if texts is None:
            continue
        if not isinstance(texts, dict):
            raise ValueError(f"{path}.{name} is no object of texts")
        for key, text in texts.items():
            if text is not None and not isinstance(text, str):
                raise ValueError(f"{path}.{name}.{key[:80]} is no text; write it in quotes")
        # An empty label is no label; an empty annotation is kept, as Alertmanager does.
        found[name] = {key: text or "" for key, text in texts.items() if text or name == "annotations"}
    for name in ("startsAt", "endsAt", "generatorURL"):
        text = item.get(name)
        if text is None:
            continue
        if not isinstance(text, str):
            raise ValueError(f"{path}.{name} is no text; write it in quotes")
        try:
            found[name] = text if name == "generatorURL" else instant_of(text)
        except ValueError as error:
            raise ValueError(f"{path}.{name}: {error}") from None
    return found


def _alert(item: Mapping[str, Any], path: str, now_ms: int, resolve_timeout_ms: int) -> Alert | str:
    """The alert, or what is wrong with it."""
    labels, annotations = item["labels"], item.get("annotations", {})
    if not labels:
        return "at least one label pair required"
    for kind, names in (("label set", labels), ("annotations", annotations)):
        if "" in names:
            return f'invalid {kind}: invalid name ""'
    starts_ms, told_ms = item.get("startsAt"), item.get("endsAt")
    if starts_ms is None:
        starts_ms = now_ms if told_ms is None else told_ms
    ends_ms = now_ms + resolve_timeout_ms if told_ms is None else told_ms
    if ends_ms < starts_ms:
        return "start time must be before end time"
    if not _EARLIEST_MS <= starts_ms <= ends_ms <= _LATEST_MS:
        return "a time is outside of the years 1970 to 9999"
    address = item.get("generatorURL", "")
    faults = [str(fault) for fault in faults_of(labels, annotations, address, path)]
    if faults:
        return "; ".join(faults)
    return Alert(
        labels,
        starts_ms,
        now_ms,
        ends_ms,
        annotations,
        address,
        is_timeout=told_ms is None,
        fingerprint=_fingerprint(tuple(sorted(labels.items()))),
    )


@lru_cache(_REMEMBERED)
def _fingerprint(pairs: tuple[tuple[str, str], ...]) -> str:
    """Senders repeat their alerts every minute, and the hash is the dearest part of reading one."""
    return fingerprint_of(dict(pairs))
