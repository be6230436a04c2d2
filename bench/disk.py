"""What does a sample take on disk after a day of data, beside real peers?

Run with `python -m bench.disk`. Setpoint runs in this process on a virtual clock, which lives through the day and the
night after it (flushes every 15 minutes, compaction, rollups); Prometheus and VictoriaMetrics get the same samples over
remote write in a few minutes and compact them as they do. What is compared is samples at rest: Prometheus's are those
of its blocks without the head and its log, VictoriaMetrics's those of its data folder after a forced merge.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np

from bench.ingest import Row, send_row
from bench.peers import Peer, peers
from bench.server import machine
from bench.write_corpus import Corpus
from setpoint.app import App, build
from setpoint.clock import VirtualClock
from setpoint.settings import Settings
from setpoint.telemetry import Series, fingerprint
from setpoint.telemetry.model import RefBatch

DAY_MS = 86_400_000
INTERVAL_MS = 15_000
QUARTER = 60
"""Samples per series that are written at once: a quarter of an hour."""

_NIGHT_H = 5


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=1_000)
    arguments.add_argument("--only", nargs="*", help="names of the systems to run")
    chosen = arguments.parse_args()
    row = Row(chosen.series, 20, DAY_MS // INTERVAL_MS // 20, interval_ms=INTERVAL_MS)
    print(f"machine: {machine()}\n{row.series:,} series every 15 s for a day, {row.samples:,} samples")
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        if not chosen.only or "setpoint" in chosen.only:
            found["setpoint"] = _setpoint(Path(folder) / "setpoint", row.series)
        for peer in peers(Path(folder)):
            if peer.name in _AT_REST and (not chosen.only or peer.name in chosen.only):
                found[peer.name] = _peer(peer, row)
    for name, bytes_per_sample in found.items():
        ratio = (
            f", setpoint / {name} {found['setpoint'] / bytes_per_sample:.2f}" if "setpoint" in found else ""
        )
        print(f"  {name:17} {bytes_per_sample:.3f} bytes per sample{ratio}")


def _setpoint(folder: Path, series: int) -> float:
    midnight_ms = int(time.time() * 1000) // DAY_MS * DAY_MS - 2 * DAY_MS
    clock = VirtualClock(midnight_ms)
    parts = build(Settings(data=folder), clock)
    try:
        _live_through_a_day(parts, clock, midnight_ms, series)
        before = _size_of(parts, "blocks")
        clock.advance(_NIGHT_H * 3600)
        started = time.monotonic()
        parts.housekeeping.tick()
        took_s = time.monotonic() - started
        stored = series * DAY_MS // INTERVAL_MS
        after = _size_of(parts, "blocks")
        tables = {name: table.bytes for name, table in parts.sizes.latest.tables.items()}
    finally:
        parts.close()
    others = ", ".join(
        f"{name} {size / stored:.3f}" for name, size in sorted(tables.items()) if size and name != "blocks"
    )
    print(
        f"  setpoint: {before / stored:.3f} bytes per sample before the night, {after / stored:.3f} after it "
        f"({took_s:.0f} s of work, half of it rest); other tables, bytes per sample: {others}"
    )
    return after / stored


def _live_through_a_day(parts: App, clock: VirtualClock, midnight_ms: int, series: int) -> None:
    corpus = Corpus(series, QUARTER)
    labels = [corpus.labels(place) for place in range(series)]
    described = [Series(fingerprint(one), one, "bench") for one in labels]
    for quarter in range(DAY_MS // INTERVAL_MS // QUARTER):
        values = corpus.next_values(QUARTER)
        times = midnight_ms + (quarter * QUARTER + np.arange(QUARTER, dtype=np.int64)) * INTERVAL_MS
        lease = parts.table.lease()
        refs = parts.table.resolve(described, lease)
        batch = RefBatch(
            lease,
            np.tile(refs, QUARTER),
            np.repeat(times, series),
            np.ascontiguousarray(values.T).ravel(),
        )
        parts.ingest.submit(batch, batch.values.nbytes).result(timeout=60)
        clock.advance(900)
        parts.ingest.flush().result(timeout=60)


def _size_of(parts: App, table: str) -> int:
    parts.sizes.refresh()
    return parts.sizes.latest.tables[table].bytes


def _peer(peer: Peer, row: Row) -> float:
    with peer.running():
        sent = send_row(peer, row)
        if sent.refused:
            print(f"  {peer.name}: {sent.refused:,} samples refused")
        return _AT_REST[peer.name](peer, sent.acknowledged)


def _prometheus_at_rest(peer: Peer, _: int) -> float:
    """Bytes per sample of its blocks, once it has made blocks of all but the last hours."""
    samples = size = 0
    for _ in range(60):
        time.sleep(5)
        blocks = [json.loads(meta.read_text()) for meta in peer.folder.glob("*/meta.json")]
        before, samples = samples, sum(block["stats"]["numSamples"] for block in blocks)
        if samples and samples == before and len(blocks) <= 6:
            break
    size = sum(_disk_bytes(meta.parent) for meta in peer.folder.glob("*/meta.json"))
    chunks = sum(_disk_bytes(path) for path in peer.folder.glob("*/chunks"))
    print(
        f"  prometheus: {samples:,} samples in blocks, {chunks / samples:.3f} bytes per sample without the index"
    )
    return size / samples


def _victoria_at_rest(peer: Peer, acknowledged: int) -> float:
    """Bytes per sample of its data folder after a forced merge."""
    for path in ("/internal/force_flush", "/internal/force_merge"):
        connection = HTTPConnection("127.0.0.1", peer.port, timeout=120)
        connection.request("GET", path)
        connection.getresponse().read()
        connection.close()
    time.sleep(40)
    size = _disk_bytes(peer.folder / "data")
    index = _disk_bytes(peer.folder / "indexdb")
    print(f"  victoria-metrics: {index / acknowledged:.3f} bytes per sample more for its index")
    return size / acknowledged


_AT_REST = {"prometheus": _prometheus_at_rest, "victoria-metrics": _victoria_at_rest}


def _disk_bytes(path: Path) -> int:
    return int(
        subprocess.run(["du", "-sb", path], capture_output=True, text=True, check=True).stdout.split()[0]
    )


if __name__ == "__main__":
    main()
