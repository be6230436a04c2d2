"""The series and their index as one: rows, label pairs, strings, and what series share.

`SeriesTable` calls it with its lock held; `matching` and `answers` read from it.
"""

from __future__ import annotations

import secrets

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Series
from setpoint.telemetry.table import symbol_kernels
from setpoint.telemetry.table.counted import Counted
from setpoint.telemetry.table.label_columns import LabelColumns
from setpoint.telemetry.table.pairs import Pairs
from setpoint.telemetry.table.prepare import Family, Origin, Prepared
from setpoint.telemetry.table.row_kernels import STORED
from setpoint.telemetry.table.rows import Refs, Rows
from setpoint.telemetry.table.symbols import Ids, Symbols, Texts, encode

__all__ = ["Catalogue"]


class Catalogue:
    """Series by ref, with an inverted index over their labels. Not thread-safe."""

    def __init__(self) -> None:
        self.symbols = Symbols(np.frombuffer(secrets.token_bytes(16), np.uint64).copy())
        self.pairs = Pairs(np.uint64(secrets.randbits(64) | 1))
        self.rows = Rows(np.uint64(secrets.randbits(64) | 1))
        self.senders: Counted[str] = Counted()
        self.generation = 0
        """Changes when pairs and symbols get other numbers."""
        self._origins: Counted[Origin] = Counted()
        self._families: Counted[Family] = Counted()
        self._services: npt.NDArray[np.int32] = np.empty(0, np.int32)  # symbols by origin

    def add(self, new: Prepared, sender: str, *, stored: bool) -> Refs:
        """Add series that are not here; returns their refs int32[n]."""
        count = len(new.fingerprints)
        ids = self.symbols.intern(new.blob, new.offsets)
        pairs, added = self.pairs.intern(ids[new.names], ids[new.values])
        self.symbols.hold(self.pairs.names[added])
        self.symbols.hold(self.pairs.values[added])
        origins = self._origins.hold(new.origins, new.origin_places)
        self._hold_services(origins)
        owners = np.empty((count, 2), np.int64)
        owners[:, 0] = (self.senders.hold([sender], np.zeros(count, np.int32)) << 32) | origins
        owners[:, 1] = self._families.hold(new.families, new.family_places) << 32
        if stored:
            owners[:, 1] |= STORED
        labels = pairs[new.labels]
        refs = self.rows.add(new.fingerprints, owners, labels, new.bounds)
        self.pairs.append(labels, new.bounds, refs)
        return refs

    def claim(self, refs: Refs, sender: str) -> None:
        """Say that `sender` brings those of `refs` of which it is not known who did: they were read from the store."""
        nobody = self.senders.number("")
        if nobody is None or not sender:
            return
        live = np.unique(refs[refs >= 0])
        claimed = live[self.senders_of(live) == nobody]
        if len(claimed):
            numbers = self.senders.hold([sender], np.zeros(len(claimed), np.int32))
            self.rows.give(claimed, int(numbers[0]))
            self.senders.release(np.full(len(claimed), nobody))

    def remove(self, refs: Refs, oldest: int) -> tuple[Refs, npt.NDArray[np.bool_]]:
        """Remove those of `refs` that no lease from epoch `oldest` on touched; returns them, and whether a
        ref is among them (bool by ref).
        """
        is_gone = np.zeros(self.rows.capacity, np.bool_)
        gone, owners, labels = self.rows.remove(refs, oldest)
        if not len(gone):
            return gone, is_gone
        is_gone[gone] = True
        is_named = np.zeros(self.pairs.id_count, np.bool_)
        is_named[labels] = True
        self.symbols.release(self.pairs.drop(np.flatnonzero(is_named).astype(np.int32), is_gone))
        self.senders.release(owners[:, 0] >> 32)
        self._families.release(owners[:, 1] >> 32)
        for number, _ in self._origins.release(owners[:, 0] & 0xFFFFFFFF):
            self.symbols.release(self._services[number : number + 1])
            self._services[number] = -1
        self._compact()
        return gone, is_gone

    # ---- what is known of refs ---------------------------------------------------------------------------

    def labels(self, refs: Refs) -> LabelColumns:
        """The labels of live refs, as a copy."""
        places, offsets, distinct = self.rows.labels(refs, self.pairs.id_count)
        names, name_places = symbol_kernels.distinct(self.pairs.names[distinct])
        values = self.symbols.texts(self.pairs.values[distinct])
        return LabelColumns(places, offsets, name_places, self.symbols.texts(names), values)

    def series(self, refs: Refs) -> list[Series]:
        """The series of live refs."""
        found = []
        senders_origins, families = self.rows.owners(refs).T
        for fingerprint, labels, origin_number, family_number in zip(
            self.rows.fingerprints(refs).tolist(),
            self.labels(refs).decode(),
            (senders_origins & 0xFFFFFFFF).tolist(),
            (families >> 32).tolist(),
            strict=True,
        ):
            origin, family = self._origins.keys[origin_number], self._families.keys[family_number]
            assert origin is not None
            assert family is not None
            found.append(
                Series(fingerprint, labels, origin.service, dict(origin.resource), origin.scope, *family)
            )
        return found

    def kinds(self, refs: Refs) -> tuple[list[tuple[Origin, Family]], Ids]:
        """What live refs share: the distinct origins with families, and the place there of each."""
        owners = self.rows.owners(refs)
        both = (owners[:, 0] & 0xFFFFFFFF) << 32 | owners[:, 1] >> 32
        distinct, places = np.unique(both, return_inverse=True)
        kinds = []
        for number in distinct.tolist():
            origin, family = self._origins.keys[number >> 32], self._families.keys[number & 0xFFFFFFFF]
            assert origin is not None
            assert family is not None
            kinds.append((origin, family))
        return kinds, places.astype(np.int32)

    def senders_of(self, refs: Refs) -> npt.NDArray[np.int32]:
        """The numbers of the senders of live refs."""
        return (self.rows.owners(refs)[:, 0] >> 32).astype(np.int32)

    def services_of(self, refs: Refs) -> Ids:
        """The symbols of the services of live refs."""
        found: Ids = self._services[self.rows.owners(refs)[:, 0] & 0xFFFFFFFF]
        return found

    def values_of(self, refs: Refs, name: str) -> Ids:
        """The symbols of the values that live refs have for the label `name`, -1 where they have none."""
        symbol = int(self.symbols.find([name])[0])
        pairs = self.rows.pair_of_name(refs, symbol, self.pairs.names)
        found: Ids = np.where(pairs >= 0, self.pairs.values[pairs], np.int32(-1))
        return found

    def label_bytes(self, refs: Refs) -> npt.NDArray[np.int32]:
        """The UTF-8 bytes of all names and values of each live ref."""
        count = self.pairs.id_count
        live = self.pairs.live()
        lengths = np.zeros(count, np.int32)
        symbols = self.symbols.lengths
        lengths[live] = symbols[self.pairs.names[live]] + symbols[self.pairs.values[live]]
        return self.rows.sum_lengths(refs, lengths)

    def texts_of_name(self, refs: Refs | None, name: str | None) -> Texts:
        """Every label name (`name` None), or every value of the label `name`, of live refs (None: all)."""
        symbol = -1 if name is None else int(self.symbols.find([name])[0])
        if name is not None and symbol < 0:
            pairs = np.empty(0, np.int32)
        elif refs is None:
            pairs = self.pairs.live() if name is None else self.pairs.of_name(symbol)
        elif name is None:
            pairs = self.rows.labels(refs, self.pairs.id_count)[2]
        else:
            pairs = np.unique(self.rows.pair_of_name(refs, symbol, self.pairs.names))
            pairs = pairs[pairs >= 0]
        symbols = self.pairs.names[pairs] if name is None else self.pairs.values[pairs]
        return self.symbols.texts(np.unique(symbols))

    @property
    def memory_bytes(self) -> dict[str, int]:
        """Bytes held, by part."""
        shared = 400 * (len(self._origins) + len(self._families) + len(self.senders))
        return {
            "rows": self.rows.nbytes,
            "postings": self.pairs.postings_nbytes,
            "pairs": self.pairs.nbytes,
            "symbols": self.symbols.nbytes,
            "shared": shared + self._services.nbytes,
        }

    def _hold_services(self, origins: npt.NDArray[np.int64]) -> None:
        """Keep a symbol for the service of each origin that is new."""
        known = len(self._services)
        count = len(self._origins.keys)
        if count > known:
            self._services = np.concatenate([self._services, np.full(count - known, -1, np.int32)])
        new = np.unique(origins)
        new = new[self._services[new] < 0]
        if len(new):
            services = [origin.service for number in new.tolist() if (origin := self._origins.keys[number])]
            ids = self.symbols.intern(*encode(services))
            self.symbols.hold(ids)
            self._services[new] = ids

    def _compact(self) -> None:
        """Give numbers without gaps to symbols and pairs when most of their numbers are free."""
        if self.symbols.is_wasteful:
            self._renumber_symbols()
        if self.pairs.is_wasteful:
            self._renumber_pairs()

    def compact(self) -> None:
        """Make every array as short as it can be."""
        self._renumber_symbols()
        self._renumber_pairs()
        self.pairs.shrink()
        self.rows.shrink()

    def _renumber_symbols(self) -> None:
        renumbered = self.symbols.compact()
        self.pairs.follow(renumbered)
        held = self._services >= 0
        self._services[held] = renumbered[self._services[held]]
        self.generation += 1

    def _renumber_pairs(self) -> None:
        self.rows.rename_pairs(self.pairs.compact())
        self.generation += 1
