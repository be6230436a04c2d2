"""A document in an older form, rewritten into the one that Setpoint keeps, with the lines of what was written.

A package registers a function for an `apiVersion` (`Registry.register_older`); `Rewrite` is what it writes with. Each
part is moved as it stands, so that a problem in it has its line, and `origins` lets a problem name the place
where the user wrote it, not the one where it went.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from setpoint.errors import Problem
from setpoint.resource.model import Place, line_at, read_place, show_place
from setpoint.resource.read import Source

__all__ = ["Rewrite", "as_written"]


class Rewrite:
    """Builds the new document from parts of the old one."""

    def __init__(self, source: Source) -> None:
        """`source.body` must be a mapping."""
        self._source = source
        self._body: dict[str, Any] = {}
        self._lines: dict[Place, int] = {}
        self._plain: dict[Place, str] = {}
        self._origins: dict[Place, Place] = {}
        self._problems = list(source.problems)

    def get(self, *place: str | int) -> Any:
        """What stands at `place` of the old document; None where nothing does."""
        value: Any = self._source.body
        for step in place:
            if isinstance(value, Mapping) and isinstance(step, str):
                value = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                value = value[step]
            else:
                return None
        return value

    def has(self, *place: str | int) -> bool:
        """Whether anything, null included, is written there."""
        before = self.get(*place[:-1])
        return isinstance(before, Mapping) and place[-1] in before

    def move(self, old: Place, new: Place) -> None:
        """Put what stands at `old` to `new`, where nothing must stand yet."""
        if not self.put(new, copy.deepcopy(self.get(*old)), old):
            return
        for below in _places(self.get(*old)):
            if (*old, *below) in self._source.lines:
                self._lines[*new, *below] = self._source.lines[*old, *below]
            if (*old, *below) in self._source.plain:
                self._plain[*new, *below] = self._source.plain[*old, *below]

    def put(self, new: Place, value: Any, beside: Place) -> bool:
        """Put `value` to `new`, with the line of what stands at `beside` in the old document; False, and a problem,
        where something else stands already.
        """
        target: Any = self._body
        for position, step in enumerate(new[:-1]):
            inner: Any = [] if isinstance(new[position + 1], int) else {}
            target = self._child(target, step, inner)
            if target is None:
                self.refuse(
                    beside, f"does not fit what is written as {show_place(new[: position + 1])}; remove one"
                )
                return False
        last = new[-1]
        if isinstance(last, int):
            target.extend({} for _ in range(len(target), last))  # those before it were refused
            target.append(value)
        elif last in target:
            self.refuse(beside, f"'{last}' is written a second time, under another name; keep one")
            return False
        else:
            target[last] = value
        self._origins.setdefault(new, beside)
        self._lines.setdefault(new, line_at(self._source.lines, beside, self._source.line) or 0)
        return True

    @staticmethod
    def _child(target: Any, step: str | int, inner: Any) -> Any:
        """What stands at `step`, made when it is new; None where a value stands instead of a mapping or list."""
        if isinstance(target, list) and isinstance(step, int):
            target.extend(copy.copy(inner) for _ in range(len(target), step + 1))
            found = target[step]
        elif isinstance(target, dict):
            found = target.setdefault(step, inner)
        else:
            return None
        return found if isinstance(found, type(inner)) else None

    def refuse(self, place: Place, message: str) -> None:
        """Note what cannot be carried over, at its place in the old document."""
        line = line_at(self._source.lines, place, self._source.line)
        self._problems.append(Problem(message, self._source.file, line, show_place(place)))

    def done(self) -> Source:
        """The new document."""
        return replace(
            self._source,
            body=self._body,
            lines=self._lines,
            plain=self._plain,
            problems=self._problems,
            origins=self._origins,
        )


def _places(value: Any) -> Iterator[Place]:
    """The place of `value` itself and of everything below it, seen from it."""
    waiting: list[tuple[Place, Any]] = [((), value)]
    while waiting:
        place, one = waiting.pop()
        yield place
        if isinstance(one, Mapping):
            waiting.extend(((*place, key), inner) for key, inner in one.items())
        elif isinstance(one, list):
            waiting.extend(((*place, index), inner) for index, inner in enumerate(one))


def as_written(problem: Problem, source: Source) -> Problem:
    """`problem` with the path that the user wrote, for a document that was rewritten."""
    place = read_place(problem.path or "")
    for length in range(len(place), 0, -1):
        if place[:length] in source.origins:
            return replace(problem, path=show_place((*source.origins[place[:length]], *place[length:])))
    return problem
