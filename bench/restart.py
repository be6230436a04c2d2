"""How long until a killed server holds its recent samples again: 100,000 series with two hours of samples every 15 s.

Run with `python -m bench.restart`. Setpoint, Debian's Prometheus and VictoriaMetrics are loaded over remote write with
the same bodies, killed with SIGKILL, started again on their folders, and asked for a sum over every series. Killed
right after the load Setpoint has everything in its journal, which is the worst case; `--rest 70` is the usual one.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

from bench.ingest import Row, cpu_of, memory_of, send_row
from bench.peers import Peer, peers
from bench.server import descendants, machine

__all__ = ["kill"]

INTERVAL_MS = 15_000
QUERY = 'count(count_over_time({__name__=~"bench_.*"}[2h]))'


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--series", type=int, default=100_000)
    arguments.add_argument("--hours", type=float, default=2.0)
    arguments.add_argument(
        "--rest",
        type=float,
        default=0.0,
        help="seconds between the load and the kill (70: Setpoint has flushed)",
    )
    arguments.add_argument("--only", nargs="*", help="names of the systems to run")
    chosen = arguments.parse_args()
    rounds = round(chosen.hours * 3_600_000 / INTERVAL_MS / 20)
    row = Row(chosen.series, 20, rounds, interval_ms=INTERVAL_MS)
    print(f"machine: {machine()}\n{row.name}, {row.samples:,} samples over {chosen.hours:g} h", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for peer in peers(Path(folder), SETPOINT_FLUSH_S="60"):
            if not chosen.only or peer.name in chosen.only:
                print("  " + _restart(peer, row, chosen.rest), flush=True)


def _restart(peer: Peer, row: Row, rest_s: float) -> str:
    process = peer.start()
    try:
        peer.wait_ready(process)
        idle_mb = memory_of(process)
        sent = send_row(peer, row)
        time.sleep(rest_s)
        loaded_mb = memory_of(process) - idle_mb
        kill(process)
        process = peer.start()
        ready_s = peer.wait_ready(process)
        used_s = cpu_of(process)
        memory_mb = memory_of(process) - idle_mb
        started = time.monotonic()
        found = _found(peer)
        first_query_s = time.monotonic() - started
    finally:
        kill(process)
    return (
        f"{peer.name:17} ready after {ready_s:6.2f} s ({used_s:.1f} CPU-s), first query {first_query_s:.2f} s, "
        f"series {found:,} of {row.series:,}, refused {sent.refused:,}, memory per series "
        f"{loaded_mb * 2**20 / row.series:,.0f} B loaded, {memory_mb * 2**20 / row.series:,.0f} B after the restart"
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL to the process and what it started; the parent first, so that it starts nothing again."""
    for number in descendants(process.pid):
        try:
            subprocess.run(["kill", "-9", str(number)], check=False, stderr=subprocess.DEVNULL)
        except OSError:
            continue
    process.send_signal(signal.SIGKILL)
    process.wait()


def _found(peer: Peer) -> int:
    connection = HTTPConnection("127.0.0.1", peer.port, timeout=120)
    connection.request("GET", f"/api/v1/query?query={quote(QUERY)}")
    result = json.loads(connection.getresponse().read())["data"]["result"]
    connection.close()
    return int(float(result[0]["value"][1])) if result else 0


if __name__ == "__main__":
    main()
