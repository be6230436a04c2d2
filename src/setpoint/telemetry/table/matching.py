"""Which series satisfy matchers: what each matcher asks becomes a set of label pairs, then rows are tested.

`answers` runs a `Search` in steps, some under the table's lock and some without: testing a million values
against an expression takes a second, during which nothing may wait.

A matcher that accepts "" also accepts every series without that label, so it is known by the pairs it
forbids; any other by the pairs of which it requires one. Of the latter the rarest names the candidates. The
values of a label are tested once each, and only those that occur among the candidates when these are few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.match import Glob, ValueTest, value_test
from setpoint.telemetry.model import Matcher
from setpoint.telemetry.table.catalogue import Catalogue
from setpoint.telemetry.table.glob_kernels import match_globs
from setpoint.telemetry.table.rows import Refs
from setpoint.telemetry.table.symbols import Ids, Texts, encode

__all__ = ["Search"]

_FEW = 8
"""Pairs that are compared one by one; with more of them every pair gets a byte of flags."""

_MANY = 1 << 62
_AT_ONCE = 8
"""Conditions tested in one walk over the rows: as many as a byte has bits."""


@dataclass(frozen=True, slots=True)
class _Condition:
    """Series must have one of `pairs`, or (`required` False) none of them."""

    pairs: Ids
    required: bool


@dataclass(frozen=True, slots=True)
class _Open:
    """A test of the values of the pairs `pairs`, which share a name; `is_text` tells which of them are one of
    the test's texts.
    """

    test: ValueTest
    pairs: Ids
    values: Texts
    is_text: npt.NDArray[np.bool_]

    def close(self) -> _Condition:
        """The condition that the test means."""
        accepted = self.is_text
        if self.test.globs:
            accepted |= _match_globs(self.test.globs, self.values)
        if self.test.search is not None:
            accepted |= _match_search(self.test, self.values)
        if self.test.negated:
            accepted = ~accepted
        if self.test.accepts(""):
            return _Condition(self.pairs[~accepted], False)
        return _Condition(self.pairs[accepted], True)


@dataclass(slots=True)
class Search:
    """One question to a catalogue: `begin`, `test` (needs no lock), `end`. `among` are the refs to choose
    from (None: all), those that came after `since` were added. Raises InvalidInput for a bad expression.
    """

    matchers: Sequence[Matcher]
    among: Refs | None = None
    since: int = 0
    _conditions: list[_Condition] = field(default_factory=list)
    _open: list[_Open] = field(default_factory=list)

    def begin(self, catalogue: Catalogue) -> None:
        """Look up what the matchers name, and copy the values that must be tested."""
        waiting = []
        tests = [(matcher.name, value_test(matcher)) for matcher in self.matchers]
        for name, test in tests:
            if test.globs or test.search is not None or "" in test.texts:
                waiting.append((name, test))
            else:
                self._conditions.append(_Condition(_pairs_of(catalogue, name, test), not test.negated))
        if waiting:
            candidates = self._candidates(catalogue)
            for name, test in waiting:
                self._open.append(_opened(catalogue, name, test, candidates))

    def test(self) -> None:
        """Test the copied values."""
        self._conditions.extend(waiting.close() for waiting in self._open)
        self._open.clear()

    def end(self, catalogue: Catalogue) -> Refs:
        """The refs that satisfy all matchers, in no order."""
        found = self._candidates(catalogue)
        return catalogue.rows.all() if found is None else found

    def _candidates(self, catalogue: Catalogue) -> Refs | None:
        """The refs that satisfy the conditions so far; None when there are none to satisfy."""
        refs, conditions = self.among, self._conditions
        pairs, rows = catalogue.pairs, catalogue.rows
        counts = [int(pairs.counts[one.pairs].sum()) if one.required else _MANY for one in conditions]
        rarest = min(range(len(counts)), key=counts.__getitem__, default=0)
        if counts and counts[rarest] < (_MANY if refs is None else len(refs)):
            refs = pairs.refs(conditions[rarest].pairs)
            if self.since:
                refs = refs[~rows.older_than(refs, self.since)]
            conditions = conditions[:rarest] + conditions[rarest + 1 :]
        elif refs is None and conditions:
            refs = rows.all()
        if refs is not None:
            for first in range(0, len(conditions), _AT_ONCE):
                refs = _filter(catalogue, refs, conditions[first : first + _AT_ONCE])
        return refs


def _filter(catalogue: Catalogue, refs: Refs, conditions: Sequence[_Condition]) -> Refs:
    required = forbidden = 0
    for place, one in enumerate(conditions):
        if one.required:
            required |= 1 << place
        else:
            forbidden |= 1 << place
    sizes = [len(one.pairs) for one in conditions]
    if sum(sizes) <= _FEW:
        asked = np.concatenate([one.pairs for one in conditions])
        bits = np.repeat(1 << np.arange(len(sizes)), sizes)
        return catalogue.rows.filter_few(refs, asked, bits, required, forbidden)
    flags = np.zeros(catalogue.pairs.id_count, np.uint8)
    for place, one in enumerate(conditions):
        flags[one.pairs] |= 1 << place
    return catalogue.rows.filter(refs, flags, required, forbidden)


def _pairs_of(catalogue: Catalogue, name: str, test: ValueTest) -> Ids:
    """The pairs of `name` with one of the texts of `test`."""
    symbols = catalogue.symbols.find([name, *test.texts])
    found = catalogue.pairs.find(np.full(len(symbols) - 1, symbols[0], np.int32), symbols[1:])
    return found[found >= 0]


def _opened(catalogue: Catalogue, name: str, test: ValueTest, candidates: Refs | None) -> _Open:
    symbol = int(catalogue.symbols.find([name])[0])
    if symbol < 0:
        pairs = np.empty(0, np.int32)
    elif candidates is not None and len(candidates) < catalogue.pairs.id_count:
        pairs = np.unique(catalogue.rows.pair_of_name(candidates, symbol, catalogue.pairs.names))
        pairs = pairs[pairs >= 0]
    else:
        pairs = catalogue.pairs.of_name(symbol)
    is_text = np.isin(pairs, _pairs_of(catalogue, name, test))
    return _Open(test, pairs, catalogue.symbols.texts(catalogue.pairs.values[pairs]), is_text)


def _match_globs(globs: Sequence[Glob], values: Texts) -> npt.NDArray[np.bool_]:
    texts, offsets = encode([text for glob in globs for text in glob.texts])
    gaps = np.array(list(chain.from_iterable((*glob.gaps, 0) for glob in globs)), np.int64)
    bounds = np.array([0, *accumulate(len(glob.texts) for glob in globs)], np.int64)
    found: npt.NDArray[np.bool_] = match_globs(
        texts, offsets, gaps, bounds, values.data, values.starts, values.lengths
    )
    return found


def _match_search(test: ValueTest, values: Texts) -> npt.NDArray[np.bool_]:
    """Which of `values` satisfy `test.search`; those without its prefix are not asked."""
    search = test.search
    assert search is not None
    found = np.ones(len(values.starts), np.bool_)
    if test.prefix:
        found = _match_globs((Glob((test.prefix, ""), (False,)),), values)
    places = np.flatnonzero(found)
    asked = Texts(values.data, values.starts[places], values.lengths[places])
    found[places] = [bool(search(text)) for text in asked.decode()]
    return found
