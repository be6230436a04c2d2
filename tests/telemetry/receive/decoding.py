"""A metrics decoder with its series table, and what it makes of requests, for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from setpoint.clock import VirtualClock
from setpoint.telemetry.model import RefBatch, Series
from setpoint.telemetry.receive.decode_metrics import MetricDecoder
from setpoint.telemetry.receive.outcome import Decoded
from setpoint.telemetry.receive.series_memory import LastSamples, SeriesMemory
from setpoint.telemetry.series_table import SeriesTable
from tests.telemetry.receive.messages import NOW_MS
from tests.telemetry.receive.walk import Seen, bits_of

__all__ = ["TARGET", "Samples", "Subject", "series_of"]

Samples = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]
TARGET = {
    "job": "shop/checkout",
    "instance": "checkout-1",
    "service_name": "checkout",
    "service_version": "1.4.2",
}


class Subject:
    """A decoder at `NOW_MS`; `decode` takes messages or bodies, `store` and `fail` say what became of a request."""

    def __init__(self, table: SeriesTable | None = None, last: LastSamples | None = None) -> None:
        self.clock = VirtualClock(NOW_MS)
        self.table = table or SeriesTable()
        self.memory = SeriesMemory(self.table, last)
        self.decoder = MetricDecoder(self.clock, self.table, self.memory)

    def decode(self, request: Any) -> Decoded:
        """What the decoder makes of a request."""
        return self.decoder.decode(request if isinstance(request, bytes) else request.SerializeToString())

    def store(self, decoded: Decoded) -> None:
        """As the ingest does when it has stored the batch."""
        batch = _batch(decoded)
        self.table.mark_written(batch.refs)
        decoded.on_stored()
        batch.lease.release()

    def take(self, request: Any, name: str = "") -> Samples:
        """Decode and store; `samples` of what it was."""
        decoded = self.decode(request)
        found = self.samples(decoded, name) if name else {}
        self.store(decoded)
        return found

    def samples(self, decoded: Decoded, name: str) -> Samples:
        """{labels beyond the target's and the name: [(timestamp, value), …]} of the series called `name`."""
        batch = _batch(decoded)
        found: Samples = {}
        for ref, at_ms, value in zip(batch.refs, batch.timestamps_ms, batch.values, strict=True):
            labels = dict(self.table.labels(int(ref)))
            if labels.pop("__name__") == name:
                own = tuple(sorted(item for item in labels.items() if item not in TARGET.items()))
                found.setdefault(own, []).append((int(at_ms), float(value)))
        return found

    def seen(self, decoded: Decoded) -> Seen:
        """All samples, as the walk has them."""
        batch = _batch(decoded)
        found: Seen = {}
        bits = batch.values.view(np.uint64)
        for ref, at_ms, value, word in zip(
            batch.refs.tolist(),
            batch.timestamps_ms.tolist(),
            batch.values.tolist(),
            bits.tolist(),
            strict=True,
        ):
            stale = word == 0x7FF0000000000002
            key = tuple(sorted(self.table.labels(ref).items()))
            found.setdefault(key, {})[at_ms] = word if stale else bits_of(value)
        return found


def series_of(subject: Subject, decoded: Decoded) -> list[Series]:
    """The series of a batch, in the order in which they come."""
    refs = dict.fromkeys(_batch(decoded).refs.tolist())
    return subject.table.series_of(list(refs))


def _batch(decoded: Decoded) -> RefBatch:
    assert isinstance(decoded.batch, RefBatch)
    return decoded.batch
