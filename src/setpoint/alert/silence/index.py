"""Which silences match given labels, quickly: a thousand silences and ten thousand alerts are asked in every flush.

A silence is looked up by one of the label values that it asks for; only those that ask for none (expressions) are tried
on all labels. What was found for a set of labels is remembered with the version until which it is true, so that one new
silence costs one test, not all of them again.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable

from setpoint.alert.model import Labels
from setpoint.alert.silence.model import Silence

__all__ = ["SilenceIndex"]

_REMEMBERED_MOST = 50_000


class SilenceIndex:
    """The silences that may mute some day, by what they ask for; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silences: dict[str, Silence] = {}
        self._by_value: dict[tuple[str, str], set[str]] = {}
        self._others: set[str] = set()
        self._changes: list[tuple[int, str]] = []
        self._known: dict[frozenset[tuple[str, str]], tuple[int, tuple[str, ...]]] = {}
        self._version = 0

    def put(self, silences: Iterable[Silence], dropped: Iterable[str] = ()) -> None:
        """Take silences that are new or changed, and forget some."""
        with self._lock:
            for silence in silences:
                self._remove(silence.id)
                self._silences[silence.id] = silence
                self._home(silence).add(silence.id)
                self._version += 1
                self._changes.append((self._version, silence.id))
            for one in dropped:
                self._remove(one)
            if len(self._changes) > 2 * len(self._silences) + 1000:
                self._known.clear()
                self._changes.clear()

    def matching(self, labels: Labels) -> list[Silence]:
        """The silences that match labels, whatever their time."""
        key = frozenset(labels.items())
        with self._lock:
            seen, found = self._known.get(key, (-1, ()))
            if seen < self._version:
                found = self._look(labels, seen, found)
                if len(self._known) >= _REMEMBERED_MOST:
                    self._known.clear()
                self._known[key] = (self._version, found)
            return [self._silences[one] for one in found if one in self._silences]

    def _look(self, labels: Labels, seen: int, found: tuple[str, ...]) -> tuple[str, ...]:
        if seen < 0:
            candidates = set(self._others)
            for pair in labels.items():
                candidates |= self._by_value.get(pair, set())
            kept: set[str] = set()
        else:
            candidates = {
                one for _, one in self._changes[bisect_right(self._changes, (seen, "\U0010ffff")) :]
            }
            kept = set(found) - candidates
        for one in candidates:
            silence = self._silences.get(one)
            if silence is not None and silence.matches(labels):
                kept.add(one)
        return tuple(sorted(kept))

    def _home(self, silence: Silence) -> set[str]:
        """Where a silence is looked up: the value that fewest others ask for."""
        pairs = [(one.name, one.value) for one in silence.matchers if one.kind == "=" and one.value]
        if not pairs:
            return self._others
        pair = min(pairs, key=lambda one: len(self._by_value.get(one, ())))
        return self._by_value.setdefault(pair, set())

    def _remove(self, silence_id: str) -> None:
        silence = self._silences.pop(silence_id, None)
        if silence is None:
            return
        self._others.discard(silence_id)
        for one in silence.matchers:
            home = self._by_value.get((one.name, one.value))
            if home is not None:
                home.discard(silence_id)
                if not home:
                    del self._by_value[one.name, one.value]
