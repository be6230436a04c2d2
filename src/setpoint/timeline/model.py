"""What an event is. `Timeline` makes them; pages show them; subscribers receive them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Event"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at an instant.

    `at_ms` is when it happened (Unix milliseconds), which may be before it was told; `id` grows in the order
    of telling. `kind` is dotted lower case (`resource.applied`, `deploy`), `service` is empty when it
    concerns none, `actor` is a person's login name or the part of Setpoint that did it, `summary` is one line
    for people, `data` is a JSON object, `key` makes telling it twice harmless.
    """

    id: int
    at_ms: int
    kind: str
    service: str
    actor: str
    summary: str
    data: Mapping[str, Any] = field(default_factory=dict)
    key: str | None = None
