"""How many samples per processor second are acknowledged and stored, at what memory and latency, beside real peers?

Run with `python -m bench.ingest`. Setpoint, Debian's Prometheus and VictoriaMetrics get the same remote-write bodies in
one run, each on an empty folder; a row says how many series and samples per series a round sends. Processor time is
that of the server's processes from the first request until they are idle again, so that background writing counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from queue import Queue
from urllib.parse import quote

from bench.peers import Peer, peers
from bench.server import cpu_s, descendants, machine, memory_mb
from bench.write_corpus import Body, Corpus

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
SENDERS = 4
SETTLE_S = 35
"""Setpoint flushes every 20 s in these runs, so that the cost of its long-term blocks is in the figure."""


@dataclass(frozen=True, slots=True)
class Row:
    """One load: `rounds` rounds of `series` series with `k` samples each; `churn` of them replaced per round."""

    series: int
    k: int
    rounds: int
    churn: float = 0.0
    interval_ms: int = 5_000

    @property
    def name(self) -> str:
        return f"{self.series:,} series x {self.k}" + (f", {self.churn:.0%} churn" if self.churn else "")

    @property
    def samples(self) -> int:
        return self.series * self.k * self.rounds


ROWS = (
    Row(1_000, 1, 1_000),
    Row(1_000, 20, 100, interval_ms=1_000),
    Row(100_000, 1, 30),
    Row(100_000, 20, 4, interval_ms=1_000),
    Row(100_000, 1, 12, churn=0.10),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one system did with one row."""

    acknowledged: int
    refused: int
    wall_s: float
    cpu_s: float
    memory_bytes_per_series: float
    p50_ms: float
    p99_ms: float
    found_series: int

    @property
    def samples_per_cpu_s(self) -> float:
        return self.acknowledged / self.cpu_s


@dataclass(slots=True)
class Sent:
    """What the senders saw."""

    acknowledged: int
    refused: int
    latencies_ms: list[float]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rows", type=int, nargs="*", default=range(len(ROWS)))
    arguments.add_argument("--only", nargs="*", help="names of the systems to run")
    chosen = arguments.parse_args()
    print(f"machine: {machine()}", flush=True)
    for row in [ROWS[number] for number in chosen.rows]:
        print(f"\n{row.name}, {row.samples:,} samples", flush=True)
        outcomes = {}
        with tempfile.TemporaryDirectory() as folder:
            for peer in peers(Path(folder)):
                if not chosen.only or peer.name in chosen.only:
                    outcomes[peer.name] = _run(peer, row)
                    print(_line(peer.name, outcomes[peer.name]), flush=True)
        ours = outcomes.get("setpoint")
        for name, outcome in outcomes.items():
            if ours and name != "setpoint":
                ratio = ours.samples_per_cpu_s / outcome.samples_per_cpu_s
                memory = ours.memory_bytes_per_series / max(outcome.memory_bytes_per_series, 1)
                print(
                    f"  setpoint / {name}: samples per CPU-second {ratio:.2f}, memory per series {memory:.2f}",
                    flush=True,
                )


def _run(peer: Peer, row: Row) -> Outcome:
    with peer.running() as process:
        time.sleep(3)
        idle_mb = memory_of(process)
        before = cpu_of(process)
        started = time.monotonic()
        sent = send_row(peer, row)
        wall_s = time.monotonic() - started
        _settle(process)
        used = cpu_of(process) - before
        memory = (memory_of(process) - idle_mb) * 2**20
        alive = row.series * (1 + row.churn * (row.rounds - 1))
        latencies = sorted(sent.latencies_ms)
        found = _count(peer)
    return Outcome(
        sent.acknowledged,
        sent.refused,
        wall_s,
        used,
        memory / alive,
        statistics.median(latencies),
        latencies[int(len(latencies) * 0.99)],
        found,
    )


