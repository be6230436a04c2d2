"""What a discovery is, and how lists of targets are read (`file` and `http` have the same form)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from setpoint.errors import InvalidInput, Problem
from setpoint.resource.model import line_at
from setpoint.resource.read import Source, read_yaml
from setpoint.telemetry.scrape.load import plain_text
from setpoint.telemetry.scrape.target import Group

__all__ = ["Discovery", "Refreshed", "read_json_groups", "read_yaml_groups"]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Everything that a discovery knows now, what it could not ask anew included, and what went wrong."""

    groups: tuple[Group, ...]
    faults: tuple[str, ...] = ()


class Discovery(Protocol):
    """Finds targets. `refresh` is called every `every_ms` and does not raise: faults are told in its result."""

    every_ms: int

    async def refresh(self) -> Refreshed:
        """Look again."""
        ...

    async def close(self) -> None:
        """Give back what it holds."""
        ...


class _Listed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    targets: tuple[str, ...] = ()
    labels: dict[str, str] = Field(default_factory=dict)


_GROUPS = TypeAdapter(list[_Listed])


def read_json_groups(name: str, text: str, labels: Mapping[str, str]) -> tuple[Group, ...]:
    """The groups of a JSON list, with `labels` added. Raises InvalidInput with file and line."""
    try:
        body = json.loads(text)
    except ValueError as error:  # also for nesting that Python's parser refuses
        line = error.lineno if isinstance(error, json.JSONDecodeError) else None
        raise InvalidInput(problems=(Problem(f"is not valid JSON: {error}", name, line),)) from error
    except RecursionError:
        raise InvalidInput(problems=(Problem("is nested too deeply", name),)) from None
    return _groups(Source(name, 1, body), labels)


def read_yaml_groups(name: str, text: str, labels: Mapping[str, str]) -> tuple[Group, ...]:
    """The groups of a YAML list, with `labels` added. Raises InvalidInput with file and line."""
    sources, problems = read_yaml(name, text)
    problems = [*(problem for source in sources for problem in source.problems), *problems]
    if problems:
        raise InvalidInput(problems=tuple(problems))
    if not sources:
        return ()
    sources[0].body = plain_text(sources[0], sources[0].body)
    return _groups(sources[0], labels)


def _groups(source: Source, labels: Mapping[str, str]) -> tuple[Group, ...]:
    try:
        listed = _GROUPS.validate_python(source.body)
    except ValidationError as error:
        raise InvalidInput(problems=tuple(_problem(source, fault) for fault in error.errors())) from error
    return tuple(Group.of(one.targets, one.labels | dict(labels)) for one in listed)


def _problem(source: Source, fault: Any) -> Problem:
    place = tuple(fault["loc"])
    path = ".".join(str(step) for step in place)
    message = f"{fault['msg']}; write a list of {{targets: [HOST:PORT, …], labels: {{NAME: VALUE}}}}"
    line = line_at(source.lines, place, source.line if source.lines else None)
    return Problem(message, source.file, line, path or None)
