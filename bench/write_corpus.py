"""Bodies of Prometheus remote write 1.0 for the ingest benchmarks: the same bytes go to every system that is compared.

Series look like those of an exporter on a cluster: nine labels, some 230 bytes. Their values are of five kinds in equal
parts: busy integer counters, counters of seconds with two decimals, constants, sizes that wander in pages, and rare
events. Labels are encoded once; each body only patches values and timestamps, so that the driver costs little.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cramjam
import numpy as np
import numpy.typing as npt

__all__ = ["Body", "Corpus"]

_KINDS = 5
_METRICS = 200
_SAMPLE_BYTES = 18  # tag, length, tag + float64, tag + a timestamp of six varint bytes


@dataclass(frozen=True, slots=True)
class Body:
    """One request: compressed bytes and the samples in it."""

    compressed: bytes
    samples: int


class Corpus:
    """`series` series with values that go on from call to call; `generation` names a set of series (churn)."""

    def __init__(
        self, series: int, samples_per_series: int, series_per_body: int = 2000, seed: int = 1
    ) -> None:
        self._random = np.random.default_rng(seed)
        self._k = samples_per_series
        self._ids = np.arange(series)
        self._generations = np.zeros(series, np.int64)
        self._values = np.where(self._ids % _KINDS == 3, 8e9, self._random.integers(0, 1000, series)).astype(
            float
        )
        self._per_body = series_per_body
        self._templates: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]] = []
        self._build(range(0, series, series_per_body))

    @property
    def bodies_per_round(self) -> int:
        """How many bodies one call of `bodies` gives."""
        return len(self._templates)

    def churn(self, share: float) -> int:
        """Replace `share` of the series by new ones; how many."""
        count = int(len(self._ids) * share)
        chosen = self._random.choice(len(self._ids), count, replace=False)
        self._generations[chosen] += 1
        self._build(range(0, len(self._ids), self._per_body))
        return count

    def bodies(self, first_ms: int, interval_ms: int) -> Iterator[Body]:
        """One body per `series_per_body` series, each series with its next samples from `first_ms` on."""
        times = first_ms + np.arange(self._k, dtype=np.int64) * interval_ms
        values = self.next_values(self._k)
        varint = (times[:, None] >> (7 * np.arange(6))) & 0x7F
        varint[:, :5] |= 0x80
        for number, (template, places) in enumerate(self._templates):
            rows = values[number * self._per_body : number * self._per_body + len(places)]
            body = template.copy()
            at = places[:, None] + np.arange(self._k) * _SAMPLE_BYTES
            body[at[:, :, None] + np.arange(3, 11)] = (
                rows.astype("<f8").view(np.uint8).reshape(*rows.shape, 8)
            )
            body[at[:, :, None] + np.arange(12, 18)] = varint.astype(np.uint8)[None]
            yield Body(bytes(cramjam.snappy.compress_raw(body.tobytes())), rows.size)

    def next_values(self, steps: int) -> npt.NDArray[np.float64]:
        """The next values float64[series, steps] of every series."""
        count = len(self._ids)
        kind = self._ids % _KINDS
        moves = np.zeros((count, steps))
        shape = (int((kind == 0).sum()), steps)
        moves[kind == 0] = self._random.poisson(self._ids[kind == 0][:, None] % 97 + 0.1, shape)
        moves[kind == 1] = np.round(self._random.uniform(0, 15, ((kind == 1).sum(), steps)), 2)
        moves[kind == 3] = np.round(self._random.normal(0, 240, ((kind == 3).sum(), steps))) * 4096
        moves[kind == 4] = self._random.random(((kind == 4).sum(), steps)) < 0.01
        values = self._values[:, None] + np.cumsum(moves, axis=1)
        values[kind == 1] = np.round(values[kind == 1], 2)
        self._values = values[:, -1].copy()
        return values

    def labels(self, place: int) -> dict[str, str]:
        """The labels of the series at `place`, sorted by name."""
        pod = place // 100
        return {
            "__name__": f"bench_{('busy', 'time', 'limit', 'size', 'rare')[place % _KINDS]}_{place % _METRICS}_total",
            "cluster": "harbour-1",
            "container": f"worker-{place % 7}",
            "instance": f"10.{pod >> 16 & 255}.{pod >> 8 & 255}.{pod & 255}:9100",
            "job": f"fleet-{pod % 20}",
            "namespace": f"team-{pod % 50}",
            "path": f"/var/lib/volume/{place % 100}",
            "pod": f"worker-{pod:06d}-{self._generations[place]:05d}",
            "zone": f"zone-{pod % 3}",
        }

    def _build(self, starts: range) -> None:
        self._templates = [
            self._template(range(start, min(start + self._per_body, len(self._ids)))) for start in starts
        ]

    def _template(self, places: range) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        body = bytearray()
        starts = []
        sample = bytes([0x12, 16, 0x09, *bytes(8), 0x10, *bytes(6)])
        for place in places:
            labels = b"".join(_label(name, value) for name, value in self.labels(place).items())
            message = labels + sample * self._k
            body += b"\x0a" + _varint(len(message)) + message
            starts.append(len(body) - self._k * _SAMPLE_BYTES)
        return np.frombuffer(bytes(body), np.uint8), np.array(starts, np.int64)


def _label(name: str, value: str) -> bytes:
    pair = b"".join(
        tag + _varint(len(text)) + text for tag, text in ((b"\x0a", name.encode()), (b"\x12", value.encode()))
    )
    return b"\x0a" + _varint(len(pair)) + pair


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
