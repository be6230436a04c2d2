"""A silence as a row of the state database and as the data of an event, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from setpoint.alert.route.matcher import Matcher, shown_matchers
from setpoint.alert.silence.model import Recurrence, Silence

__all__ = ["event_data", "row_of", "silence_of_event", "silence_of_row"]


def row_of(silence: Silence) -> dict[str, Any]:
    """The columns of a silence, without its version."""
    return {
        "id": silence.id,
        "matchers": json.dumps(_matchers(silence.matchers)),
        "starts_ms": silence.starts_ms,
        "ends_ms": silence.ends_ms,
        "created_by": silence.created_by,
        "comment": silence.comment,
        "updated_ms": silence.updated_ms,
        "recurrence": None if silence.recurrence is None else json.dumps(asdict(silence.recurrence)),
    }


def silence_of_row(row: Mapping[str, Any]) -> Silence:
    """The silence of a row."""
    recurrence = row["recurrence"]
    return Silence(
        row["id"],
        _read(json.loads(row["matchers"])),
        int(row["starts_ms"]),
        int(row["ends_ms"]),
        row["created_by"],
        row["comment"],
        int(row["updated_ms"]),
        None if recurrence is None else Recurrence(**json.loads(recurrence)),
    )


def event_data(silence: Silence) -> dict[str, Any]:
    """What an event tells of a silence."""
    return {
        "id": silence.id,
        "matchers": _matchers(silence.matchers),
        "shown": shown_matchers(silence.matchers),
        "starts_ms": silence.starts_ms,
        "ends_ms": silence.ends_ms,
        "created_by": silence.created_by,
        "comment": silence.comment,
        "recurrence": None if silence.recurrence is None else asdict(silence.recurrence),
    }


def silence_of_event(data: Mapping[str, Any]) -> Silence:
    """The silence that an event told of."""
    recurrence = data.get("recurrence")
    return Silence(
        str(data.get("id", "")),
        _read(data.get("matchers", ())),
        int(data.get("starts_ms", 0)),
        int(data.get("ends_ms", 0)),
        str(data.get("created_by", "")),
        str(data.get("comment", "")),
        recurrence=None if recurrence is None else Recurrence(**recurrence),
    )


def _matchers(matchers: Iterable[Matcher]) -> list[dict[str, str]]:
    return [{"name": one.name, "kind": one.kind, "value": one.value} for one in matchers]


def _read(matchers: Iterable[Mapping[str, Any]]) -> tuple[Matcher, ...]:
    return tuple(Matcher(one["name"], one["value"], one["kind"]) for one in matchers)
