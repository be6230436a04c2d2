"""The recent samples of one data source: what is asked for is copied into a head of its own, every few seconds.

The evaluation thread reads (`select`) and never waits; the source's thread fills (`poll`). Asking for a selector is
what makes it wanted; it is let go when nobody has asked for it for ten minutes. Each selector's samples are there
without a gap from `from_ms` to `reached_ms`: when the source was away, the next request goes on where the last one
ended, in pieces. What was asked once is asked again for a minute back, and for ten minutes every tenth time, because
samples reach other servers late, too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.telemetry.columns import LabelKey, label_key
from setpoint.telemetry.datasource.answer import Answer, RemoteSeries
from setpoint.telemetry.datasource.client import QueryRefused, SourceDown
from setpoint.telemetry.datasource.connection import Connection
from setpoint.telemetry.datasource.selectors import Selector, cover, gather, union, weakest
from setpoint.telemetry.head import Head
from setpoint.telemetry.model import Matcher, MetricBatch, SampleColumns, Series, fingerprint

__all__ = ["DEPTH_MS", "Live"]

DEPTH_MS = 2 * 3_600_000
"""How far back live evaluation may look."""

_MARGIN_MS = 600_000
_WANTED_MS = 600_000
_OVERLAP_MS, _WIDE_OVERLAP_MS, _WIDE_EVERY = 60_000, 600_000, 10
_EVICT_MS = 60_000
_LARGE_BYTES, _SMALL_BYTES = 4 << 20, 1 << 20
_SHORTEST_MS, _FIRST_MS = 60_000, 900_000
_GATHERED_MAX = 50
_SERIES_MAX = 500_000
_LOOK_S = 1.0


@dataclass(eq=False, slots=True)
class _Root:
    """A selector that is asked for, and those that it covers: all samples in (from_ms, reached_ms] are in the head."""

    selector: Selector
    from_ms: int
    reached_ms: int
    piece_ms: int = _FIRST_MS
    most_ms: int = DEPTH_MS
    polls: int = 0
    fault: str = ""
    retry_ms: int = 0
    is_alone: bool = False


@dataclass(frozen=True, slots=True)
class _Piece:
    """One request: the samples of `roots` with start_ms < t <= end_ms."""

    roots: tuple[_Root, ...]
    start_ms: int
    end_ms: int

    @property
    def selector(self) -> Selector:
        return union([root.selector for root in self.roots])


class Live:
    """See above. `select` and `covers` may be called from any thread, `poll` from one."""

    def __init__(
        self, connection: Connection, clock: Clock, *, interval_ms: int, patience_ms: int, at_once: int
    ) -> None:
        """A source that fails is not told to those who ask before samples are `patience_ms` late."""
        self._connection, self._clock = connection, clock
        self._interval_ms, self._patience_ms, self._at_once = interval_ms, patience_ms, at_once
        self.head = Head(DEPTH_MS + _MARGIN_MS)
        self._lock = threading.Lock()
        self._asked_ms: dict[Selector, int] = {}
        self._roots: dict[Selector, _Root] = {}
        self._root_of: dict[Selector, Selector] = {}
        self._is_settled = True
        self._missed_from_ms: int | None = None
        self._most = _GATHERED_MAX
        self._evicted_ms = 0
        self._series: dict[LabelKey, Series] = {}
        self.requests_per_poll = 0

    # ---- samples out -------------------------------------------------------------------------------------

    def select(self, matchers: Sequence[Matcher], start_ms: int, end_ms: int) -> SampleColumns:
        """What is here of the samples with start_ms < t <= end_ms; never waits.

        Raises InvalidInput for what is too long ago or refused by the source, Unavailable when the source has been
        failing for longer than anyone would wait.
        """
        now_ms, selector = self._clock.now_ms(), frozenset(matchers)
        if start_ms < now_ms - DEPTH_MS:
            raise InvalidInput(
                "the query looks back further than 2 h, which is not read from a data source; count with "
                "counter: true, or with a range of a few minutes"
            )
        with self._lock:
            self._is_settled &= selector in self._asked_ms
            self._asked_ms[selector] = now_ms
            root = self._roots.get(self._root_of.get(selector, selector))
        if root is not None and now_ms - root.reached_ms > self._patience_ms:
            name = self._connection.name
            if root.fault:
                raise InvalidInput(f"data source '{name}' refuses the query: {root.fault}")
            if self._connection.fault:
                raise Unavailable(f"data source '{name}': {self._connection.fault}")
        return self.head.select(matchers, start_ms, end_ms)

    def root_of(self, selector: Selector) -> Selector:
        """The selector that is asked for in place of `selector`; itself when none is that covers it."""
        with self._lock:
            return self._root_of.get(selector) or weakest(selector, self._roots)

    def covers(self, selector: Selector, start_ms: int, end_ms: int) -> bool:
        """Whether the head holds all that the source has of a root in (start_ms, end_ms]."""
        with self._lock:
            root = self._roots.get(selector)
            floor_ms = self._evicted_ms - self.head.horizon_ms
            return root is not None and max(root.from_ms, floor_ms) <= start_ms and end_ms <= root.reached_ms

    def take_oldest_write_ms(self) -> int | None:
        """As of `Head`: the oldest sample that came since the last call, or where what was missed begins."""
        with self._lock:
            missed_ms, self._missed_from_ms = self._missed_from_ms, None
        found = [one for one in (self.head.take_oldest_write_ms(), missed_ms) if one is not None]
        return min(found, default=None)

    @property
    def selectors(self) -> int:
        """How many are wanted."""
        return len(self._asked_ms)

    @property
    def reached_ms(self) -> int | None:
        """Up to when everything that is wanted was read; None when nothing is."""
        with self._lock:
            return min((root.reached_ms for root in self._roots.values()), default=None)

    @property
    def refused(self) -> tuple[str, ...]:
        """What the source said to queries that it refuses."""
        with self._lock:
            return tuple(dict.fromkeys(root.fault for root in self._roots.values() if root.fault))

    def _settle(self, now_ms: int) -> None:
        """Find the roots anew after selectors came or went; a new one goes on from one that covered it."""
        self._is_settled = True
        former = self._root_of
        self._root_of = cover(self._asked_ms)
        roots: dict[Selector, _Root] = {}
        for selector in dict.fromkeys(self._root_of.values()):
            known = self._roots.get(selector) or self._roots.get(former.get(selector, selector))
            start_ms = now_ms - DEPTH_MS
            if known is None:
                roots[selector] = _Root(selector, start_ms, start_ms)
            elif known.selector == selector:
                roots[selector] = known
            else:
                roots[selector] = _Root(selector, known.from_ms, known.reached_ms)
        self._roots = roots

    # ---- samples in --------------------------------------------------------------------------------------

    def poll(self) -> float:
        """Ask for what is due, one request for each group of selectors; seconds until it should be called again.

        Raises nothing of the source's: what it did wrong stands in the connection and in `refused`.
        """
        now_ms = self._clock.now_ms()
        self._let_go(now_ms)
        if (pause_ms := self._connection.pause_ms()) > 0:
            return min(_LOOK_S, pause_ms / 1000)
        pieces = self._pieces(now_ms)
        if len(pieces) == 1 or self._at_once == 1:
            for piece in pieces:
                self._take(piece, now_ms)
        elif pieces:
            with ThreadPoolExecutor(min(self._at_once, len(pieces)), "datasource") as pool:
                asked = [(piece, pool.submit(self._ask, piece)) for piece in pieces]
                for piece, answer in asked:
                    self._keep(piece, answer.result(), now_ms)
        return 0.01 if self._is_behind(now_ms) and not self._connection.fault else _LOOK_S

    def _take(self, piece: _Piece, now_ms: int) -> None:
        self._keep(piece, self._ask(piece), now_ms)

    def _ask(self, piece: _Piece) -> Answer | SetpointError:
        try:
            return self._connection.ask(piece.selector, piece.start_ms, piece.end_ms, is_urgent=True)
        except SetpointError as error:
            return error

    def _let_go(self, now_ms: int) -> None:
        with self._lock:
            unwanted = [one for one, asked_ms in self._asked_ms.items() if now_ms - asked_ms > _WANTED_MS]
            for one in unwanted:
                del self._asked_ms[one]
            if unwanted or not self._is_settled:
                self._settle(now_ms)
            for root in self._roots.values():
                if root.reached_ms < now_ms - DEPTH_MS:
                    self._missed_from_ms = min(root.reached_ms, self._missed_from_ms or root.reached_ms)
                    root.from_ms = root.reached_ms = now_ms - DEPTH_MS
                root.reached_ms = min(root.reached_ms, now_ms)  # the clock may have been set back
        if not 0 <= now_ms - self._evicted_ms < _EVICT_MS:
            self.head.evict(now_ms)
            self._evicted_ms = now_ms
            if len(self._series) > 2 * self.head.series_count + 1000:
                held = {label_key(labels) for labels in self.head.table.match_labels(())[1]}
                self._series = {key: one for key, one in self._series.items() if key in held}

    def _is_due(self, root: _Root, now_ms: int) -> bool:
        return root.retry_ms <= now_ms and root.reached_ms <= now_ms - self._interval_ms

    def _is_behind(self, now_ms: int) -> bool:
        with self._lock:
            return any(self._is_due(root, now_ms) for root in self._roots.values())

    def _pieces(self, now_ms: int) -> list[_Piece]:
        """The requests that are due; roots which were read equally far share them. What failed comes last."""
        alike: dict[tuple[int, int, bool, bool], list[_Root]] = {}
        with self._lock:
            for root in self._roots.values():
                if self._is_due(root, now_ms):
                    is_wide = root.polls % _WIDE_EVERY == _WIDE_EVERY - 1
                    key = (root.reached_ms, root.piece_ms, is_wide, bool(root.fault))
                    alike.setdefault(key, []).append(root)
        found: list[_Piece] = []
        for (reached_ms, piece_ms, is_wide, _), roots in sorted(alike.items(), key=lambda one: one[0][3]):
            end_ms = min(now_ms, reached_ms + piece_ms)
            overlap_ms = _OVERLAP_MS if end_ms == now_ms else 0  # else there is enough to ask for
            if is_wide and piece_ms > _WIDE_OVERLAP_MS and overlap_ms:
                overlap_ms = _WIDE_OVERLAP_MS
            for group in _groups(roots, self._most):
                start_ms = max(*(root.from_ms for root in group), reached_ms - overlap_ms)
                found.append(_Piece(tuple(group), start_ms, end_ms))
        self.requests_per_poll = max(len(found), 1 if self._roots else 0)
        return found

    def _keep(self, piece: _Piece, answer: Answer | SetpointError, now_ms: int) -> None:
        if isinstance(answer, SetpointError):
            self._note(piece, answer, now_ms)
            return
        new = sum(label_key(one.labels) not in self._series for one in answer.series)
        if self.head.series_count + new > _SERIES_MAX:
            self._note(piece, TooLarge(f"it selects more than {_SERIES_MAX:,} series"), now_ms)
            return
        self._append(piece, answer.series)
        is_catching_up = piece.end_ms < now_ms
        if answer.size_bytes > _LARGE_BYTES and not is_catching_up:
            self._most = max(1, self._most // 2)
        with self._lock:
            for root in piece.roots:
                root.reached_ms = piece.end_ms
                root.polls += 1
                root.fault, root.retry_ms = "", 0
                if answer.size_bytes > _LARGE_BYTES:
                    root.piece_ms = max(_SHORTEST_MS, root.piece_ms // 2000 * 1000)
                elif answer.size_bytes < _SMALL_BYTES:
                    root.piece_ms = max(root.piece_ms, min(root.most_ms, 2 * root.piece_ms))

    def _note(self, piece: _Piece, error: SetpointError, now_ms: int) -> None:
        """A request failed. When the query was refused, ask for less: single selectors, then shorter pieces."""
        if isinstance(error, SourceDown):
            return
        with self._lock:
            for root in piece.roots:
                if len(piece.roots) > 1:
                    root.is_alone = True
                elif root.piece_ms > _SHORTEST_MS and isinstance(error, QueryRefused | TooLarge):
                    root.piece_ms = max(_SHORTEST_MS, root.piece_ms // 4000 * 1000)
                    root.most_ms = 2 * root.piece_ms
                else:
                    root.fault = error.message
                    root.retry_ms = now_ms + self._interval_ms

    def _append(self, piece: _Piece, series: Iterable[RemoteSeries]) -> None:
        """Put what is new into the head."""
        held = self.head.select(tuple(piece.selector), piece.start_ms, piece.end_ms)
        bounds = held.offsets.tolist()
        places = {label_key(labels): place for place, labels in enumerate(held.labels)}
        chosen: list[Series] = []
        times, values = [], []
        for one in series:
            key = label_key(one.labels)
            fresh = np.ones(len(one.times_ms), np.bool_)
            if (place := places.get(key)) is not None:
                known = held.timestamps_ms[bounds[place] : bounds[place + 1]]
                fresh = ~np.isin(one.times_ms, known, assume_unique=True)
            if fresh.any():
                chosen.append(self._series.get(key) or self._remember(key, one))
                times.append(one.times_ms[fresh])
                values.append(one.values[fresh])
        if chosen:
            rows = np.repeat(np.arange(len(chosen), dtype=np.int32), [len(part) for part in times])
            self.head.append(MetricBatch(chosen, rows, np.concatenate(times), np.concatenate(values)))

    def _remember(self, key: LabelKey, one: RemoteSeries) -> Series:
        found = self._series[key] = Series(fingerprint(one.labels), one.labels, "")
        return found


def _groups(roots: Sequence[_Root], most: int) -> list[list[_Root]]:
    by_selector = {root.selector: root for root in roots}
    together = gather([root.selector for root in roots if not root.is_alone], most)
    alone = [[root] for root in roots if root.is_alone]
    return [[by_selector[one] for one in group] for group in together] + alone
