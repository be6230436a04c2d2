"""Alerts, groups and silences as Alertmanager's API v2 writes them (its openapi.yaml), and what a client posts as a
silence. `web.alertmanager` serves it.

The text of an alert is made once and kept until the alert changes, because clients ask for all of ten thousand again
and again; only how it stands is new each time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from setpoint.alert.dispatch.status import AlertStatus
from setpoint.alert.door.alertmanager import Refused
from setpoint.alert.door.body import parse
from setpoint.alert.door.told import instant_of
from setpoint.alert.model import NEVER, Alert, Labels
from setpoint.alert.route.matcher import Matcher, MatcherKind
from setpoint.alert.silence.model import Silence
from setpoint.clock import rfc3339
from setpoint.errors import InvalidInput

__all__ = ["AlertTexts", "alert_order", "group_order", "read_silence", "silence_json", "silence_order"]

_KINDS: Mapping[tuple[bool, bool], MatcherKind] = {
    (True, False): "=",
    (False, False): "!=",
    (True, True): "=~",
    (False, True): "!~",
}
_STATES = ("active", "pending", "expired")


class AlertTexts:
    """The JSON of alerts without how they stand, by fingerprint; forgotten with the alert. Safe to use from several
    threads: what two make at once is the same.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[Alert, str, str]] = {}

    def write(self, alert: Alert, status: AlertStatus) -> str:
        """The JSON of one alert."""
        known = self._known.get(alert.fingerprint)
        if known is None or known[0] is not alert:
            known = self._known[alert.fingerprint] = alert, *_parts(alert)
        receivers = ",".join(f'{{"name":{_text(name)}}}' for name in status.receivers)
        state = (
            f'{{"inhibitedBy":{_list(status.inhibited_by)},"mutedBy":{_list(status.muted_by)},'
            f'"silencedBy":{_list(status.silenced_by)},"state":"{status.state}"}}'
        )
        return f'{known[1]}"receivers":[{receivers}],"status":{state},{known[2]}'

    def keep(self, fingerprints: Iterable[str]) -> None:
        """Forget all other alerts, when there are many of them."""
        if len(self._known) > 1000:
            kept = set(fingerprints)
            if len(self._known) > 2 * len(kept):
                self._known = {name: text for name, text in list(self._known.items()) if name in kept}


def _parts(alert: Alert) -> tuple[str, str]:
    """What stands before and behind `receivers` and `status`."""
    ends = NEVER.replace("Z", ".000Z") if alert.ends_ms is None else rfc3339(alert.ends_ms)
    before = (
        f'{{"annotations":{_dumps(alert.annotations)},"endsAt":"{ends}","fingerprint":"{alert.fingerprint}",'
        f'"startsAt":"{rfc3339(alert.starts_ms)}","updatedAt":"{rfc3339(alert.updated_ms)}",'
    )
    address = f'"generatorURL":{_text(alert.generator_url)},' if alert.generator_url else ""
    return before, f'{address}"labels":{_dumps(alert.labels)}}}'


def _dumps(labels: Labels) -> str:
    return json.dumps(dict(sorted(labels.items())), separators=(",", ":"))


_text = json.dumps


def _list(names: Sequence[str]) -> str:
    return json.dumps(names, separators=(",", ":")) if names else "[]"


def label_order(labels: Labels) -> tuple[int, list[tuple[str, str]]]:
    """Where Alertmanager puts a label set among others: the smaller first, then by names and values."""
    return len(labels), sorted(labels.items())


def alert_order(alert: Alert) -> tuple[Any, ...]:
    """Where Alertmanager puts an alert within its group: by job and instance, those without one last."""
    places = [("job" not in alert.labels, alert.labels.get("job", ""))]
    places.append(("instance" not in alert.labels, alert.labels.get("instance", "")))
    return *places, label_order(alert.labels)


def group_order(labels: Labels, receiver: str) -> tuple[Any, ...]:
    """Where Alertmanager puts a group among others."""
    return *label_order(labels), receiver


