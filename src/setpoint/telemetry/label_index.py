"""Which series carry which label: an inverted index, name → value → identities of series.

The head keeps one over its series and asks it to resolve matchers. A matcher that accepts the empty string
also accepts every series without that label, so it is resolved by what it excludes; any other by what it
includes.
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.telemetry.match import predicate
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["LabelIndex"]


class LabelIndex:
    """Series identities (any int) by label pair. Not thread-safe: its owner holds a lock."""

    def __init__(self) -> None:
        self._all: set[int] = set()
        self._pairs: dict[str, dict[str, set[int]]] = {}

    def add(self, identity: int, labels: Labels) -> None:
        """Enter a series."""
        self._all.add(identity)
        for name, value in labels.items():
            self._pairs.setdefault(name, {}).setdefault(value, set()).add(identity)

    def remove(self, identity: int, labels: Labels) -> None:
        """Take out a series that was entered with these labels."""
        self._all.discard(identity)
        for name, value in labels.items():
            values = self._pairs[name]
            values[value].discard(identity)
            if not values[value]:
                del values[value]
            if not values:
                del self._pairs[name]

    def resolve(self, matchers: Sequence[Matcher]) -> set[int]:
        """The series that satisfy every matcher. Raises InvalidInput for a bad expression."""
        included: list[set[int]] = []
        excluded: list[set[int]] = []
        for matcher in matchers:
            values = self._pairs.get(matcher.name, {})
            if matcher.op == "=" and matcher.value:
                included.append(values.get(matcher.value, set()))
                continue
            accepts = predicate(matcher)
            if accepts(""):
                excluded.extend(found for value, found in values.items() if not accepts(value))
            else:
                included.append(set().union(*(found for value, found in values.items() if accepts(value))))
        included.sort(key=len)
        result = set(included[0]) if included else set(self._all)
        result.intersection_update(*included[1:])
        result.difference_update(*excluded)
        return result
