"""Webhooks of Alertmanager (version 4) and of Grafana, whose bodies have the same frame: Alertmanagers in a chain, and
Grafana's own alerting, reach Setpoint this way.

Each alert of the body is one, with its own status and labels; those of the group are not repeated. Grafana's links and
values go along: `values` as numbers behind the alert, the addresses of dashboard, panel, silence and image as
annotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from setpoint.alert.door.body import refuse
from setpoint.alert.door.told import Told, faults_of, instant_of, is_web_address
from setpoint.errors import InvalidInput, Problem

__all__ = ["read_webhook"]

_ADDRESSES = {
    "dashboardURL": "dashboard_url",
    "panelURL": "panel_url",
    "silenceURL": "silence_url",
    "imageURL": "image_url",
}
_VALUES_MOST = 100


def read_webhook(body: Any) -> list[Told]:
    """The alerts of a body. Raises InvalidInput with every fault and where it stands."""
    if not isinstance(body, Mapping):
        refuse("this is no webhook of Alertmanager or Grafana: send an object with 'alerts'")
    items = body.get("alerts")
    if not isinstance(items, list):
        refuse(
            "expected a list of alerts, as Alertmanager's webhook (version 4) and Grafana's have it", "alerts"
        )
    problems: list[Problem] = []
    told = [_alert(item, f"alerts[{number}]", problems) for number, item in enumerate(items)]
    if problems:
        raise InvalidInput(problems=tuple(problems[:100]))
    return told


def _alert(item: Any, path: str, problems: list[Problem]) -> Told:
    if not isinstance(item, Mapping):
        problems.append(Problem("expected an object with status and labels", path=path))
        return Told("trigger")
    status = item.get("status")
    if status not in ("firing", "resolved"):
        problems.append(Problem("expected firing or resolved", path=f"{path}.status"))
    labels, annotations = (_texts(item, name, path, problems) for name in ("labels", "annotations"))
    labels = {name: text for name, text in labels.items() if text}
    for field, name in _ADDRESSES.items():
        if is_web_address(address := _text(item, field, path, problems)):
            annotations.setdefault(name, address)
    if values := _text(item, "valueString", path, problems):
        annotations.setdefault("value_string", values)
    address = _text(item, "generatorURL", path, problems)
    problems += faults_of(labels, annotations, address, path)
    is_resolved = status == "resolved"
    return Told(
        "resolve" if is_resolved else "trigger",
        labels,
        annotations,
        _instant(item, "startsAt", path, problems),
        # The end of a firing alert is when its sender would have given up on it, not when it is over.
        _instant(item, "endsAt", path, problems) if is_resolved else None,
        generator_url=address if is_web_address(address) else "",
        values=_values(item, path, problems),
        path=path,
    )


def _texts(item: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> dict[str, str]:
    found = item.get(name)
    if found is None:
        return {}
    if not isinstance(found, Mapping) or not all(isinstance(text, str) for text in found.values()):
        problems.append(Problem("expected an object of texts", path=f"{path}.{name}"))
        return {}
    return dict(found)


def _text(item: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> str:
    found = item.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        problems.append(Problem("expected a text", path=f"{path}.{name}"))
        return ""
    return found


def _instant(item: Mapping[str, Any], name: str, path: str, problems: list[Problem]) -> int | None:
    try:
        return instant_of(_text(item, name, path, problems))
    except ValueError as error:
        problems.append(Problem(str(error), path=f"{path}.{name}"))
        return None


def _values(item: Mapping[str, Any], path: str, problems: list[Problem]) -> dict[str, float | str | None]:
    found = item.get("values")
    if found is None:
        return {}
    if not isinstance(found, Mapping) or len(found) > _VALUES_MOST:
        problems.append(
            Problem(f"expected an object of at most {_VALUES_MOST} numbers", path=f"{path}.values")
        )
        return {}
    kept: dict[str, float | str | None] = {}
    for name, value in found.items():
        if value is None or isinstance(value, str):
            kept[name] = value
        elif isinstance(value, int | float) and abs(value) < 1e300:
            kept[name] = float(value)
        else:
            problems.append(Problem("expected a number", path=f"{path}.values.{name[:80]}"))
    return kept
