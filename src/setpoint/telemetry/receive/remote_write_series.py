"""Refs of the series of a request: found by their wire keys, their labels decoded only when a key is new.

`remote_write_receiver` has one `SeriesFinder`. What is wrong with the labels of a series is remembered by its
key as well, so that a sender which repeats the mistake costs little.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Labels, Lease, Metadata, Series, fingerprint
from setpoint.telemetry.protect import shown
from setpoint.telemetry.receive.attributes import UNKNOWN_SERVICE
from setpoint.telemetry.receive.remote_write_messages import Message, labels_of, metadata_of, parse
from setpoint.telemetry.receive.remote_write_scan import Scanned
from setpoint.telemetry.series_table import UNKNOWN, SeriesTable

__all__ = ["FAULTY", "Fault", "Found", "SeriesFinder", "labels_at"]

FAULTY = -3
"""In place of a ref: the labels of the series are wrong."""

_FAULTS_KEPT = _FAULTS_MOST = 10_000
_SUFFIXES = ("_total", "_bucket", "_count", "_sum", "_created", "_info")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with the labels of a series, and the series as far as it can be shown."""

    reason: str
    offender: str


@dataclass(slots=True)
class Found:
    """`refs` int32[n] of the scanned series: a ref, or below 0: not admitted, without data (both the table's
    numbers), or FAULTY, of which `faults` says why.
    """

    refs: npt.NDArray[np.int32]
    faults: dict[int, Fault] = field(default_factory=dict)


class SeriesFinder:
    """Finds and adds series in `table`; thread-safe."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._guard = threading.Lock()
        self._faults: dict[tuple[int, int], Fault] = {}

    def find(
        self,
        scanned: Scanned,
        has_data: npt.NDArray[np.bool_],
        families: Mapping[str, Metadata],
        lease: Lease,
    ) -> Found:
        """The refs of the scanned series; those without data (`has_data` bool[n]) are not added.

        `families` says what was sent of metrics before (1.0). Raises InvalidInput for malformed labels.
        """
        found = Found(self._table.find(scanned.keys, lease))
        unknown = np.flatnonzero((found.refs == UNKNOWN) & has_data)
        if len(unknown):
            self._learn(scanned, unknown, families, lease, found)
        return found

    def _learn(
        self,
        scanned: Scanned,
        unknown: npt.NDArray[np.int64],
        families: Mapping[str, Metadata],
        lease: Lease,
        found: Found,
    ) -> None:
        new: dict[tuple[int, int], int] = {}
        series: list[Series] = []
        numbers = np.full(len(unknown), -1, np.int64)
        keys = scanned.keys[unknown].tolist()
        for position, (place, (high, low)) in enumerate(zip(unknown.tolist(), keys, strict=True)):
            key = (high, low)
            number = new.get(key)
            if number is None:
                made = self._faults.get(key) or _decode(scanned, place, families)
                if isinstance(made, Fault):
                    self._remember(key, made)
                    if len(found.faults) >= _FAULTS_MOST:
                        raise InvalidInput(
                            f"more than {_FAULTS_MOST:,} series of the request have wrong labels and nothing was "
                            f"stored; the last one: {made.reason} ({made.offender})"
                        )
                    found.faults[place] = made
                    found.refs[place] = FAULTY
                    continue
                number = new[key] = len(series)
                series.append(made)
            numbers[position] = number
        if series:
            refs = self._table.bind(np.array(list(new), np.uint64), series, lease)
            good = numbers >= 0
            found.refs[unknown[good]] = refs[numbers[good]]

    def _remember(self, key: tuple[int, int], fault: Fault) -> None:
        with self._guard:
            if len(self._faults) >= _FAULTS_KEPT:
                self._faults.clear()
            self._faults[key] = fault


def labels_at(scanned: Scanned, place: int) -> Labels:
    """The labels of a series, to show them: what is no UTF-8 is replaced."""
    try:
        pairs = _pairs(scanned, place)[0]
    except ValueError:
        pairs = []
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in pairs}


def _pairs(scanned: Scanned, place: int) -> tuple[list[tuple[bytes, bytes]], Message]:
    if not scanned.is_v2:
        message = parse("Series1", scanned.series_bytes(place))
        return [(label.name, label.value) for label in message.labels], message
    message = parse("Series2", scanned.series_bytes(place))
    return scanned.pairs(message.labels_refs), message


def _decode(scanned: Scanned, place: int, families: Mapping[str, Metadata]) -> Series | Fault:
    try:
        pairs, message = _pairs(scanned, place)
        labels = labels_of(pairs)
        metric = labels.get("__name__")
        if metric is None:
            raise ValueError("the series has no metric name (label __name__)")
        said = _family_of(metric, families)
        if scanned.is_v2:
            told = message.metadata
            texts = scanned.symbol(told.unit_ref), scanned.symbol(told.help_ref)
            said = metadata_of(b"", told.type, *texts)
    except ValueError as error:
        return Fault(str(error), shown(labels_at(scanned, place)))
    service = labels.get("service_name") or labels.get("job") or UNKNOWN_SERVICE
    if said is None or said.type == "unknown":
        return Series(fingerprint(labels), labels, service)
    return Series(fingerprint(labels), labels, service, type=said.type, unit=said.unit, help=said.help)


def _family_of(metric: str, families: Mapping[str, Metadata]) -> Metadata | None:
    said = families.get(metric)
    for suffix in _SUFFIXES if said is None else ():
        if metric.endswith(suffix):
            return families.get(metric.removesuffix(suffix))
    return said