def silence_json(silence: Silence, now_ms: int) -> dict[str, Any]:
    """A silence as it stands."""
    return {
        "id": silence.id,
        "status": {"state": silence.state(now_ms)},
        "updatedAt": rfc3339(silence.updated_ms),
        "annotations": {},
        "comment": silence.comment,
        "createdBy": silence.created_by,
        "endsAt": rfc3339(silence.ends_ms),
        "matchers": [
            {"isEqual": one.is_equal, "isRegex": one.is_regex, "name": one.name, "value": one.value}
            for one in silence.matchers
        ],
        "startsAt": rfc3339(silence.starts_ms),
    }


def silence_order(silence: Silence, now_ms: int) -> tuple[int, int, str]:
    """Active ones first, the next to end before the others; then those to come, then those that ended last."""
    place = _STATES.index(silence.state(now_ms))
    by = (silence.ends_ms, silence.starts_ms, -silence.ends_ms)[place]
    return place, by, silence.id


def read_silence(body: bytes) -> Silence:
    """The silence that a client posts. Raises Refused, and InvalidInput for a matcher that is none."""
    if not body.strip():
        raise Refused(422, 602, "silence in body is required")
    try:
        posted = parse(body, last_wins=True)
        if not isinstance(posted, dict):
            raise ValueError("a silence is an object")
        texts = {name: _string(posted, name) for name in ("id", "comment", "createdBy", "startsAt", "endsAt")}
        times = {
            name: instant_of(text) for name in ("startsAt", "endsAt") if (text := texts[name]) is not None
        }
        matchers = posted.get("matchers")
        if matchers is not None and not (
            isinstance(matchers, list) and all(isinstance(one, dict) for one in matchers)
        ):
            raise ValueError("matchers is no list of objects")
        found = [_matcher(one, number) for number, one in enumerate(matchers or ())]
    except Refused:
        raise
    except ValueError as error:
        raise Refused(400, 400, f'parsing silence body from "" failed, because {error}') from None
    for name in ("comment", "createdBy", "endsAt", "matchers", "startsAt"):
        value = texts.get(name) if name != "matchers" else matchers
        if name == "matchers" and value == []:
            raise Refused(422, 612, "matchers in body should have at least 1 items")
        if value is None or (name in times and times[name] is None):
            raise Refused(422, 602, f"{name} in body is required")
    kinds = [(name, value, _KINDS[equal, regex]) for name, value, equal, regex in found]
    return Silence(
        id=texts["id"] or "",
        matchers=tuple(_made(number, *one) for number, one in enumerate(kinds)),
        starts_ms=times["startsAt"] or 0,
        ends_ms=times["endsAt"] or 0,
        created_by=texts["createdBy"] or "",
        comment=texts["comment"] or "",
    )


def _string(posted: Mapping[str, Any], name: str) -> str | None:
    found = posted.get(name)
    if found is not None and not isinstance(found, str):
        raise ValueError(f"{name} is no text; write it in quotes")
    return found


def _matcher(posted: Mapping[str, Any], number: int) -> tuple[str, str, bool, bool]:
    """Name, value, whether it asks for that value and not for others, whether the value is an expression."""
    for name, kind in (("isEqual", bool), ("isRegex", bool), ("name", str), ("value", str)):
        value = posted.get(name)
        if value is None and name != "isEqual":
            raise Refused(422, 602, f"matchers.{number}.{name} in body is required")
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"matchers.{number}.{name} is no {'boolean' if kind is bool else 'text'}")
    is_equal = posted.get("isEqual")
    return posted["name"], posted["value"], is_equal is not False, posted["isRegex"]


def _made(number: int, name: str, value: str, kind: MatcherKind) -> Matcher:
    try:
        return Matcher(name, value, kind)
    except InvalidInput as error:
        raise InvalidInput(
            f'invalid silence: invalid label matcher {number}: invalid regular expression "{value[:200]}": '
            f"{error.message}"
        ) from error
