"""Series for the query benchmark: a fleet whose counters, histograms and gauges a dashboard would ask for.

Twenty series an instance: ten buckets of a latency histogram, four request counters by code, a counter of seconds,
four gauges and a constant. Bodies of remote write are made by `write_corpus`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.write_corpus import Corpus

__all__ = ["PER_INSTANCE", "QueryCorpus"]

PER_INSTANCE = 20
_BOUNDS = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf")
_SHARES = (0.05, 0.1, 0.2, 0.25, 0.2, 0.1, 0.05, 0.03, 0.015, 0.005)
_CODES = ("200", "404", "500", "503")
_CODE_SHARES = (0.95, 0.03, 0.015, 0.005)
_GAUGES = ("memory_bytes", "queue_length", "temperature_celsius", "open_files")
_JOBS = 20


class QueryCorpus(Corpus):
    """`series` series (a multiple of `PER_INSTANCE`); an instance answers some 4 requests a second."""

    def __init__(self, series: int, samples_per_series: int, interval_s: float, seed: int = 2) -> None:
        # The base class makes the bodies from `labels`, so what those need comes first.
        super().__init__(series, samples_per_series, min(2_000, series // 4), seed)
        self._instances = series // PER_INSTANCE
        self._per_step = 4 * interval_s
        # Far from zero: versions of Prometheus differ in how they extend a counter that has just begun.
        self._totals = np.repeat(1e6 * np.arange(1, 16)[None, :], self._instances, axis=0)
        self._gauges = np.tile(np.array([4e9, 10, 40, 200]), (self._instances, 1))

    def next_values(self, steps: int) -> npt.NDArray[np.float64]:
        """The next values float64[series, steps] of every series."""
        random, shape = self._random, (self._instances, steps)
        per_step = self._per_step * (0.5 + np.arange(self._instances) % 7 / 4)
        values = np.empty((self._instances, PER_INSTANCE, steps))
        buckets = np.stack(
            [random.poisson(np.outer(per_step, np.full(steps, share))) for share in _SHARES], 1
        )
        values[:, :10] = np.cumsum(np.cumsum(buckets, axis=1), axis=2)
        values[:, 10:14] = np.cumsum(
            np.stack(
                [random.poisson(np.outer(per_step, np.full(steps, share))) for share in _CODE_SHARES], 1
            ),
            axis=2,
        )
        values[:, 14] = np.round(np.cumsum(random.uniform(0, self._per_step / 10, shape), axis=1), 2)
        values[:, :15] += self._totals[:, :, None]
        self._totals = values[:, :15, -1].copy()
        moves = np.stack(
            [
                np.round(random.normal(0, 300, shape)) * 4096,
                np.round(random.normal(0, 2, shape)),
                np.round(random.normal(0, 0.3, shape), 1),
                np.round(random.normal(0, 5, shape)),
            ],
            1,
        )
        values[:, 15:19] = np.round(np.abs(self._gauges[:, :, None] + np.cumsum(moves, axis=2)), 1)
        self._gauges = values[:, 15:19, -1].copy()
        values[:, 19] = 1
        return values.reshape(self._instances * PER_INSTANCE, steps)

    def labels(self, place: int) -> dict[str, str]:
        """The labels of the series at `place`, sorted by name."""
        instance, kind = divmod(place, PER_INSTANCE)
        said = {
            "cluster": "harbour-1",
            "instance": f"10.{instance >> 16 & 255}.{instance >> 8 & 255}.{instance & 255}:9100",
            "job": f"job-{instance % _JOBS}",
            "pod": f"pod-{instance:06d}-{instance * 2654435761 % 2**32:08x}",
            "zone": f"zone-{instance % 3}",
        }
        if kind < 10:
            said |= {"__name__": "latency_seconds_bucket", "le": _BOUNDS[kind]}
        elif kind < 14:
            said |= {"__name__": "requests_total", "code": _CODES[kind - 10], "method": "GET"}
        elif kind == 14:
            said["__name__"] = "busy_seconds_total"
        elif kind < 19:
            said["__name__"] = _GAUGES[kind - 15]
        else:
            said |= {"__name__": "build_info", "version": f"1.{instance % 5}"}
        return dict(sorted(said.items()))
