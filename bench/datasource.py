"""Question: what do objectives cost that are read from a Prometheus or a VictoriaMetrics, for them and for Setpoint?

`python -m bench.datasource [OBJECTIVES]`: each peer gets two hours of six series for every objective (15 s apart);
then a book of so many objectives reads them through one data source, with its usual settings but the limit of requests.
Printed are what the first two hours cost, what every further 15 s cost, and how fast history is counted.
"""

from __future__ import annotations

import struct
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cramjam

from bench.peers import Peer, peers
from bench.server import machine
from setpoint.clock import SystemClock
from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook, Slo
from setpoint.objective.counting.feed import Feed
from setpoint.telemetry.datasource import DataSource, DataSources, SourceStatus
from setpoint.telemetry.model import SampleColumns

__all__: list[str] = []

_STEP_MS = 15_000
_HISTORY_MS = 2 * 3_600_000 + 600_000
_POLLS = 4
_HISTORY_S = 20.0
_SERIES_PER_BODY = 500
_HEADERS = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def main() -> None:
    """Measure every peer that is installed."""
    objectives = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(machine())
    with tempfile.TemporaryDirectory(prefix="setpoint-bench-") as folder:
        database = TelemetryDatabase(f"chdb://{Path(folder) / 'ledger'}")
        for peer in peers(Path(folder))[1:]:
            with peer.running():
                _measure(peer, objectives, LedgerStore(database))
        database.close()


def _measure(peer: Peer, objectives: int, store: LedgerStore) -> None:
    clock = SystemClock()
    now_ms = clock.now_ms() // _STEP_MS * _STEP_MS
    series = [
        _labels(job, code, at) for job in range(objectives) for code in ("200", "404", "500") for at in (1, 2)
    ]
    for start_ms in range(now_ms - _HISTORY_MS, now_ms, _HISTORY_MS // 8):
        _write(peer, series, range(start_ms, min(start_ms + _HISTORY_MS // 8, now_ms), _STEP_MS))
    sources = DataSources(clock, peer.folder)
    sources.apply([_source(peer)])
    source = sources.get("peer")
    feed = Feed(
        source.select, source.take_oldest_write_ms, source.counted_from_ms, source.kept_from_ms, source.fetch
    )
    book = ObjectiveBook(_nothing, lambda: None, store, clock, feeds=lambda name: feed)
    book.apply([_objective(peer, job) for job in range(objectives)])
    before, wall_s, cpu_s = source.status, time.monotonic(), time.process_time()
    while source.poll() < 0.5:
        pass
    _tell(peer, "the first two hours", before, source.status, wall_s, cpu_s)
    book.tick()
    for number in range(_POLLS):
        threading.Event().wait(_STEP_MS / 1000)
        _write(peer, series, [clock.now_ms()])
        before, wall_s, cpu_s = source.status, time.monotonic(), time.process_time()
        source.poll()
        _tell(peer, f"poll {number + 1}", before, source.status, wall_s, cpu_s)
    before, wall_s, cpu_s, steps = source.status, time.monotonic(), time.process_time(), 0
    while time.monotonic() - wall_s < _HISTORY_S and book.fetched.step("peer") is not None:
        steps += 1
    _tell(peer, f"history, {steps} turns", before, source.status, wall_s, cpu_s)
    sources.close()


def _tell(  # noqa: PLR0917 — two instants, three figures of each
    peer: Peer, what: str, before: SourceStatus, after: SourceStatus, wall_s: float, cpu_s: float
) -> None:
    print(
        f"{peer.name}: {what}: {after.requests - before.requests} requests, {after.failed - before.failed} failed, "
        f"{(after.received_bytes - before.received_bytes) / 1e6:.1f} MB, "
        f"{after.samples_read - before.samples_read:,} samples, {time.monotonic() - wall_s:.2f} s, "
        f"{time.process_time() - cpu_s:.2f} s of processor time",
        flush=True,
    )


def _nothing(*asked: object) -> SampleColumns:
    del asked
    return SampleColumns.empty()


def _source(peer: Peer) -> Any:
    details = {"url": f"http://127.0.0.1:{peer.port}", "requestsPerSecond": 1000}
    body = {
        "metadata": {"name": "peer"},
        "spec": {"type": "prometheus", "connectionDetails": details},
    }
    return SimpleNamespace(spec=DataSource.model_validate(body))


def _objective(peer: Peer, job: int) -> Any:
    total = f'http_requests_total{{job="service-{job}"}}'
    texts = {"good": f'sum({total[:-1]},code!~"5.."}})', "total": f"sum({total})"}
    metrics = {
        role: {"metricSource": {"metricSourceRef": "peer", "spec": {"query": text}}}
        for role, text in texts.items()
    }
    body = {
        "metadata": {"name": f"{peer.name}-{job}"},
        "spec": {
            "service": f"service-{job}",
            "indicator": {"spec": {"ratioMetric": {"counter": True, **metrics}}},
            "timeWindow": [{"duration": "1d", "isRolling": True}],
            "objectives": [{"target": 0.99}],
        },
    }
    return SimpleNamespace(spec=Slo.model_validate(body))


def _labels(job: int, code: str, instance: int) -> bytes:
    """The labels of a series as the beginning of a TimeSeries message."""
    pairs = {
        "__name__": "http_requests_total",
        "cluster": "eu-west-1",
        "code": code,
        "instance": f"10.0.{job % 250}.{instance}:8080",
        "job": f"service-{job}",
        "namespace": "prod",
        "pod": f"service-{job}-abcdef-{instance}",
    }
    return b"".join(
        _field(1, _field(1, name.encode()) + _field(2, value.encode())) for name, value in pairs.items()
    )


def _write(peer: Peer, series: Sequence[bytes], times_ms: Sequence[int]) -> None:
    for body in _bodies(series, times_ms):
        address = f"http://127.0.0.1:{peer.port}{peer.write_path}"
        urllib.request.urlopen(urllib.request.Request(address, body, _HEADERS), timeout=60).close()


def _bodies(series: Sequence[bytes], times_ms: Sequence[int]) -> Iterator[bytes]:
    """Remote write 1.0 of a counter that grows by one each second, for every series."""
    samples = b"".join(
        _field(2, b"\x09" + struct.pack("<d", at_ms // 1000 % 10**7) + b"\x10" + _varint(at_ms))
        for at_ms in times_ms
    )
    for start in range(0, len(series), _SERIES_PER_BODY):
        message = b"".join(_field(1, one + samples) for one in series[start : start + _SERIES_PER_BODY])
        yield bytes(cramjam.snappy.compress_raw(bytearray(message)))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


if __name__ == "__main__":
    main()
