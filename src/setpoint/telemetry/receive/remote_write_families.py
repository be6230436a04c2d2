"""What senders said of metric families, so that it is stored when it is news and not with every request.

1.0 sends metadata in requests of their own every minute, 2.0 with every series. `remote_write_receiver` asks which
of it is new; it counts as known when it is stored.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from setpoint.telemetry.model import Metadata
from setpoint.telemetry.receive import remote_write_columns as kernels
from setpoint.telemetry.receive.remote_write_messages import metadata_of, parse
from setpoint.telemetry.receive.remote_write_scan import Scanned

__all__ = ["Families", "Said"]

_KEPT = 200_000
_FILTER = 1 << 16
_SERIES_SUFFIXES = {
    "histogram": ("_bucket", "_count", "_sum"),
    "gaugehistogram": ("_bucket", "_gcount", "_gsum"),
    "summary": ("_count", "_sum"),
}


@dataclass(frozen=True, slots=True)
class Said:
    """The news of one request; call `remember` when it is stored, `forget` when that failed."""

    metadata: tuple[Metadata, ...]
    remember: Callable[[], None]
    forget: Callable[[], None]


class Families:
    """What was said and stored since start, by hash; thread-safe. Saying it again would change nothing."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._said: set[int] = set()
        self._of: dict[str, Metadata] = {}
        self._filter = np.zeros(_FILTER, np.uint64)

    @property
    def of(self) -> Mapping[str, Metadata]:
        """By family, what requests of 1.0 said of it."""
        return self._of

    def new(self, scanned: Scanned, encoded: Sequence[bytes], taken: npt.NDArray[np.bool_]) -> Said:
        """The news of a request; `encoded` are the metadata messages of 1.0, `taken` bool[n] the series of which
        anything is believed.
        """
        if scanned.is_v2:
            news = self._of_series(scanned, taken)
        else:
            texts = {hash(one): one for one in encoded if hash(one) not in self._said}
            news = {key: self._of_family(one) for key, one in texts.items()}
        metadata = tuple(dict.fromkeys(news.values()))
        return Said(metadata, lambda: self._remember(news), self._forget)

    def _of_family(self, encoded: bytes) -> Metadata:
        message = parse("Metadata1", encoded)
        said = metadata_of(message.metric_family_name, message.type, message.unit, message.help)
        with self._guard:
            if len(self._of) >= _KEPT:
                self._of.clear()
            self._of[said.metric] = said
        return said

    def _of_series(self, scanned: Scanned, taken: npt.NDArray[np.bool_]) -> dict[int, Metadata]:
        found = np.empty(scanned.series_count, np.int64)
        with self._guard:
            count = kernels.new_families(scanned.families, self._filter, found)
        news: dict[int, Metadata] = {}
        for series in found[:count].tolist():
            key = int(scanned.families[series, 0])
            if key in self._said or not taken[series]:
                continue
            message = parse("Series2", scanned.series_bytes(series))
            told = message.metadata
            try:
                metric = dict(scanned.pairs(message.labels_refs)).get(b"__name__", b"")
                texts = scanned.symbol(told.unit_ref), scanned.symbol(told.help_ref)
            except ValueError:
                continue  # the samples count; what cannot be read is not said
            if metric:
                news[key] = _family(metadata_of(metric, told.type, *texts))
        return news

    def _remember(self, keys: Mapping[int, Metadata]) -> None:
        with self._guard:
            if len(self._said) >= _KEPT:
                self._said.clear()
            self._said.update(keys)

    def _forget(self) -> None:
        with self._guard:
            self._filter.fill(0)


def _family(said: Metadata) -> Metadata:
    """What was said of one series of a histogram or summary, as said of the family."""
    for suffix in _SERIES_SUFFIXES.get(said.type, ()):
        if said.metric.endswith(suffix):
            return Metadata(said.metric.removesuffix(suffix), said.type, said.unit, said.help)
    return said
