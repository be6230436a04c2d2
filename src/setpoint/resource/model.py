"""The nouns of resources: a document with its lines, a stored resource, a revision, a change; and the base
classes from which packages build their kinds (`Part`, `Metadata`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from setpoint.errors import Problem

__all__ = [
    "Action",
    "Change",
    "Document",
    "Metadata",
    "Part",
    "Place",
    "Resource",
    "Revision",
    "line_at",
    "read_place",
    "show_place",
]

Place = tuple[str | int, ...]
"""Where a value stands in a document: keys and list indices from the top, such as ("spec", "objectives",
0).
"""

Action = Literal["created", "changed", "unchanged", "deleted"]

_STEP = re.compile(r"\[(?P<index>\d+)\]|(?P<key>[^.\[\]]+)")


def show_place(place: Place) -> str | None:
    """`place` as people write it, such as `spec.objectives[0].target`; None for the whole document."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place)
    return text.removeprefix(".") or None


def read_place(text: str) -> Place:
    """The place that `show_place` showed."""
    return tuple(
        int(step["index"]) if step["index"] is not None else step["key"] for step in _STEP.finditer(text)
    )


class Part(BaseModel):
    """Base of every mapping inside a kind: YAML keys in camelCase, unknown keys refused, values frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=to_camel)


class Metadata(Part):
    """OpenSLO's metadata: the name, and what people and tools add to it."""

    name: str
    display_name: str = ""
    labels: dict[str, str | list[str]] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """One valid resource as somebody wrote it.

    `body` is the whole document in plain dicts and lists, `spec` the same as its kind's pydantic model.
    `file` and `line` (1-based, of its first key) say where it was read, `lines` where each value's key or
    list item stands; a document that comes from the database has none of them.
    """

    api_version: str
    kind: str
    name: str
    body: dict[str, Any]
    spec: BaseModel
    file: str | None = None
    line: int | None = None
    lines: Mapping[Place, int] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it: kind and name."""
        return self.kind, self.name

    def problem(self, message: str, *place: str | int) -> Problem:
        """A problem of this document at `place`, with the line of the nearest thing that was written."""
        return Problem(message, self.file, line_at(self.lines, place, self.line), show_place(place))

    def locate(self, problem: Problem) -> Problem:
        """`problem` with file and line, found by its `path`; as it is when it has a file already."""
        if problem.file is not None:
            return problem
        line = line_at(self.lines, read_place(problem.path or ""), self.line)
        return replace(problem, file=self.file, line=line)


def line_at(lines: Mapping[Place, int], place: Place, default: int | None) -> int | None:
    """The line of `place`, or of the nearest place around it that was written."""
    for length in range(len(place), 0, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return default


@dataclass(frozen=True, slots=True)
class Resource:
    """A stored resource at its current revision; `updated_ms` is Unix milliseconds."""

    api_version: str
    kind: str
    name: str
    body: dict[str, Any]
    revision: int
    updated_ms: int
    author: str


@dataclass(frozen=True, slots=True)
class Revision:
    """One step in the life of a resource; `body` is None where it was deleted.

    `diff` is a unified diff of canonical YAML against the revision before.
    """

    kind: str
    name: str
    revision: int
    api_version: str
    body: dict[str, Any] | None
    at_ms: int
    author: str
    diff: str


@dataclass(frozen=True, slots=True)
class Change:
    """What an apply does, or would do, to one resource.

    `revision` is the number after it (the one that it would get, for a plan), `diff` a unified diff of
    canonical YAML, empty when unchanged; `warnings` are sentences about what is allowed but looks wrong.
    """

    kind: str
    name: str
    action: Action
    revision: int
    diff: str
    warnings: tuple[str, ...] = ()
