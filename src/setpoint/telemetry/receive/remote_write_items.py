"""Histograms, exemplars and metadata of a request, decoded one by one into the columns of its batch.

`remote_write_receiver` calls `decode_items` when a request holds any. What is refused is told by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from setpoint.errors import InvalidInput
from setpoint.telemetry.model import ExemplarColumns, HistogramColumns, Labels
from setpoint.telemetry.native_histogram import STALE, NativeHistogram
from setpoint.telemetry.protect import Bounds
from setpoint.telemetry.receive import remote_write_kernels as kernels
from setpoint.telemetry.receive.remote_write_messages import Message, histogram, labels_of, parse
from setpoint.telemetry.receive.remote_write_scan import Scanned

__all__ = ["Items", "Refuse", "decode_items"]

_EXEMPLAR_CHARS = 1024
"""Characters in the labels of one exemplar; OpenMetrics stops at 128."""

Refuse = Callable[[int, str, str], None]
"""`refuse(series, reason, sentence)` of one item."""


@dataclass(slots=True)
class Items:
    """What was decoded, as growing columns: instants in Unix ms, 0 for no start; histograms and metadata encoded."""

    histogram_refs: list[int] = field(default_factory=list)
    histogram_times: list[int] = field(default_factory=list)
    histogram_starts: list[int] = field(default_factory=list)
    histograms: list[bytes] = field(default_factory=list)
    exemplar_refs: list[int] = field(default_factory=list)
    exemplar_times: list[int] = field(default_factory=list)
    exemplar_values: list[float] = field(default_factory=list)
    exemplar_labels: list[Labels] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)

    def histogram_columns(self) -> HistogramColumns | None:
        """The histograms as a batch has them; None without any."""
        if not self.histograms:
            return None
        return HistogramColumns(
            np.array(self.histogram_refs, np.int32),
            np.array(self.histogram_times, np.int64),
            self.histograms,
        )

    def add_zeros(self, positions: Iterable[int]) -> None:
        """Add an empty histogram at the start of each of those at `positions`."""
        for place in positions:
            like = NativeHistogram.decode(self.histograms[place])
            zero = NativeHistogram(
                like.schema,
                0.0,
                0.0,
                like.zero_threshold,
                custom_bounds=like.custom_bounds,
                is_float=like.is_float,
            )
            self.histogram_refs.append(self.histogram_refs[place])
            self.histogram_times.append(self.histogram_starts[place])
            self.histograms.append(zero.encode())

    def exemplar_columns(self) -> ExemplarColumns | None:
        """The exemplars as a batch has them; None without any."""
        if not self.exemplar_refs:
            return None
        return ExemplarColumns(
            np.array(self.exemplar_refs, np.int32),
            np.array(self.exemplar_times, np.int64),
            np.array(self.exemplar_values, np.float64),
            self.exemplar_labels,
        )


def decode_items(scanned: Scanned, refs: Sequence[int], bounds: Bounds, refuse: Refuse) -> Items:
    """The histograms and exemplars of the series that have a ref, at instants within `bounds`.

    `refs` are those of the scanned series. Raises InvalidInput when a message is malformed.
    """
    decoder = _Decoder(scanned, refuse)
    exemplar = "Exemplar2" if scanned.is_v2 else "Exemplar1"
    for kind, series, begin, end in scanned.items.tolist():
        encoded = scanned.bytes_of(begin, end)
        if kind == kernels.METADATA:
            decoder.items.metadata.append(encoded)
            continue
        is_histogram = kind == kernels.HISTOGRAM
        message = parse("Histogram" if is_histogram else exemplar, encoded)
        if refs[series] < 0:
            continue
        outside = bounds.fault(message.timestamp)
        if outside is not None:
            refuse(series, *outside)
        elif is_histogram:
            decoder.histogram(message, series, refs[series])
        else:
            decoder.exemplar(message, series, refs[series])
    return decoder.items


class _Decoder:
    def __init__(self, scanned: Scanned, refuse: Refuse) -> None:
        self.items = Items()
        self._scanned = scanned
        self._refuse = refuse

    def histogram(self, message: Message, series: int, ref: int) -> None:
        made = histogram(message)
        if made.is_stale:
            made = NativeHistogram(0, 0.0, STALE)
        fault = made.fault()
        try:
            encoded = b"" if fault else made.encode()
        except InvalidInput as error:
            fault = error.message
        if fault:
            self._refuse(series, "invalid_histogram", fault)
            return
        items = self.items
        items.histogram_refs.append(ref)
        items.histogram_times.append(message.timestamp)
        items.histogram_starts.append(message.start_timestamp if made.reset_hint != "gauge" else 0)
        items.histograms.append(encoded)

    def exemplar(self, message: Message, series: int, ref: int) -> None:
        try:
            if self._scanned.is_v2:
                labels = labels_of(self._scanned.pairs(message.labels_refs))
            else:
                labels = labels_of((label.name, label.value) for label in message.labels)
            size = sum(len(name) + len(value) for name, value in labels.items())
            if size > _EXEMPLAR_CHARS:
                raise ValueError(
                    f"the labels of an exemplar have {size} characters, {_EXEMPLAR_CHARS} are taken"
                )
        except ValueError as error:
            self._refuse(series, "invalid_exemplar", str(error))
            return
        items = self.items
        items.exemplar_refs.append(ref)
        items.exemplar_times.append(message.timestamp)
        items.exemplar_values.append(message.value)
        items.exemplar_labels.append(labels)
