"""Series as rows of ClickHouse's RowBinary for the table `series`, straight from the columns of the series table.

`series_store` writes them. A new series is most of what a sender costs whose series come and go: through dictionaries
and the client's columns its row would take three times as long.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

import numpy as np

from setpoint.telemetry.series_table import Described

__all__ = ["COLUMNS", "rows_of"]

COLUMNS = ("fingerprint", "metric", "labels", "service", "resource", "scope", "type", "unit", "help")

_NAME = "__name__"


def rows_of(described: Described) -> bytes:
    """The rows of `COLUMNS`. Raises UnicodeEncodeError for a lone surrogate, which no row can hold."""
    labels = described.labels
    names = labels.names.decode()
    keys = [_text(name) for name in names]
    values = [_text(value) for value in labels.values.decode()]
    pairs = [keys[name] + value for name, value in zip(labels.name_places.tolist(), values, strict=True)]
    metrics = _metrics(described, names, values)
    fingerprints = described.fingerprints.astype("<u8").tobytes()
    tails = [
        _text(origin.service) + _map(dict(origin.resource)) + b"".join(map(_text, (origin.scope, *family)))
        for origin, family in described.kinds
    ]
    parts: list[bytes] = []
    each = map(pairs.__getitem__, labels.places.tolist())
    counts = np.diff(labels.offsets).tolist()
    kinds = described.kind_places.tolist()
    for place, (count, metric, kind) in enumerate(zip(counts, metrics, kinds, strict=True)):
        parts += (fingerprints[8 * place : 8 * place + 8], metric, _varint(count))
        parts += islice(each, count)
        parts.append(tails[kind])
    return b"".join(parts)


def _metrics(described: Described, names: list[str], values: list[bytes]) -> Iterable[bytes]:
    """The encoded metric name of each series; empty for one without."""
    labels = described.labels
    metrics = [b"\0"] * len(described.fingerprints)
    if _NAME in names:
        is_name = labels.name_places == names.index(_NAME)
        found = np.flatnonzero(is_name[labels.places])
        rows = np.searchsorted(labels.offsets, found, side="right") - 1
        for row, pair in zip(rows.tolist(), labels.places[found].tolist(), strict=True):
            metrics[row] = values[pair]
    return metrics


def _map(pairs: Mapping[str, str]) -> bytes:
    return _varint(len(pairs)) + b"".join(_text(name) + _text(value) for name, value in pairs.items())


def _text(text: str) -> bytes:
    raw = text.encode()
    return _varint(len(raw)) + raw


def _varint(number: int) -> bytes:
    if number < 128:
        return number.to_bytes(1, "little")
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])
