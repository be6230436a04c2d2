"""Which series exist: every series has a row ("ref", a small number), its labels and who sent it.

Doors find refs by the wire keys of their requests, the head keeps samples by ref, the query language asks
which refs match. A ref is given to another series after `remove`, never while a lease that named it is live.

One lock guards all of it. It is held for compiled loops that let the interpreter go on, and for short ones:
many new series are added in slices, and what takes long (asking `admit`, taking labels apart, testing values
against expressions, sorting, decoding) is done without it.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.errors import NotFound, SetpointError
from setpoint.telemetry.model import Labels, Lease, Matcher, Series, fingerprint
from setpoint.telemetry.table.answers import Answers
from setpoint.telemetry.table.catalogue import Catalogue
from setpoint.telemetry.table.label_columns import LabelColumns
from setpoint.telemetry.table.prepare import Family, Origin, prepare
from setpoint.telemetry.table.rows import Refs
from setpoint.telemetry.table.wire_keys import WireKeys

__all__ = ["REFUSED", "UNKNOWN", "Described", "PairUsage", "SeriesTable", "SeriesUsage", "Since", "warm"]

Admit = Callable[[Series, str], str | None]

UNKNOWN, REFUSED = -1, -2
_REFUSED_KEPT = 65_536
_SLICE = 4096
"""New series that are added under one lock."""

_REMOVED_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True)
class SeriesUsage:
    """The live series as equally long columns: `refs` int32[n], `metrics` and `services` int32[n] (symbols of
    their `__name__`, -1 without one, and of their service), `senders` int32[n] (positions in `sender_names`),
    `label_bytes` int32[n] (UTF-8 bytes of all names and values).
    """

    refs: Refs
    metrics: npt.NDArray[np.int32]
    services: npt.NDArray[np.int32]
    senders: npt.NDArray[np.int32]
    label_bytes: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PairUsage:
    """The label pairs in use as equally long columns: symbols of names and values int32[n], how many series
    have each int32[n], and the sum of their weights float64[n].
    """

    names: npt.NDArray[np.int32]
    values: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    sums: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Described:
    """n series as columns: `fingerprints` uint64[n], their labels, and the distinct `kinds` (what a series shares with
    others: origin and family), of which series i has `kinds[kind_places[i]]`.
    """

    fingerprints: npt.NDArray[np.uint64]
    labels: LabelColumns
    kinds: Sequence[tuple[Origin, Family]]
    kind_places: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Since:
    """How many series were `added` and `removed` up to now; which of the refs asked about still name the series that
    they named, `stays` bool[n]; and the refs that are `new`, None when that is not remembered.
    """

    added: int
    removed: int
    stays: npt.NDArray[np.bool_]
    new: Refs | None


class SeriesTable:
    """The series that are there, by ref. Thread-safe.

    `admit` is asked for each new series, with the sender of the lease; it answers why it is refused, or None.
    It is called without a lock; when two threads bring the same new series at one moment, it is asked twice.
    """

    def __init__(self, admit: Admit | None = None) -> None:
        self.hash_seed: npt.NDArray[np.uint64] = np.frombuffer(secrets.token_bytes(16), np.uint64).copy()
        """The secret of the wire keys, uint64[2]: doors hash the bytes of a series under it."""
        self.kept: Callable[[], npt.NDArray[np.uint64]] = lambda: np.empty(0, np.uint64)
        """Tells the fingerprints of series that are not to be removed although the head holds no samples of them."""
        self._admit = admit
        self._lock = threading.RLock()
        self._epoch = 0
        self._live: dict[int, None] = {}
        self._catalogue = Catalogue()
        self._keys = WireKeys()
        self._refused = WireKeys()
        self._answers = Answers(self._catalogue, self._lock)

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

    def _check(self, lease: Lease) -> None:
        if lease.epoch not in self._live:
            raise SetpointError(
                "a lease of the series table was used after its release, so the refs of its batch may name "
                "other series by now; report this with the server's log"
            )

    # ---- refs of series ----------------------------------------------------------------------------------

    def find(self, keys: npt.NDArray[np.uint64], lease: Lease) -> Refs:
        """The refs of wire keys uint64[n, 2], as int32[n]: UNKNOWN for a new key, REFUSED for the key of a
        series that was refused lately.
        """
        keys = np.require(keys, np.uint64, ("C", "W"))
        with self._lock:
            self._check(lease)
            refs = self._keys.find(keys)
            self._catalogue.rows.touch(refs, lease.epoch)
            if len(self._refused):
                unknown = np.flatnonzero(refs < 0)
                refs[unknown[self._refused.find(keys[unknown]) >= 0]] = REFUSED
        return refs

    def resolve(self, series: Sequence[Series], lease: Lease, *, written: bool = False) -> Refs:
        """The refs of `series` int32[n], unknown ones added; UNKNOWN where `admit` refused.

        `written=True` says that their rows are in the store already.
        """
        refs = np.empty(len(series), np.int32)
        for first in range(0, len(series), _SLICE):
            part = series[first : first + _SLICE]
            refs[first : first + _SLICE] = self._resolve(part, lease, written)
        return refs

    def bind(self, keys: npt.NDArray[np.uint64], series: Sequence[Series], lease: Lease) -> Refs:
        """`resolve`, and remember that `keys[i]` (uint64[k, 2]) means `series[i]`."""
        keys = np.require(keys, np.uint64, ("C", "W"))
        refs = self.resolve(series, lease)
        with self._lock:
            self._keys.put(keys, refs)
            refused = refs < 0
            if refused.any() and len(self._refused) < _REFUSED_KEPT:
                self._refused.put(keys[refused], np.zeros(int(refused.sum()), np.int32))
        return refs

    def forget_refused(self) -> None:
        """Let refused series be tried again; whoever keeps the time calls it every minute."""
        with self._lock:
            self._refused = WireKeys()

    def _resolve(self, series: Sequence[Series], lease: Lease, written: bool) -> Refs:
        fingerprints = np.fromiter((one.fingerprint for one in series), np.uint64, len(series))
        refs = self._known(fingerprints, lease, written)
        unknown = np.flatnonzero(refs < 0)
        if len(unknown):
            _, first = np.unique(fingerprints[unknown], return_index=True)
            new = [series[place] for place in unknown[np.sort(first)].tolist()]
            if self._admit is not None:
                new = [one for one in new if self._admit(one, lease.sender) is None]
            self._add(new, lease, written)
            refs[unknown] = self._known(fingerprints[unknown], lease, written)
        return refs

    def _known(self, fingerprints: npt.NDArray[np.uint64], lease: Lease, written: bool) -> Refs:
        with self._lock:
            self._check(lease)
            rows = self._catalogue.rows
            refs = rows.find(fingerprints)
            rows.touch(refs, lease.epoch)
            if written:
                rows.mark_stored(refs)
            else:
                self._catalogue.claim(refs, lease.sender)
        return refs

    def _add(self, series: Sequence[Series], lease: Lease, written: bool) -> None:
        """Add those of different `series` that nobody added meanwhile."""
        if not series:
            return
        new = prepare(series)
        with self._lock:
            rows = self._catalogue.rows
            found = rows.find(new.fingerprints)
            # What another thread added meanwhile must not be removed again before this one has seen it.
            rows.touch(found, lease.epoch)
            missing = found < 0
            if not missing.all():
                new = prepare([one for one, is_new in zip(series, missing.tolist(), strict=True) if is_new])
            if len(new.fingerprints):
                refs = self._catalogue.add(new, lease.sender, stored=written)
                rows.touch(refs, lease.epoch)

    def remove(self, refs: npt.ArrayLike) -> Refs:
        """Take out series (called by `Head.evict` only); those that a live lease holds stay, and those that are
        `kept`. Returns the refs that were removed and may be given to other series from now on. Answers to
        matchers that nobody asked for since the last twenty calls are given up.
        """
        asked, kept = _refs(refs), self.kept()
        with self._lock:
            self._answers.age()
            if len(kept):
                asked = asked[self._catalogue.rows.alive(asked)]
                asked = asked[~np.isin(self._catalogue.rows.fingerprints(asked), kept)]
        removed = [np.empty(0, np.int32)]
        for first in range(0, len(asked), _REMOVED_AT_ONCE):
            with self._lock:
                oldest = next(iter(self._live), self._epoch + 1)
                gone, is_gone = self._catalogue.remove(asked[first : first + _REMOVED_AT_ONCE], oldest)
                if len(gone):
                    self._keys.drop(is_gone)
                    self._refused = WireKeys()
            removed.append(gone)
        return np.concatenate(removed)

    def compact(self) -> None:
        """Give back all memory that can be given back at once; `remove` does so when there is much."""
        with self._lock:
            self._catalogue.compact()

    # ---- what is known of a ref --------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Number of live series."""
        return len(self._catalogue.rows)

    @property
    def capacity(self) -> int:
        """Every ref is below this. It grows and shrinks."""
        return self._catalogue.rows.capacity

    @property
    def new_total(self) -> int:
        """How many series were ever added."""
        return self._catalogue.rows.added

    @property
    def removed_total(self) -> int:
        """How many series were ever removed."""
        return self._catalogue.rows.removed

    @property
    def sender_names(self) -> list[str]:
        """The names of senders by their numbers, "" for a number that is free."""
        with self._lock:
            return [name or "" for name in self._catalogue.senders.keys]

    def series(self, ref: int) -> Series:
        """The series of a live ref. Raises NotFound for any other."""
        return self.series_of([ref])[0]

    def series_of(self, refs: npt.ArrayLike) -> list[Series]:
        """The series of live refs. Raises NotFound for any other."""
        with self._lock:
            return self._catalogue.series(self._live_refs(refs))

    def described(self, refs: npt.ArrayLike) -> Described:
        """What is known of live refs, as columns. Raises NotFound for any other."""
        with self._lock:
            live = self._live_refs(refs)
            columns = self._catalogue.labels(live)
            return Described(self._catalogue.rows.fingerprints(live), columns, *self._catalogue.kinds(live))

    def labels(self, ref: int) -> Labels:
        """The labels of a live ref; do not change them. Raises NotFound for any other."""
        return self.labels_of([ref])[0]

    def labels_of(self, refs: npt.ArrayLike) -> tuple[Labels, ...]:
        """The labels of live refs; do not change them. Raises NotFound for any other."""
        with self._lock:
            columns = self._catalogue.labels(self._live_refs(refs))
        return columns.decode()

    def fingerprints(self, refs: npt.ArrayLike) -> npt.NDArray[np.uint64]:
        """The fingerprints of live refs, uint64[n]. Raises NotFound for any other."""
        with self._lock:
            return self._catalogue.rows.fingerprints(self._live_refs(refs))

    def live_fingerprints(self) -> npt.NDArray[np.uint64]:
        """The fingerprints of all live series, uint64[n]."""
        with self._lock:
            rows = self._catalogue.rows
            return rows.fingerprints(rows.all())

    def senders(self, refs: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Who brought each of the live refs first: positions in `sender_names`, int32[n]. Raises NotFound."""
        with self._lock:
            return self._catalogue.senders_of(self._live_refs(refs))

    def unwritten(self, refs: npt.ArrayLike) -> Refs:
        """Those of the live `refs` whose series are not in the store yet, each once. Raises NotFound."""
        with self._lock:
            return np.unique(self._catalogue.rows.unstored(self._live_refs(refs)))

    def mark_written(self, refs: npt.ArrayLike) -> None:
        """Say that the series of `refs` are in the store."""
        with self._lock:
            self._catalogue.rows.mark_stored(_refs(refs))

    def _live_refs(self, refs: npt.ArrayLike) -> Refs:
        found = _refs(refs)
        is_alive = self._catalogue.rows.alive(found)
        if not is_alive.all():
            raise NotFound(
                f"ref {found[~is_alive][0]} names no series; hold a lease over refs between finding and using them"
            )
        return found

    def alive(self, refs: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Whether each of `refs` names a series now, bool[n]."""
        with self._lock:
            return self._catalogue.rows.alive(_refs(refs))

    def since(self, added: int, refs: npt.ArrayLike) -> Since:
        """What changed since `added` series had been added, of which `refs` are some."""
        with self._lock:
            rows = self._catalogue.rows
            return Since(
                rows.added, rows.removed, rows.older_than(_refs(refs), added), rows.added_since(added)
            )

    # ---- who matches -------------------------------------------------------------------------------------

    def match(self, matchers: Sequence[Matcher]) -> Refs:
        """The refs of the series that satisfy every matcher, in the order of `label_key`. Do not change it.

        Raises InvalidInput for a bad expression.
        """
        return self._answers.refs(matchers)

    def match_labels(self, matchers: Sequence[Matcher]) -> tuple[Refs, tuple[Labels, ...]]:
        """`match` and the labels of what it found, taken at one moment. Do not change either."""
        return self._answers.labelled(matchers)

    # ---- usage -------------------------------------------------------------------------------------------

    def usage(self) -> SeriesUsage:
        """The live series with their metrics, services, senders and sizes."""
        with self._lock:
            catalogue = self._catalogue
            refs = catalogue.rows.all()
            return SeriesUsage(
                refs,
                catalogue.values_of(refs, "__name__"),
                catalogue.services_of(refs),
                catalogue.senders_of(refs),
                catalogue.label_bytes(refs),
            )

    def pair_usage(self, weights: npt.NDArray[np.float64] | None = None) -> PairUsage:
        """The label pairs in use and how many series have each, with the sums of `weights` (by ref, refs
        beyond its end weigh nothing).
        """
        with self._lock:
            pairs, rows = self._catalogue.pairs, self._catalogue.rows
            live = pairs.live()
            sums = np.zeros(len(live))
            if weights is not None:
                refs = rows.all()
                weights = np.require(weights, np.float64, ("C", "W"))
                sums = rows.sum_weights(refs[refs < len(weights)], weights, pairs.id_count)[live]
            return PairUsage(pairs.names[live], pairs.values[live], pairs.counts[live], sums)

    def texts(self, symbols: npt.ArrayLike) -> list[str]:
        """The strings of `symbols`, "" for -1; symbols stay valid until series are removed."""
        asked = np.asarray(symbols, np.int64)
        found = np.full(len(asked), "", object)
        with self._lock:
            known = np.flatnonzero((asked >= 0) & (asked < self._catalogue.symbols.id_count))
            texts = self._catalogue.symbols.texts(asked[known].astype(np.int32))
        found[known] = texts.decode()
        return found.tolist()

    def label_names(self, matchers: Sequence[Matcher] = ()) -> list[str]:
        """Every label name of the series that satisfy `matchers`, sorted. Raises InvalidInput."""
        return self._texts(matchers, None)

    def label_values(self, name: str, matchers: Sequence[Matcher] = ()) -> list[str]:
        """Every value that the label `name` has in the series that satisfy `matchers`, sorted. Raises
        InvalidInput for a bad expression.
        """
        return self._texts(matchers, name)

    def _texts(self, matchers: Sequence[Matcher], name: str | None) -> list[str]:
        refs = self.match(matchers) if matchers else None
        with self._lock:
            if refs is not None:
                refs = refs[self._catalogue.rows.alive(refs)]
            texts = self._catalogue.texts_of_name(refs, name)
        return sorted(texts.decode())

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Bytes held, by part, spare room included (`answers` and `shared` are estimates)."""
        with self._lock:
            return {
                **self._catalogue.memory_bytes,
                "wire_keys": self._keys.nbytes + self._refused.nbytes,
                "answers": self._answers.memory_bytes,
            }


def _refs(refs: npt.ArrayLike) -> Refs:
    """As an array that the compiled loops take without being compiled anew."""
    return np.require(refs, np.int32, ("C", "W"))


def warm() -> None:
    """Compile every kernel of the table, or load it from the cache, by one turn of a small table."""
    table = SeriesTable()
    lease, other = table.lease(), table.lease("warm")
    named = [{"__name__": "a", "b": str(number)} for number in range(12)]
    series = [Series(fingerprint(labels), labels, "warm") for labels in named]
    keys = np.arange(24, dtype=np.uint64).reshape(12, 2)
    refs = table.bind(keys[:11], series[:11], lease)
    table.find(keys, lease)
    every = [Matcher("b", "=~", "1.*"), Matcher("__name__", "!=", "")]
    table.match_labels(every)
    table.resolve(series, lease, written=True)
    table.resolve(series, other)
    table.match_labels(every)  # the same answer with one more series, in its place
    table.match([Matcher("__name__", "=", "a"), Matcher("b", "!~", "[0-9]x?")])
    table.match([Matcher("b", "!=", "1")])
    table.unwritten(refs)
    table.mark_written(refs)
    table.series_of(refs)
    table.usage()
    table.pair_usage(np.ones(table.capacity))
    table.label_values("b", every)
    lease.release()
    other.release()
    table.remove(refs[:2])
    table.match(every)
    table.compact()
