"""Which of thousands of selectors a series satisfies, without trying each.

`watch` asks for the series that come, objectives for the series that a wide question found. Selectors are looked up by
the values of the labels that they want to be equal to something, which tells nearly all of them apart; what else they
demand is then tested, once for each value that a label has.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.match import Predicate, predicate
from setpoint.telemetry.model import Labels, Matcher

__all__ = ["Selector", "SelectorIndex"]

Selector = tuple[Matcher, ...]

_KNOWN_MAX = 10_000
_Rest = tuple[int, list[tuple[str, Matcher]]]


class SelectorIndex:
    """An index over `selectors`; raises InvalidInput when one holds a bad expression."""

    def __init__(self, selectors: Sequence[Selector]) -> None:
        self._shapes: dict[tuple[str, ...], dict[tuple[str, ...], list[_Rest]]] = {}
        self._tests: dict[Matcher, tuple[Predicate, dict[str, bool]]] = {}
        for number, selector in enumerate(selectors):
            equal: dict[str, str] = {}
            rest = []
            for matcher in selector:
                if matcher.op == "=" and matcher.name not in equal:
                    equal[matcher.name] = matcher.value
                else:
                    rest.append((matcher.name, matcher))
                    self._tests.setdefault(matcher, (predicate(matcher), {}))
            names = tuple(sorted(equal))
            by_value = self._shapes.setdefault(names, {})
            by_value.setdefault(tuple([equal[name] for name in names]), []).append((number, rest))

    def match(self, labels: Sequence[Labels]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Which series satisfies which selector: places in `labels` and numbers of selectors, int64[k] each."""
        places: list[int] = []
        numbers: list[int] = []
        for names, by_value in self._shapes.items():
            for place, own in enumerate(labels):
                found = by_value.get(tuple([own.get(name, "") for name in names]))
                if found is None:
                    continue
                for number, rest in found:
                    if all(self._accepts(matcher, own.get(name, "")) for name, matcher in rest):
                        places.append(place)
                        numbers.append(number)
        return np.array(places, np.int64), np.array(numbers, np.int64)

    def _accepts(self, matcher: Matcher, value: str) -> bool:
        accepts, known = self._tests[matcher]
        answer = known.get(value)
        if answer is None:
            if len(known) > _KNOWN_MAX:
                known.clear()
            answer = known[value] = accepts(value)
        return answer
