"""A Matrix as the JSON of the Prometheus HTTP API, piece by piece, so that a large answer is never in memory as text.

The API handler sends the pieces as they are made. `format` says the same as Python values, for pages and for what is
small; numbers are laid out by `number_kernels`, 40 times as fast as Python does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from setpoint.promql import number_kernels
from setpoint.promql.format import to_api
from setpoint.promql.label_memo import remembered
from setpoint.promql.model import Labels, Matrix, Times

__all__ = ["encode"]

_POINT_BYTES = number_kernels.NUMBER_BYTES + 6
_PIECE_BYTES = 256 << 10
_VECTOR_SLICE = 4096
_KEPT_TEXTS = 1000


def encode(
    matrix: Matrix, *, is_range: bool = False, most: int | None = None, stats: Mapping[str, Any] | None = None
) -> Iterator[bytes]:
    """The object under `data` as UTF-8 JSON in pieces of some `_PIECE_BYTES`, with `stats` beside the result.

    `is_range` and `most` as of `format.to_api`.
    """
    is_plain = matrix.kind in ("scalar", "string") and not is_range
    if is_plain or matrix.histograms is not None:
        said = to_api(matrix, is_range=is_range, most=most) | ({} if stats is None else {"stats": stats})
        return iter([json.dumps(said, separators=(",", ":")).encode()])
    end = b"]}" if stats is None else f'],"stats":{json.dumps(stats, separators=(",", ":"))}}}'.encode()
    if matrix.kind == "vector" and not is_range:
        return _gathered(_vector(matrix, most), end)
    return _gathered(_series(matrix, most), end)


def _gathered(pieces: Iterator[bytes], end: bytes) -> Iterator[bytes]:
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join((*held, end))


class _Metrics(Sequence[bytes]):
    """`{"metric":{…},` of each series, made when it is asked for."""

    def __init__(self, labels: Sequence[Labels]) -> None:
        self._labels = labels
        self._pairs = _Pairs()

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, row: Any) -> Any:
        return self._pairs.metric(self._labels[row])


class _Pairs(dict[tuple[str, str], str]):
    """Label pairs as JSON, each written once: the series of an answer share most of theirs."""

    def __missing__(self, pair: tuple[str, str]) -> str:
        text = self[pair] = f"{json.dumps(pair[0])}:{json.dumps(pair[1])}"
        return text

    def metric(self, labels: Labels) -> bytes:
        """`{"metric":{…},` of a series."""
        return f'{{"metric":{{{",".join(map(self.__getitem__, labels.items()))}}},'.encode()


def _metrics(every: tuple[Labels, ...]) -> Sequence[bytes]:
    """`{"metric":{…},` of each series; those of few series are kept."""
    if len(every) > _KEPT_TEXTS:
        return _Metrics(every)
    return remembered("metric", lambda: list(_Metrics(every)), every)


def _vector(matrix: Matrix, most: int | None) -> Iterator[bytes]:
    yield b'{"resultType":"vector","result":['
    texts = _metrics(matrix.labels)
    before = b'"value":[' + _seconds(int(matrix.times_ms[0])) + b',"'
    rows = np.flatnonzero(matrix.present[:, 0])[:most]
    comma = b""
    for start in range(0, len(rows), _VECTOR_SLICE):
        part = rows[start : start + _VECTOR_SLICE]
        out = np.empty(len(part) * number_kernels.NUMBER_BYTES, np.uint8)
        ends = np.empty(len(part), np.int64)
        size = number_kernels.put_values(np.ascontiguousarray(matrix.values[part, 0]), out, ends)
        text = out[:size].tobytes()
        begin = 0
        for row, end in zip(part.tolist(), ends.tolist(), strict=True):
            yield b"".join((comma, texts[row], before, text[begin:end], b'"]}'))
            begin, comma = end, b","


def _series(matrix: Matrix, most: int | None) -> Iterator[bytes]:
    yield b'{"resultType":"matrix","result":['
    texts = _metrics(matrix.labels)
    instants = _instants(matrix.times_ms)
    times = np.frombuffer(b"".join(instants), np.uint8).copy()  # writable, as the kernel was compiled for
    starts = np.cumsum([0, *map(len, instants)]).astype(np.int64)
    out = np.empty(len(instants) * _POINT_BYTES + len(times), np.uint8)
    values = np.ascontiguousarray(matrix.values, np.float64)
    present = np.ascontiguousarray(matrix.present)
    comma = b""
    for row in remembered("order", lambda: _in_order(matrix.labels), matrix.labels)[:most]:
        size = number_kernels.put_points(values[row], present[row], times, starts, out)
        if size:
            yield b"".join((comma, texts[row], b'"values":[', out[:size].tobytes(), b"]}"))
            comma = b","


def _in_order(labels: Sequence[Labels]) -> list[int]:
    return sorted(range(len(labels)), key=lambda place: sorted(labels[place].items()))


def _instants(times_ms: Times) -> list[bytes]:
    if times_ms.size and not (times_ms % 1000).any():
        return [b"%d" % second for second in (times_ms // 1000).tolist()]
    return [_seconds(at_ms) for at_ms in times_ms.tolist()]


def _seconds(at_ms: int) -> bytes:
    """As Prometheus writes an instant: seconds, with three decimals unless they are whole."""
    seconds, rest = divmod(abs(at_ms), 1000)
    sign = "-" if at_ms < 0 else ""
    return f"{sign}{seconds}{f'.{rest:03}' if rest else ''}".encode()
