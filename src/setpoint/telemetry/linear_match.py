"""Regular expressions in linear time, for those on which Python's `re` would search without end.

`re` tries one way after another: `(a+)+b` on forty letters takes longer than anybody waits, and no other thread runs
meanwhile. RE2, whose meaning matchers have, follows all ways at once. So does this: the expression becomes a graph of
states (Thompson's construction), and the sets of states that occur become the states of an automaton, made as they
are needed. `match` compiles expressions with it that repeat something within a repetition, or repeat many things.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any

from setpoint.errors import InvalidInput

__all__ = ["Automaton", "is_dangerous"]

# The parser of `re` itself, which no type knows.
sre: Any = import_module("re._constants")
_parser: Any = import_module("re._parser")

_REPEATS = (sre.MAX_REPEAT, sre.MIN_REPEAT)
_MANY = 8
"""From so many times on a repetition counts as unlimited."""
_HARMLESS = 2
_STATES_MOST = 10_000
_SETS_KEPT = 2_000

Test = Callable[[str], bool]
Flags = int


def is_dangerous(pattern: re.Pattern[str]) -> bool:
    """Whether `re` could need more than quadratic time: unlimited repetitions within one another, or many of them."""
    nested, total = _repetitions(_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))
    return nested or total > _HARMLESS


def _repetitions(tree: Iterable[Any]) -> tuple[bool, int]:
    """Whether unlimited repetitions stand within others, and how many there are."""
    nested, total = False, 0
    for operator, argument in tree:
        inner = [_repetitions(part) for part in _parts(operator, argument)]
        nested |= any(found for found, _ in inner)
        count = sum(repetitions for _, repetitions in inner)
        if operator in _REPEATS and argument[1] >= _MANY:
            branches = any(part_op is sre.BRANCH for part_op, _ in _flat(argument[2]))
            nested |= count > 0 or branches
            count += 1
        total += count
    return nested, total


def _flat(tree: Iterable[Any]) -> Iterable[Any]:
    for operator, argument in tree:
        yield operator, argument
        for part in _parts(operator, argument):
            yield from _flat(part)


def _parts(operator: Any, argument: Any) -> list[Any]:
    """The expressions within one."""
    if operator in _REPEATS:
        return [argument[2]]
    if operator is sre.SUBPATTERN:
        return [argument[3]]
    if operator is sre.BRANCH:
        return list(argument[1])
    return []


def _unanchored(tree: list[Any], *, at_start: bool, at_end: bool) -> list[Any]:
    """`tree` without the anchors at its ends, which say nothing where all of a text must match."""
    while at_start and tree and tree[0] == (sre.AT, sre.AT_BEGINNING):
        tree = tree[1:]
    while at_end and tree and tree[-1] == (sre.AT, sre.AT_END):
        tree = tree[:-1]
    bare = []
    for i, (operator, argument) in enumerate(tree):
        edges = {"at_start": at_start and i == 0, "at_end": at_end and i == len(tree) - 1}
        if operator is sre.SUBPATTERN:
            bare.append((operator, (*argument[:3], _unanchored(list(argument[3]), **edges))))
        elif operator is sre.BRANCH:
            bare.append((operator, (None, [_unanchored(list(one), **edges) for one in argument[1]])))
        else:
            bare.append((operator, argument))
    return bare


class Automaton:
    """Decides whether the whole of a text is described by an expression, in time linear in the text."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        """Raises InvalidInput where the expression is too large, or has anchors inside."""
        self._expression = pattern.pattern
        self._tests: list[Test | None] = []
        self._next: list[list[int]] = []
        end = self._state()
        tree = _parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG)
        bare = _unanchored(list(tree), at_start=True, at_end=True)
        start = self._sequence(bare, end, tree.state.flags | pattern.flags)
        self._end = end
        self._start = self._closure((start,))
        self._known: dict[frozenset[int], dict[str, frozenset[int]]] = {}

    def fullmatch(self, text: str) -> bool:
        """Whether all of `text` is described."""
        current = self._start
        for letter in text:
            steps = self._known.get(current)
            if steps is None:
                if len(self._known) >= _SETS_KEPT:
                    self._known.clear()
                steps = self._known[current] = {}
            following = steps.get(letter)
            if following is None:
                following = steps[letter] = self._after(current, letter)
            if not following:
                return False
            current = following
        return self._end in current

    def _after(self, states: frozenset[int], letter: str) -> frozenset[int]:
        found = []
        for state in states:
            test = self._tests[state]
            if test is not None and test(letter):
                found += self._next[state]
        return self._closure(found)

    def _closure(self, states: Iterable[int]) -> frozenset[int]:
        """`states` and all that can be reached from them without a letter."""
        found, waiting = set(states), list(states)
        while waiting:
            state = waiting.pop()
            if self._tests[state] is None:
                fresh = [one for one in self._next[state] if one not in found]
                found.update(fresh)
                waiting += fresh
        return frozenset(found)

    def _state(self, test: Test | None = None, *following: int) -> int:
        if len(self._tests) >= _STATES_MOST:
            raise InvalidInput(
                f"the regular expression '{self._expression}' is too large; repeat fewer things"
            )
        self._tests.append(test)
        self._next.append(list(following))
        return len(self._tests) - 1

    def _sequence(self, tree: list[Any], end: int, flags: Flags) -> int:
        """The state before `tree`, from whose end it goes on at `end`."""
        for operator, argument in reversed(tree):
            end = self._one(operator, argument, end, flags)
        return end

    def _one(self, operator: Any, argument: Any, end: int, flags: Flags) -> int:
        if operator is sre.SUBPATTERN:
            _, added, removed, inner = argument
            return self._sequence(list(inner), end, (flags | added) & ~removed)
        if operator is sre.BRANCH:
            return self._state(None, *(self._sequence(list(one), end, flags) for one in argument[1]))
        if operator in _REPEATS:
            low, high, inner = argument
            return self._repeat((low, high), list(inner), end, flags)
        return self._state(self._letter(operator, argument, flags), end)

    def _repeat(self, times: tuple[int, int], tree: list[Any], end: int, flags: Flags) -> int:
        low, high = times
        if high == sre.MAXREPEAT:
            loop = self._state(None, end)
            self._next[loop].append(self._sequence(tree, loop, flags))
            end = loop
        else:
            for _ in range(high - low):
                end = self._state(None, self._sequence(tree, end, flags), end)
        for _ in range(low):
            end = self._sequence(tree, end, flags)
        return end

    def _letter(self, operator: Any, argument: Any, flags: Flags) -> Test:
        """The test of one letter: `re` itself, of the one expression that is left."""
        folded = re.IGNORECASE if flags & re.IGNORECASE else 0
        if operator is sre.ANY:
            return (lambda letter: True) if flags & re.DOTALL else (lambda letter: letter != "\n")
        if operator is sre.LITERAL or operator is sre.NOT_LITERAL:
            wanted = re.compile(re.escape(chr(argument)), folded | re.ASCII)
            is_other = operator is sre.NOT_LITERAL
            return lambda letter: (wanted.match(letter) is None) == is_other
        if operator is sre.IN:
            tests = [self._member(kind, what, folded) for kind, what in argument if kind is not sre.NEGATE]
            is_negated = argument[0][0] is sre.NEGATE
            return lambda letter: any(test(letter) for test in tests) != is_negated
        raise InvalidInput(
            f"the regular expression '{self._expression}' has many repetitions and an anchor or a word's edge; "
            "write it without the latter: matchers always match the whole value"
        )

    def _member(self, operator: Any, argument: Any, folded: int) -> Test:
        if operator is sre.LITERAL:
            return self._letter(operator, argument, folded)
        if operator is sre.RANGE:
            low, high = (chr(bound) for bound in argument)
            within = re.compile(f"[{re.escape(low)}-{re.escape(high)}]", folded | re.ASCII)
            return lambda letter: within.match(letter) is not None
        category = re.compile(_CATEGORIES[argument], re.ASCII)
        return lambda letter: category.match(letter) is not None


_CATEGORIES = {
    sre.CATEGORY_DIGIT: r"\d",
    sre.CATEGORY_NOT_DIGIT: r"\D",
    sre.CATEGORY_SPACE: r"\s",
    sre.CATEGORY_NOT_SPACE: r"\S",
    sre.CATEGORY_WORD: r"\w",
    sre.CATEGORY_NOT_WORD: r"\W",
}
