"""OpenSLO v1alpha as Sloth reads it: objectives of one document may count different things, and are SLOs of their own.

v1 would make a composite of them, so `apply` refuses such a document; `setpoint import` takes it apart.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator

from setpoint.objective.convert.carried import Notes
from setpoint.objective.spec.names import slug
from setpoint.objective.spec.older import V1ALPHA
from setpoint.resource.fields import Fields
from setpoint.resource.read import Source

__all__ = ["taken_apart"]

_NAME_MAX = 63


def taken_apart(source: Source, notes: Notes) -> Iterator[Source]:
    """The documents that `source` stands for: itself, or one for each objective where these count different things."""
    body = source.body
    entries = _objectives(body)
    if not all(isinstance(one, dict) for one in entries) or not _differ(entries):
        yield source
        return
    fields = Fields(source, (), body, [])
    notes.changed(
        fields, "objectives that count different things are SLOs of their own", "spec", "objectives"
    )
    name = str(body["metadata"]["name"])
    for number, entry in enumerate(entries):
        own = copy.deepcopy(body)
        own["spec"]["objectives"] = [copy.deepcopy(entry)]
        suffix = slug(str(entry.get("displayName", ""))) or str(number + 1)
        own["metadata"]["name"] = f"{name[: _NAME_MAX - len(suffix) - 1]}-{suffix}"[:_NAME_MAX]
        before = ("spec", "objectives", number)
        lines = {
            (*before[:2], 0, *place[3:]) if place[:3] == before else place: line
            for place, line in source.lines.items()
            if place[:2] != before[:2] or len(place) == 2 or place[2] == number
        }
        yield Source(source.file, source.line, own, lines)


def _objectives(body: object) -> list[dict[str, object]]:
    """The entries of an SLO of v1alpha that has a name; else none."""
    if not isinstance(body, dict) or (body.get("apiVersion"), body.get("kind")) != (V1ALPHA, "SLO"):
        return []
    spec, metadata = body.get("spec"), body.get("metadata")
    if not isinstance(spec, dict) or not isinstance(metadata, dict):
        return []
    entries = spec.get("objectives")
    has_name = isinstance(metadata.get("name"), str) and metadata["name"]
    return entries if isinstance(entries, list) and has_name else []


def _differ(entries: list[dict[str, object]]) -> bool:
    counted = [one.get("ratioMetrics") for one in entries]
    return len(entries) > 1 and all(counted) and any(one != counted[0] for one in counted)
