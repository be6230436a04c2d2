"""Which series exist: every series has a row ("ref", a small number), its labels and who sent it.

Doors find refs by the wire keys of their requests, the head keeps samples by ref, the query language asks
which refs match. A ref is given to another series after `remove`, never while a lease that named it is live.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.columns import label_key
from setpoint.telemetry.label_index import LabelIndex
from setpoint.telemetry.model import Labels, Lease, Matcher, Series

__all__ = ["REFUSED", "UNKNOWN", "PairUsage", "SeriesTable", "SeriesUsage"]

Admit = Callable[[Series, str], str | None]
Refs = npt.NDArray[np.int32]

UNKNOWN, REFUSED = -1, -2
_ANSWERS_KEPT = 512
_REFUSED_KEPT = 65_536


@dataclass(frozen=True, slots=True)
class SeriesUsage:
    """The live series as equally long columns: `refs` int32[n], `metrics` int32[n] (symbols of their
    `__name__`, -1 without one), `senders` int32[n] (positions in `sender_names`), `label_bytes` int32[n]
    (UTF-8 bytes of all names and values).
    """

    refs: Refs
    metrics: npt.NDArray[np.int32]
    senders: npt.NDArray[np.int32]
    label_bytes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PairUsage:
    """The label pairs in use as equally long columns: symbols of names and values int32[n], and how many
    series have each, int32[n].
    """

    names: npt.NDArray[np.int32]
    values: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]


class SeriesTable:
    """The series that are there, by ref. Thread-safe.

    `admit` is asked for each new series, with the sender of the lease; it answers why it is refused, or None.
    It is called with the table locked and must not call it back.
    """

    def __init__(self, admit: Admit | None = None) -> None:
        self.hash_seed: npt.NDArray[np.uint64] = np.frombuffer(secrets.token_bytes(16), np.uint64)
        self.new_total = 0
        self.removed_total = 0
        self.sender_names: list[str] = []
        self._admit = admit
        self._lock = threading.Lock()
        self._epoch = 0
        self._live: dict[int, None] = {}
        self._rows: list[Series | None] = []
        self._touched: list[int] = []
        self._sender: list[int] = []
        self._written: list[bool] = []
        self._free: list[int] = []
        self._by_fingerprint: dict[int, int] = {}
        self._keys: dict[tuple[int, int], int] = {}
        self._refused: set[tuple[int, int]] = set()
        self._index = LabelIndex()
        self._symbols: dict[str, int] = {}
        self._texts: list[str] = []
        self._answers: dict[tuple[Matcher, ...], Refs] = {}

    # ---- leases ------------------------------------------------------------------------------------------

    def lease(self, sender: str = "") -> Lease:
        """A lease for one batch of `sender`; a ref that is found or added under it stays until its release."""
        with self._lock:
            self._epoch += 1
            epoch = self._epoch
            self._live[epoch] = None

        def release() -> None:
            with self._lock:
                self._live.pop(epoch, None)

        return Lease(epoch, sender, release)

    # ---- refs of series ----------------------------------------------------------------------------------

    def resolve(self, series: Sequence[Series], lease: Lease, *, written: bool = False) -> Refs:
        """The refs of `series` int32[n], unknown ones added; UNKNOWN where `admit` refused.

        `written=True` says that their rows are in the store already.
        """
        with self._lock:
            return np.array([self._resolve(one, lease, written) for one in series], np.int32)

    def find(self, keys: npt.NDArray[np.uint64], lease: Lease) -> Refs:
        """The refs of wire keys uint64[n, 2], as int32[n]: UNKNOWN for a new key, REFUSED for the key of a
        series that was refused lately.
        """
        found = np.empty(len(keys), np.int32)
        with self._lock:
            for place, (high, low) in enumerate(keys.tolist()):
                ref = self._keys.get((high, low), UNKNOWN)
                if ref >= 0:
                    self._touched[ref] = max(self._touched[ref], lease.epoch)
                elif (high, low) in self._refused:
                    ref = REFUSED
                found[place] = ref
        return found

    def bind(self, keys: npt.NDArray[np.uint64], series: Sequence[Series], lease: Lease) -> Refs:
        """`resolve`, and remember that `keys[i]` (uint64[k, 2]) means `series[i]`."""
        refs = self.resolve(series, lease)
        with self._lock:
            for (high, low), ref in zip(keys.tolist(), refs.tolist(), strict=True):
                if ref >= 0:
                    self._keys[high, low] = ref
                elif len(self._refused) < _REFUSED_KEPT:
                    self._refused.add((high, low))
        return refs

    def forget_refused(self) -> None:
        """Let refused series be tried again; whoever keeps the time calls it every minute."""
        with self._lock:
            self._refused.clear()

    def _resolve(self, series: Series, lease: Lease, written: bool) -> int:
        ref = self._by_fingerprint.get(series.fingerprint)
        if ref is None:
            if self._admit is not None and self._admit(series, lease.sender) is not None:
                return UNKNOWN
            ref = self._add(series, lease.sender)
        self._touched[ref] = max(self._touched[ref], lease.epoch)
        if written:
            self._written[ref] = True
        return ref

    def _add(self, series: Series, sender: str) -> int:
        if sender not in self.sender_names:
            self.sender_names.append(sender)
        row = (series, 0, self.sender_names.index(sender), False)
        if self._free:
            ref = self._free.pop()
            self._rows[ref], self._touched[ref], self._sender[ref], self._written[ref] = row
        else:
            ref = len(self._rows)
            for column, value in zip(
                (self._rows, self._touched, self._sender, self._written), row, strict=True
            ):
                column.append(value)  # type: ignore[attr-defined]
        self._by_fingerprint[series.fingerprint] = ref
        self._index.add(ref, series.labels)
        self._answers.clear()
        self.new_total += 1
        return ref

    def remove(self, refs: npt.ArrayLike) -> Refs:
        """Take out series (called by `Head.evict` only); those that a live lease holds stay. Returns the refs
        that were removed and may be given to other series from now on.
        """
        gone = []
        with self._lock:
            oldest = next(iter(self._live), self._epoch + 1)
            for ref in np.asarray(refs, np.int32).tolist():
                series = self._rows[ref]
                if series is None or self._touched[ref] >= oldest:
                    continue
                self._rows[ref] = None
                del self._by_fingerprint[series.fingerprint]
                self._index.remove(ref, series.labels)
                self._free.append(ref)
                gone.append(ref)
            if gone:
                dead = set(gone)
                self._keys = {key: ref for key, ref in self._keys.items() if ref not in dead}
                self._refused.clear()
                self._answers.clear()
                self.removed_total += len(gone)
        return np.array(gone, np.int32)

    # ---- what is known of a ref --------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of live series."""
        return len(self._by_fingerprint)

    @property
    def capacity(self) -> int:
        """Every ref is below this."""
        return len(self._rows)

    def series(self, ref: int) -> Series:
        """The series of a live ref."""
        series = self._rows[ref]
        if series is None:
            raise KeyError(f"ref {ref} names no series")
        return series

    def labels(self, ref: int) -> Labels:
        """The labels of a live ref; do not change them."""
        return self.series(ref).labels

    def labels_of(self, refs: npt.ArrayLike) -> tuple[Labels, ...]:
        """The labels of live refs; mappings may be shared, do not change them."""
        return tuple(self.labels(ref) for ref in np.asarray(refs).tolist())

    def fingerprints(self, refs: npt.ArrayLike) -> npt.NDArray[np.uint64]:
        """The fingerprints of live refs, uint64[n]."""
        return np.array([self.series(ref).fingerprint for ref in np.asarray(refs).tolist()], np.uint64)

    def senders(self, refs: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Who brought each of the live refs first: positions in `sender_names`, int32[n]."""
        return np.array([self._sender[ref] for ref in np.asarray(refs).tolist()], np.int32)

    def unwritten(self, refs: npt.ArrayLike) -> Refs:
        """Those of `refs` whose series are not in the store yet, each once."""
        return np.array([ref for ref in np.unique(refs).tolist() if not self._written[ref]], np.int32)

    def mark_written(self, refs: npt.ArrayLike) -> None:
        """Say that the series of `refs` are in the store."""
        for ref in np.asarray(refs).tolist():
            self._written[ref] = True

    # ---- who matches -------------------------------------------------------------------------------------

    def match(self, matchers: Sequence[Matcher]) -> Refs:
        """The refs of the series that satisfy every matcher, in the order of `label_key`. Do not change it.

        Raises InvalidInput for a bad expression.
        """
        with self._lock:
            return self._match(matchers)

    def match_labels(self, matchers: Sequence[Matcher]) -> tuple[Refs, tuple[Labels, ...]]:
        """`match` and the labels of what it found, taken at one moment."""
        with self._lock:
            refs = self._match(matchers)
            return refs, self.labels_of(refs)

    def _match(self, matchers: Sequence[Matcher]) -> Refs:
        key = tuple(matchers)
        found = self._answers.get(key)
        if found is None:
            if len(self._answers) >= _ANSWERS_KEPT:
                self._answers.clear()
            refs = sorted(self._index.resolve(matchers), key=lambda ref: label_key(self.labels(ref)))
            found = self._answers[key] = np.array(refs, np.int32)
        return found

    # ---- usage -------------------------------------------------------------------------------------------

    def usage(self) -> SeriesUsage:
        """The live series with their metrics, senders and sizes."""
        with self._lock:
            rows = [(ref, row) for ref, row in enumerate(self._rows) if row is not None]
            return SeriesUsage(
                _int32(ref for ref, _ in rows),
                _int32(
                    self._symbol(row.labels["__name__"]) if "__name__" in row.labels else -1
                    for _, row in rows
                ),
                _int32(self._sender[ref] for ref, _ in rows),
                _int32(
                    sum(len(part.encode()) for pair in row.labels.items() for part in pair) for _, row in rows
                ),
            )

    def pair_usage(self) -> PairUsage:
        """The label pairs in use and how many series have each."""
        counts: dict[tuple[str, str], int] = {}
        with self._lock:
            for row in self._rows:
                for pair in row.labels.items() if row is not None else ():
                    counts[pair] = counts.get(pair, 0) + 1
            return PairUsage(
                _int32(self._symbol(name) for name, _ in counts),
                _int32(self._symbol(value) for _, value in counts),
                _int32(counts.values()),
            )

    def texts(self, symbols: npt.ArrayLike) -> list[str]:
        """The strings of `symbols`, "" for -1; symbols stay valid until series are removed."""
        return [self._texts[symbol] if symbol >= 0 else "" for symbol in np.asarray(symbols).tolist()]

    def label_names(self) -> list[str]:
        """Every label name in use, sorted."""
        with self._lock:
            return sorted({name for row in self._rows if row is not None for name in row.labels})

    def label_values(self, name: str) -> list[str]:
        """Every value of the label `name` in use, sorted."""
        with self._lock:
            rows = (row for row in self._rows if row is not None)
            return sorted({row.labels[name] for row in rows if name in row.labels})

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Bytes held, by part (an estimate)."""
        return {"series": 2000 * len(self._rows), "wire_keys": 200 * len(self._keys)}

    def _symbol(self, text: str) -> int:
        symbol = self._symbols.get(text)
        if symbol is None:
            symbol = self._symbols[text] = len(self._texts)
            self._texts.append(text)
        return symbol


def _int32(values: Any) -> npt.NDArray[np.int32]:
    return np.fromiter(values, np.int32)
