"""Many objectives on Setpoint alone: what they cost every 10 s, what they hold, how soon they are back.

`bench.objectives` calls `run_alone`. The ledger is filled first, by a process of its own, with 30 days of minutes; then
a server is started on it, fed with 10 counters for each objective every 15 s, measured without objectives and with.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.ingest import cpu_of, memory_of
from bench.objectives import CYCLES, STEP_MS, Feeder, Fleet, apply, forget, get, guarded, metric, wait_counted
from bench.peers import Peer, peers
from bench.restart import kill
from bench.sloth_rules import grouped_slos

__all__ = ["run_alone"]

_DAYS = 30
_GROUPS_EACH = 1000
_PATTERNS = 32
_HOURS_AT_ONCE = 25_000
_TOOK = "setpoint_evaluation_duration_seconds_sum"


@dataclass(frozen=True, slots=True)
class _Used:
    """Processor seconds per 10 s, and megabytes."""

    cpu_s: float
    memory_mb: float


def run_alone(folder: Path, objectives: int, seconds: float) -> None:
    """Print what `objectives` cost, each measured for `seconds`."""
    print(
        f"\n{objectives:,} objectives x 10 series on Setpoint alone, {_DAYS} days in the ledger", flush=True
    )
    shards = -(-objectives // _GROUPS_EACH)
    found = peers(folder, SETPOINT_EVALUATION_INTERVAL_S="10", SETPOINT_FLUSH_S="900")
    peer = next(one for one in found if one.name == "setpoint")
    started = time.monotonic()
    command = [sys.executable, "-m", "bench.objectives_alone", str(peer.folder), str(objectives)]
    subprocess.run(command, check=True, timeout=1800)
    print(f"  ledger filled in {time.monotonic() - started:.0f} s", flush=True)
    fleet = Fleet(objectives, 1, shards)
    names = [f"shard-{number % shards}.o{number}" for number in range(objectives)]
    process = peer.start()
    try:
        peer.wait_ready(process)
        with guarded([process]), Feeder(fleet, peer, (int(time.time() * 1000) // STEP_MS + 1) * STEP_MS):
            time.sleep(40)  # the labels are new, then they are known
            idle_mb = memory_of(process)
            started = time.monotonic()
            apply(peer, grouped_slos(shards))
            _wait_kept(peer, objectives)
            print(f"  applied and kept after {time.monotonic() - started:.1f} s", flush=True)
            wait_counted(peer, names)
            print(f"  history counted after {time.monotonic() - started:.1f} s", flush=True)
            time.sleep(20)
            ticks, took_s = metric(peer.port, CYCLES), metric(peer.port, _TOOK)
            after = _used(process, seconds)
            ticks, took_s = metric(peer.port, CYCLES) - ticks, metric(peer.port, _TOOK) - took_s
            states = get(peer, "/api/status")["objectives"]
            # The same server without them: before they came, it was still busy with new series.
            forget(peer)
            time.sleep(20)
            before = _used(process, seconds)
            apply(peer, grouped_slos(shards))
            _wait_kept(peer, objectives)
            time.sleep(15)
        own_s = after.cpu_s - before.cpu_s
        print(
            f"  CPU per 10 s: {1000 * own_s:,.0f} ms for objectives ({10 * own_s:.1f} % of a core), "
            f"{1000 * before.cpu_s:,.0f} ms for the rest of the server; a tick takes "
            f"{1000 * took_s / max(1, ticks):,.0f} ms\n"
            f"  memory: {after.memory_mb:,.0f} MB, and {after.memory_mb - idle_mb:,.0f} MB more than before they came\n"
            f"  states: {states}",
            flush=True,
        )
        kill(process)
        started = time.monotonic()
        process = peer.start()
        ready_s = peer.wait_ready(process)
        _wait_kept(peer, objectives)
        kept_s = time.monotonic() - started
        history = get(peer, f"/objectives/{names[-1]}")
        print(
            f"  killed: ready after {ready_s:.1f} s, all objectives known after {kept_s:.1f} s "
            f"({cpu_of(process):.1f} CPU-s); {history['covered_s'] / 86_400:.1f} days known of the last one",
            flush=True,
        )
    finally:
        kill(process)


def _used(process: subprocess.Popen[bytes], seconds: float) -> _Used:
    before, started = cpu_of(process), time.monotonic()
    time.sleep(seconds)
    spent = (cpu_of(process) - before) / (time.monotonic() - started)
    return _Used(10 * spent, memory_of(process))


def _wait_kept(peer: Peer, objectives: int, timeout_s: float = 600) -> None:
    """Wait until all objectives are there and most of them have a state."""
    started = time.monotonic()
    while time.monotonic() - started < timeout_s:
        states = get(peer, "/api/status")["objectives"]
        if sum(states.values()) >= objectives and states["no data"] < objectives / 10:
            return
        time.sleep(0.1)
    print(f"  not all objectives are kept after {timeout_s:.0f} s: {states}", flush=True)


def fill(folder: Path, objectives: int) -> None:
    """Write 30 days of minutes, up to the last full hour, of every objective into the ledger of an empty folder."""
    from setpoint.app import default_registry
    from setpoint.database import DataFolder, TelemetryDatabase
    from setpoint.objective import LedgerStore
    from setpoint.objective.ledger.codec import HOUR, HourBlocks
    from setpoint.objective.resolve import resolve
    from setpoint.objective.store import ledger_id
    from setpoint.resource import load_text

    shards = -(-objectives // _GROUPS_EACH)
    documents = load_text([("bench.yaml", grouped_slos(shards))], default_registry())
    numbers = iter(range(shards))
    kept = resolve(
        documents,
        lambda _objective, _labels: [(f"o{number}",) for number in range(next(numbers), objectives, shards)],
    )
    keys = [objective.ledger_key for objective in kept]
    data = DataFolder(folder)
    database = TelemetryDatabase(f"chdb://{data.telemetry}", 256 << 20)
    store = LedgerStore(database)
    random, now_ms = np.random.default_rng(1), int(time.time() * 1000)
    end = now_ms // 3_600_000
    hours = np.arange(end - 24 * _DAYS, end)
    total = random.poisson(600, (_PATTERNS, len(hours), 60)).astype(np.float64)
    cells = np.stack((total - random.poisson(0.2, total.shape), total), axis=-1)
    each = max(1, _HOURS_AT_ONCE // len(hours))
    for first in range(0, len(keys), each):
        part = keys[first : first + each]
        chosen = cells[np.arange(first, first + len(part)) % _PATTERNS].reshape(-1, 60, 2)
        head = np.zeros(len(chosen), HOUR)
        head["ledger"] = np.repeat(np.array([ledger_id(key) for key in part], np.uint64), len(hours))
        head["hour"] = np.tile(hours, len(part))
        head["good"], head["total"] = chosen[:, :, 0].sum(axis=1), chosen[:, :, 1].sum(axis=1)
        head["present"] = head["counted"] = (1 << 60) - 1
        head["computed_ms"] = now_ms
        store.write_hours(HourBlocks(head, chosen, np.ones(len(chosen), np.bool_)))
        store.name({ledger_id(key): key for key in part})
    database.close()
    data.close()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Fill the ledger of an empty data folder.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("objectives", type=int)
    chosen = arguments.parse_args()
    fill(chosen.folder, chosen.objectives)
