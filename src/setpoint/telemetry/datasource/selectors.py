"""Which selectors share a request: those that another one covers, and those that differ in one label's value.

A thousand objectives ask for two thousand selectors, most of them like `requests_total{job="a"}` and
`requests_total{job="a",code!~"5.."}` for many jobs. The second finds nothing that the first does not, so only the
first is asked for; and fifty of the first are one request with `job=~"a|b|…"`. What comes back is kept in a head,
from which each selector takes its own by matching.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from itertools import combinations

from setpoint.telemetry.model import Matcher

__all__ = ["Selector", "cover", "gather", "show", "union", "weakest"]

Selector = frozenset[Matcher]
"""The matchers of a selector, in no order: all of them must hold."""

_NAME = "__name__"
_PLAIN = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_EXPRESSION_CHARACTERS = 4000
_MATCHERS_COMPARED = 8
_SPECIAL = frozenset("\\.+*?()|[]{}^$")


def show(selector: Selector) -> str:
    """The selector as PromQL that every server reads, always in the same order."""
    pairs = sorted((one.name != _NAME, one.name, one.op, one.value) for one in selector)
    return "{" + ",".join(f"{_label(name)}{op}{_quoted(value)}" for _, name, op, value in pairs) + "}"


def cover(selectors: Iterable[Selector]) -> dict[Selector, Selector]:
    """For each selector the weakest of `selectors` that finds all that it does; often itself."""
    known = set(selectors)
    return {one: weakest(one, known) for one in known}


def weakest(selector: Selector, known: Container[Selector]) -> Selector:
    """The weakest of `known` that finds all that `selector` does; `selector` when there is none."""
    if len(selector) > _MATCHERS_COMPARED:
        return selector
    for size in range(1, len(selector)):
        for part in combinations(sorted(selector, key=_order), size):
            if frozenset(part) in known:
                return frozenset(part)
    return selector


def gather(selectors: Sequence[Selector], most: int) -> list[list[Selector]]:
    """`selectors` in groups of up to `most` which `union` can make one of; any order in, a stable order out."""
    left = dict.fromkeys(sorted(selectors, key=show))
    alike: dict[tuple[Selector, str], list[Selector]] = {}
    for one in left:
        for matcher in one:
            if matcher.op == "=" and matcher.name != _NAME and matcher.value:
                alike.setdefault((one - {matcher}, matcher.name), []).append(one)
    groups: list[list[Selector]] = []
    if most > 1:
        for _, members in sorted(alike.items(), key=lambda item: -len(item[1])):
            free = [one for one in members if one in left]
            if len(free) < 2:
                continue
            for part in _parts(free, most):
                groups.append(part)
                for one in part:
                    del left[one]
    groups.extend([one] for one in left)
    return groups


def _parts(selectors: Sequence[Selector], most: int) -> Iterable[list[Selector]]:
    """Groups of up to `most` selectors, whose union is not too long for a server."""
    part: list[Selector] = []
    characters = 0
    for one in selectors:
        length = max(len(matcher.value) for matcher in one) + 2
        if part and (len(part) >= most or characters + length > _EXPRESSION_CHARACTERS):
            yield part
            part, characters = [], 0
        part.append(one)
        characters += length
    if part:
        yield part


def union(group: Sequence[Selector]) -> Selector:
    """One selector that finds what each of a group of `gather` does."""
    if len(group) == 1:
        return group[0]
    shared = frozenset.intersection(*group)
    own = [next(iter(one - shared)) for one in group]
    values = "|".join(_escaped(value) for value in sorted({matcher.value for matcher in own}))
    return shared | {Matcher(own[0].name, "=~", values)}


def _order(matcher: Matcher) -> tuple[str, str, str]:
    return matcher.name, matcher.op, matcher.value


def _label(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else _quoted(name)


def _escaped(value: str) -> str:
    return "".join("\\" + letter if letter in _SPECIAL else letter for letter in value)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