def send_row(peer: Peer, row: Row) -> Sent:
    """Send the whole row, its last samples at the present; what the senders saw."""
    # Every system gets the same bodies; a connection always sends the same series, as Prometheus's shards do.
    corpus = Corpus(row.series, row.k, min(2_000 if row.k == 1 else 1_000, row.series // SENDERS))
    first_ms = int(time.time() * 1000) - row.rounds * row.k * row.interval_ms
    return send_bodies(peer, _bodies(corpus, row, first_ms), corpus.bodies_per_round)


def _bodies(corpus: Corpus, row: Row, first_ms: int) -> Iterator[Body]:
    for number in range(row.rounds):
        if row.churn and number:
            corpus.churn(row.churn)
        yield from corpus.bodies(first_ms + number * row.k * row.interval_ms, row.interval_ms)


def send_bodies(peer: Peer, bodies: Iterator[Body], places: int) -> Sent:
    """Send every body over `SENDERS` connections; each sends again what it is told to retry.

    `places` is the number of bodies of one round: body i of every round goes over the same connection.
    """
    queues: list[Queue[Body | None]] = [Queue(maxsize=16) for _ in range(SENDERS)]
    sent = Sent(0, 0, [])
    guard = threading.Lock()

    def work(waiting: Queue[Body | None]) -> None:
        connection = HTTPConnection("127.0.0.1", peer.port, timeout=60)
        while (body := waiting.get()) is not None:
            status, took_ms = _post(connection, peer, body)
            with guard:
                sent.latencies_ms.append(took_ms)
                if 200 <= status < 300:
                    sent.acknowledged += body.samples
                else:
                    sent.refused += body.samples

    workers = [threading.Thread(target=work, args=(queue,), daemon=True) for queue in queues]
    for worker in workers:
        worker.start()
    for number, body in enumerate(bodies):
        queues[number % places % SENDERS].put(body)
    for queue in queues:
        queue.put(None)
    for worker in workers:
        worker.join()
    return sent


def _post(connection: HTTPConnection, peer: Peer, body: Body) -> tuple[int, float]:
    started = time.monotonic()
    for _ in range(100):
        try:
            connection.request("POST", peer.write_path, body.compressed, HEADERS)
            answer = connection.getresponse()
            answer.read()
        except (OSError, HTTPException):
            connection.close()
            continue
        if answer.status not in (429, 503):
            return answer.status, (time.monotonic() - started) * 1000
        time.sleep(0.2)
    return 599, (time.monotonic() - started) * 1000


def _settle(process: subprocess.Popen[bytes]) -> None:
    """Wait until the server has done what it does after the load: at least `SETTLE_S`, then until it is idle."""
    started = time.monotonic()
    time.sleep(SETTLE_S)
    while time.monotonic() - started < 4 * SETTLE_S:
        before = cpu_of(process)
        time.sleep(2)
        if cpu_of(process) - before < 0.1:
            break


def _count(peer: Peer) -> int:
    connection = HTTPConnection("127.0.0.1", peer.port, timeout=60)
    query = quote('count(count_over_time({__name__=~"bench_.*"}[3h]))')
    try:
        connection.request("GET", f"/api/v1/query?query={query}")
        found = json.loads(connection.getresponse().read())["data"]["result"]
        return int(float(found[0]["value"][1])) if found else 0
    except (OSError, HTTPException, KeyError, ValueError):
        return -1
    finally:
        connection.close()


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """Processor seconds that the process and those below it have used."""
    return sum(cpu_s(number) for number in descendants(process.pid))


def memory_of(process: subprocess.Popen[bytes]) -> float:
    """Memory of the process and those below it, in megabytes."""
    return sum(memory_mb(number) for number in descendants(process.pid))


def _line(name: str, outcome: Outcome) -> str:
    return (
        f"  {name:17} {outcome.samples_per_cpu_s / 1e3:8,.0f} k samples/CPU-s  "
        f"{outcome.acknowledged / outcome.wall_s / 1e3:7,.0f} k/s wall  "
        f"{outcome.memory_bytes_per_series:7,.0f} B/series  "
        f"p50 {outcome.p50_ms:6.1f} ms  p99 {outcome.p99_ms:6.1f} ms  "
        f"refused {outcome.refused}  series found {outcome.found_series:,}"
    )


if __name__ == "__main__":
    if not shutil.which("prometheus"):
        print("Debian's prometheus is missing: Setpoint runs alone")
    main()
