"""Conditions on spans as SQL with parameters: `span_count`, `span_groups` and `stored_groups` write statements of them.

What a user wrote is always a parameter, never part of a statement's text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from setpoint.objective.source.labels import span_field
from setpoint.objective.spec.source import SpanSelection

__all__ = ["SpanConditions"]

_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%"})


class SpanConditions:
    """The conditions of one statement; `parameters` are their values."""

    def __init__(self) -> None:
        self.parameters: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def service(self, selection: SpanSelection) -> str:
        """The condition on the service alone."""
        return self._texts("service", selection.service or [])

    def sender(self, selection: SpanSelection) -> str:
        """The conditions that tell who sends: the service and what is said of its resource."""
        return " AND ".join([self.service(selection), *self._attributes("resource", selection.resource)])

    def whole(self, selection: SpanSelection) -> str:
        """All conditions of a selection."""
        return " AND ".join(self._conditions(selection)) or "true"

    def value(self, label: str) -> str:
        """The value that a span has for a label; empty where it has none."""
        column, key = span_field(label)
        return f"toString({column})" if key is None else f"{column}[{self.parameter(key)}]"

    def parameter(self, value: str | int | list[str]) -> str:
        """A place for a value; the same value has one place."""
        kind = {str: "String", int: "Int64"}.get(type(value), "Array(String)")
        known = f"{kind} {value!r}"
        name = self._names.get(known)
        if name is None:
            name = self._names[known] = f"p{len(self._names)}"
            self.parameters[name] = value
        return f"{{{name}:{kind}}}"

    def _conditions(self, selection: SpanSelection) -> Iterator[str]:
        if selection.service:
            yield self.service(selection)
        if selection.operation:
            yield self._texts("name", selection.operation)
        if selection.kind:
            yield f"kind IN {self.parameter(list(selection.kind))}"
        if selection.status:
            yield f"status IN {self.parameter([one.upper() for one in selection.status])}"
        if selection.min_duration_ms is not None:
            yield f"duration_ns > {self.parameter(round(selection.min_duration_ms * 1e6))}"
        if selection.max_duration_ms is not None:
            yield f"duration_ns <= {self.parameter(round(selection.max_duration_ms * 1e6))}"
        yield from self._attributes("attributes", selection.attributes)
        yield from self._attributes("resource", selection.resource)

    def _attributes(self, column: str, wanted: dict[str, list[str]] | None) -> Iterator[str]:
        for key, values in (wanted or {}).items():
            yield f"{column}[{self.parameter(key)}] IN {self.parameter(list(values))}"

    def _texts(self, column: str, values: Sequence[str]) -> str:
        exact = [value for value in values if "*" not in value]
        found = [f"{column} IN {self.parameter(exact)}"] if exact else []
        found += [
            f"{column} LIKE {self.parameter(value.translate(_LIKE))}" for value in values if "*" in value
        ]
        return f"({' OR '.join(found)})"
