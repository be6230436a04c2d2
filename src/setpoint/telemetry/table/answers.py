"""The answers to matchers, kept and carried on as series come and go.

The same few hundred queries are asked every few seconds, over a fleet in which some series come and go all
the time. So an answer is not thrown away when the table changes: it remembers how many series had been added
when it was made, and is asked again it drops those that are gone and takes in those of the newer ones that
match. What is found is sorted, which costs most, without the table's lock.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from setpoint.telemetry.model import Labels, Matcher
from setpoint.telemetry.table.catalogue import Catalogue
from setpoint.telemetry.table.label_columns import LabelColumns
from setpoint.telemetry.table.matching import Search
from setpoint.telemetry.table.rows import Refs

__all__ = ["Answers"]

_ANSWERS_MAX = 4096
_REFS_MAX = 1 << 22
_LABELS_MAX = 1 << 18
_ROUNDS_MAX = 20
"""Rounds (evictions, mostly half a minute each) after which an answer that nobody asks is given up."""

_TRIES = 3
_LOOKED_THROUGH = 32_768
"""So many new series are looked through under the lock, or a quarter of the answer; beyond it is made anew."""

Key = tuple[Matcher, ...]


@dataclass(slots=True)
class _Answer:
    """`refs` sorted by labels, and their labels if somebody asked, as of `added` and `removed` series; last
    asked in round `asked`.
    """

    refs: Refs
    labels: tuple[Labels, ...] | None
    added: int
    removed: int
    asked: int = 0


class Answers:
    """Cached answers over a catalogue, which `lock` (reentrant) guards. Thread-safe."""

    def __init__(self, catalogue: Catalogue, lock: threading.RLock) -> None:
        self._catalogue = catalogue
        self._lock = lock
        self._kept: OrderedDict[Key, _Answer] = OrderedDict()
        self._refs = 0
        self._labels = 0
        self._round = 0

    def refs(self, matchers: Sequence[Matcher]) -> Refs:
        """The refs that satisfy `matchers`, in the order of their labels."""
        return self._ask(tuple(matchers), False).refs

    def labelled(self, matchers: Sequence[Matcher]) -> tuple[Refs, tuple[Labels, ...]]:
        """`refs` and their labels."""
        answer = self._ask(tuple(matchers), True)
        assert answer.labels is not None
        return answer.refs, answer.labels

    @property
    def memory_bytes(self) -> int:
        """Bytes held (an estimate: a mapping of ten labels takes about 400)."""
        return 4 * self._refs + 400 * self._labels + 500 * len(self._kept)

    def age(self) -> None:
        """Give up what was not asked for long; called, with the lock held, at each eviction."""
        self._round += 1
        while self._kept:
            key = next(iter(self._kept))
            if self._kept[key].asked > self._round - _ROUNDS_MAX:
                return
            self._forget(key)

    def _ask(self, key: Key, with_labels: bool) -> _Answer:
        for _ in range(_TRIES):
            with self._lock:
                answer = self._carried_on(key)
                if answer is not None and (answer.labels is not None or not with_labels):
                    return answer
                columns = None if answer is None else self._catalogue.labels(answer.refs)
            if answer is not None and columns is not None:
                return self._label(key, answer, columns)
            self._make(key)
        with self._lock:  # others change the table faster than it is read: now they wait
            self._make(key)
            answer = self._kept[key]
            return (
                answer if not with_labels else self._label(key, answer, self._catalogue.labels(answer.refs))
            )

    def _make(self, key: Key) -> None:
        """Keep an answer as of now; nothing is kept when the catalogue renumbered its pairs meanwhile."""
        catalogue, rows = self._catalogue, self._catalogue.rows
        search = Search(key)
        with self._lock:
            added, generation = rows.added, catalogue.generation
            search.begin(catalogue)
        search.test()
        with self._lock:
            if generation != catalogue.generation:
                return
            refs = search.end(catalogue)
            # What came meanwhile may have been given the pairs of what went: it is looked through later.
            refs = refs[rows.older_than(refs, added)]
            removed = rows.removed
            columns = catalogue.labels(refs)
        refs = refs[columns.order()]
        with self._lock:
            self._keep(key, _Answer(refs, None, added, removed))

    def _carried_on(self, key: Key) -> _Answer | None:
        """The kept answer, with what has changed since; None when there is none or it is too old."""
        answer, rows = self._kept.get(key), self._catalogue.rows
        if answer is None:
            return None
        if (answer.added, answer.removed) == (rows.added, rows.removed):
            self._kept.move_to_end(key)
            answer.asked = self._round
            return answer
        new = rows.added_since(answer.added)
        if new is None or len(new) > max(_LOOKED_THROUGH, len(answer.refs) // 4):
            self._forget(key)
            return None
        refs, labels = answer.refs, answer.labels
        if answer.removed != rows.removed:
            stays = rows.older_than(refs, answer.added)
            if not stays.all():
                refs = refs[stays]
                labels = labels and tuple(compress(labels, stays.tolist()))
        if len(new):
            refs, labels = self._with_new(key, new, answer.added, refs, labels)
        answer = _Answer(refs, labels, rows.added, rows.removed)
        self._keep(key, answer)
        return answer

    def _with_new(
        self, key: Key, new: Refs, since: int, refs: Refs, labels: tuple[Labels, ...] | None
    ) -> tuple[Refs, tuple[Labels, ...] | None]:
        """`refs` and `labels` with those of the series `new` that match in their places."""
        catalogue = self._catalogue
        search = Search(key, new, since)
        search.begin(catalogue)
        search.test()
        found = search.end(catalogue)
        if not len(found):
            return refs, labels
        columns = catalogue.labels(found)
        order = columns.order()
        found = found[order]
        points = catalogue.rows.insertion_points(refs, found, catalogue.pairs, catalogue.symbols)
        if labels is not None:
            both = [*labels, *columns.decode()]
            places = np.insert(np.arange(len(refs)), points, len(refs) + order)
            labels = tuple(map(both.__getitem__, places.tolist()))
        return np.insert(refs, points, found), labels

    def _label(self, key: Key, answer: _Answer, columns: LabelColumns) -> _Answer:
        """`answer` with its labels, kept if it still is the one that is kept."""
        labelled = replace(answer, labels=columns.decode())
        with self._lock:
            if self._kept.get(key) is answer:
                self._keep(key, labelled)
        return labelled

    def _keep(self, key: Key, answer: _Answer) -> None:
        """Keep `answer` as the latest; give up what was not asked for longest when that is too much."""
        self._forget(key)
        if answer.labels is not None and len(answer.labels) > _LABELS_MAX:
            answer = replace(answer, labels=None)
        answer.asked = self._round
        self._kept[key] = answer
        self._refs += len(answer.refs)
        self._labels += len(answer.labels or ())
        while len(self._kept) > 1 and (
            len(self._kept) > _ANSWERS_MAX or self._refs > _REFS_MAX or self._labels > _LABELS_MAX
        ):
            self._forget(next(iter(self._kept)))

    def _forget(self, key: Key) -> None:
        answer = self._kept.pop(key, None)
        if answer is not None:
            self._refs -= len(answer.refs)
            self._labels -= len(answer.labels or ())
