"""What do the ledgers of many objectives cost: memory, a restart, a tick?

Run with `python -m bench.ledgers` (10,000 objectives of 30 days; writes about 1 GB to a temporary folder and takes some
minutes, nearly all of them to fill the store) or `--small` (500). The store is filled first, by a process of its own;
then a fresh process reads it as after a restart, and does what a minute of evaluation does. Figures in brackets are
seconds of processor time, which other work on the machine does not change.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from setpoint.database import TelemetryDatabase
from setpoint.objective.ledger.codec import HOUR, HourBlocks
from setpoint.objective.ledger.ledgers import Ledgers
from setpoint.objective.store import MINUTE, LedgerStore, ledger_id
from setpoint.objective.warm import warm

DAYS = 30
NOW = 29_500_000 // 60 * 60 + 23
_ALL = (1 << 60) - 1
_AT_ONCE = 1000
_RATES = (5, 60, 600, 6000, 60_000)  # events a minute


def main() -> None:
    """Fill, then measure, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    count = 500 if options.small else 10_000
    if options.part:
        part, folder = options.part
        {"fill": fill, "measure": measure}[part](LedgerStore(TelemetryDatabase(f"chdb://{folder}")), count)
        return
    with tempfile.TemporaryDirectory() as folder:
        for part in ("fill", "measure"):
            flags = ["--small"] if options.small else []
            subprocess.run(
                [sys.executable, "-m", "bench.ledgers", "--part", part, f"{folder}/db", *flags], check=True
            )
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        print(f"disk {size / 1e6:,.0f} MB, {size / (count * DAYS * 1440):.2f} bytes a minute")


def fill(store: LedgerStore, count: int) -> None:
    """Thirty-one days of random minutes, a thousandth of the events bad; the running hour as single minutes."""
    random = np.random.default_rng(1)
    ids = np.array([ledger_id(key) for key in _keys(count)], np.uint64)
    store.name(dict(zip(ids.tolist(), _keys(count), strict=True)))
    rates = random.choice(_RATES, count)
    for day in range(NOW // 1440 - DAYS - 1, NOW // 1440 + 1):
        hours = np.arange(day * 24, min((day + 1) * 24, NOW // 60))
        for first in range(0, count, _AT_ONCE):
            part = np.arange(first, min(first + _AT_ONCE, count))
            cells = np.empty((len(part) * len(hours), 60, 2))
            cells[:, :, 1] = random.poisson(np.repeat(rates[part], len(hours))[:, None], cells.shape[:2])
            cells[:, :, 0] = cells[:, :, 1] - random.binomial(cells[:, :, 1].astype(int), 0.001)
            head = np.zeros(len(cells), HOUR)
            head["ledger"], head["hour"] = np.repeat(ids[part], len(hours)), np.tile(hours, len(part))
            head["good"], head["total"] = cells[:, :, 0].sum(axis=1), cells[:, :, 1].sum(axis=1)
            head["present"], head["counted"], head["computed_ms"] = _ALL, _ALL, 1
            store.write_hours(HourBlocks(head, cells, np.ones(len(cells), np.bool_)))
    for minute in range(NOW // 60 * 60, NOW + 1):
        rows = np.zeros(count, MINUTE)
        rows["ledger"], rows["minute"], rows["good"], rows["total"], rows["computed_ms"] = (
            ids,
            minute,
            1,
            1,
            1,
        )
        store.write_minutes(rows)


def measure(store: LedgerStore, count: int) -> None:
    """A restart, and a minute of evaluation."""
    warm()
    before_mb = _memory_mb("VmRSS")
    with _told("restart: add and load"):
        ledgers = Ledgers(store)
        rows = np.array([ledgers.add(key, DAYS * 1440) for key in _keys(count)])
        loaded = ledgers.load(rows, NOW)
    assert not any(loaded.holes)
    ledgers.watch(rows, np.full(count, 4320))
    with _told("far edges of windows of 3 and 30 days, for an hour"):
        ledgers.fetch_edges(NOW)
    print(f"the ledgers hold {ledgers.memory_bytes / 1e6:,.0f} MB", end="; ")
    print(
        f"the process grew by {_memory_mb('VmRSS') - before_mb:,} MB, at most {_memory_mb('VmHWM') - before_mb:,} MB"
    )
    lengths = np.array([5, 30, 60, 120, 360, 360, 1440, 4320, DAYS * 1440])
    ends = np.full(count * len(lengths), NOW + 1)
    many = np.repeat(rows, len(lengths))
    with _told(f"counts of {len(many):,} windows"):
        ledgers.counts(many, ends - np.tile(lengths, count), ends)
    cells, present = np.full((count, 2), 9.0), np.ones((count, 2), np.bool_)
    for minute in (NOW + 1, NOW + 2):
        with _told(f"a minute: {2 * count:,} minutes written"):
            ledgers.advance(minute)
            ledgers.write_many(rows, minute - 1, cells + minute % 9, cells + minute % 9, present)
        with _told("a minute: saved"):
            ledgers.save(minute * 60_000, everything=False)
    assert ledgers.rounded == 0


def _keys(count: int) -> list[str]:
    return [f"objective-{number}/{number:016x}" for number in range(count)]


@contextmanager
def _told(what: str) -> Iterator[None]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - wall_s:.3f} s ({time.process_time() - cpu_s:.3f})", flush=True)


def _memory_mb(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(name))


if __name__ == "__main__":
    main()
