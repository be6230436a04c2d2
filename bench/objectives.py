"""What does it cost to keep objectives, beside real peers?

Run with `python -m bench.objectives` (`--small`: a few minutes with few objectives). For 100 and 1,000 objectives over
10 counters each, Setpoint, Debian's Prometheus with the 17 rules per objective that Sloth writes, and vmalert on
VictoriaMetrics each get the same 24 h of samples every 15 s and go on receiving them; processor time per evaluation
cycle is what they use with objectives, less what they use without (peers: before; Setpoint: after its objectives are
deleted again, because before it still puts away what was loaded). Then 10,000 objectives on Setpoint alone,
with 30 days in the ledger: processor time per 10 s, memory, and how soon it is ready after a restart.

One system runs at a time, and a run is ended when all that it started holds more than 4 GB.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.ingest import cpu_of, memory_of, send_bodies
from bench.peers import Peer, peers
from bench.server import free_port, machine
from bench.sloth_rules import rule_file, slo_documents
from bench.write_corpus import Body, Corpus

SERIES_EACH = 10
STEP_MS = 15_000
_STEPS_AT_ONCE = 20
_MEMORY_LIMIT_MB = 4096
_CYCLE_S = 10
"""How often Setpoint evaluates here."""
CYCLES = "setpoint_evaluation_duration_seconds_count"


@dataclass(frozen=True, slots=True)
class Scale:
    """One comparison: how many objectives, hours of data, how long is measured, and the peers' evaluation interval."""

    objectives: int
    hours: float
    base_s: float
    cycles: int
    peer_interval_s: int


SCALES = (Scale(100, 24, 90, 4, 30), Scale(1_000, 24, 90, 3, 120))
SMALL = (Scale(20, 2, 20, 3, 10),)


class Fleet(Corpus):
    """Counters of requests: `SERIES_EACH` for each objective, half of them of rare failures."""

    def __init__(self, objectives: int, steps: int, shards: int = 0, seed: int = 1) -> None:
        self._shards = shards
        super().__init__(objectives * SERIES_EACH, steps, min(2000, objectives * SERIES_EACH // 4), seed)
        self._values[:] = 0

    def next_values(self, steps: int) -> npt.NDArray[np.float64]:
        """Poisson: 30 requests of each instance in a step, 0.01 failures."""
        often = np.where(self._ids % 2 == 0, 30.0, 0.01)[:, None]
        values: npt.NDArray[np.float64] = self._values[:, None] + np.cumsum(
            self._random.poisson(often, (len(self._ids), steps)), axis=1
        )
        self._values = values[:, -1].copy()
        return values

    def labels(self, place: int) -> dict[str, str]:
        """The labels of one counter."""
        number = place // SERIES_EACH
        found = {
            "__name__": "bench_requests_total",
            "code": ("200", "500")[place % 2],
            "instance": f"10.0.{number % 200}.{place % SERIES_EACH // 2}:8080",
            "job": f"service-{number % 50}",
            "slo": f"o{number}",
        }
        if self._shards:
            found["shard"] = str(number % self._shards)
        return dict(sorted(found.items()))


@dataclass(frozen=True, slots=True)
class Cost:
    """Processor seconds per evaluation cycle, and without objectives for as long; megabytes with and without."""

    cycle_cpu_s: float
    cycles: float
    idle_cpu_s: float
    memory_mb: float
    memory_before_mb: float
    load_s: float
    ready_s: float


class Feeder:
    """Sends every counter's next sample each 15 s."""

    def __init__(self, fleet: Fleet, peer: Peer, at_ms: int) -> None:
        self._fleet, self._peer, self._at_ms = fleet, peer, at_ms
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Feeder:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(max(0.0, self._at_ms / 1000 - time.time())):
            bodies = self._fleet.bodies(self._at_ms, STEP_MS)
            send_bodies(self._peer, bodies, self._fleet.bodies_per_round)
            self._at_ms += STEP_MS


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--small", action="store_true", help="20 objectives over 2 h, and 200 alone")
    arguments.add_argument("--only", nargs="*", help="names of the systems to run")
    arguments.add_argument("--scales", type=int, nargs="*", help="numbers of the comparisons to run")
    arguments.add_argument(
        "--fleet", type=int, help="objectives of the run on Setpoint alone; 0 leaves it out"
    )
    chosen = arguments.parse_args()
    scales = SMALL if chosen.small else SCALES
    print(f"machine: {machine()}", flush=True)
    for scale in scales if chosen.scales is None else [scales[number] for number in chosen.scales]:
        print(
            f"\n{scale.objectives:,} objectives x {SERIES_EACH} series, {scale.hours:g} h every 15 s",
            flush=True,
        )
        costs: dict[str, Cost] = {}
        for name in ("setpoint", "prometheus", "victoria-metrics"):
            if chosen.only and name not in chosen.only:
                continue
            with tempfile.TemporaryDirectory() as folder:
                cost = _compare(name, Path(folder), scale)
            if cost is not None:
                costs[name] = cost
                print(_line(name, cost), flush=True)
        _ratios(costs)
    fleet = (200 if chosen.small else 10_000) if chosen.fleet is None else chosen.fleet
    if fleet and (not chosen.only or "setpoint" in chosen.only):
        from bench.objectives_alone import run_alone

        with tempfile.TemporaryDirectory() as folder:
            run_alone(Path(folder), fleet, 20 if chosen.small else 60)


def _compare(name: str, folder: Path, scale: Scale) -> Cost | None:
    found = [
        peer for peer in peers(folder, SETPOINT_EVALUATION_INTERVAL_S=str(_CYCLE_S)) if peer.name == name
    ]
    if not found:
        print(f"  {name} is not installed", flush=True)
        return None
    peer = found[0]
    with peer.running() as process, guarded([process]):
        fleet, started = Fleet(scale.objectives, _STEPS_AT_ONCE), time.monotonic()
        end_ms = load(fleet, peer, scale.hours)
        load_s = time.monotonic() - started
        live = Fleet(scale.objectives, 1, seed=2)
        live._values = fleet._values
        with Feeder(live, peer, end_ms):
            time.sleep(40 if scale.hours > 2 else 20)  # flushes and merges of what was loaded
            idle_cpu_s = _used([process], scale.base_s) / scale.base_s
            before_mb = memory_of(process)
            keep = {"setpoint": _keep_setpoint, "prometheus": _keep_prometheus}.get(name, _keep_vmalert)
            with ExitStack() as stack:
                started = time.monotonic()
                everything, cycles_so_far = keep(peer, process, scale, folder, stack)
                ready_s = time.monotonic() - started
                cycle_cpu_s, cycles, seconds = _measure(everything, cycles_so_far, scale)
                memory = sum(memory_of(one) for one in everything)
                if name == "setpoint":
                    forget(peer)
                    time.sleep(10)
                    idle_cpu_s = _used([process], seconds) / seconds
    own = (cycle_cpu_s - idle_cpu_s * seconds) / cycles
    return Cost(own, cycles, idle_cpu_s * seconds / cycles, memory, before_mb, load_s, ready_s)


def load(fleet: Fleet, peer: Peer, hours: float) -> int:
    """Send `hours` of samples that end now; the instant of the next sample."""
    rounds = round(hours * 3_600_000 / STEP_MS / _STEPS_AT_ONCE)
    end_ms = (int(time.time() * 1000) // STEP_MS + 1) * STEP_MS
    first_ms = end_ms - rounds * _STEPS_AT_ONCE * STEP_MS

    def bodies(rounds: range) -> Iterator[Body]:
        for number in rounds:
            yield from fleet.bodies(first_ms + number * _STEPS_AT_ONCE * STEP_MS, STEP_MS)

    # Half an hour at a time: Prometheus refuses what is much older than what another connection brought.
    refused = 0
    for first in range(0, rounds, 6):
        part = range(first, min(first + 6, rounds))
        refused += send_bodies(peer, bodies(part), fleet.bodies_per_round).refused
    if refused:
        print(f"  {peer.name} refused {refused:,} samples", flush=True)
    return end_ms


Started = tuple[list["subprocess.Popen[bytes]"], Callable[[], float]]


def _keep_setpoint(
    peer: Peer, process: subprocess.Popen[bytes], scale: Scale, folder: Path, stack: ExitStack
) -> Started:
    del folder, stack
    apply(peer, slo_documents(range(scale.objectives)))
    wait_counted(peer, [f"slo-{number}" for number in range(scale.objectives)])
    begun = metric(peer.port, CYCLES)
    return [process], lambda: metric(peer.port, CYCLES) - begun


def _keep_prometheus(
    peer: Peer, process: subprocess.Popen[bytes], scale: Scale, folder: Path, stack: ExitStack
) -> Started:
    del stack
    (folder / "rules.yml").write_text(rule_file(range(scale.objectives), scale.peer_interval_s))
    (folder / "prometheus.yml").write_text("global: {scrape_interval: 15s}\nrule_files: [rules.yml]\n")
    process.send_signal(signal.SIGHUP)
    rules = 3 * scale.objectives
    name = "prometheus_rule_group_iterations_total"
    return [process], lambda: metric(peer.port, name) / rules


def _keep_vmalert(
    peer: Peer, process: subprocess.Popen[bytes], scale: Scale, folder: Path, stack: ExitStack
) -> Started:
    (folder / "rules.yml").write_text(rule_file(range(scale.objectives), scale.peer_interval_s))
    port, url = free_port(), f"http://127.0.0.1:{peer.port}"
    command = [
        "vmalert",
        f"-rule={folder / 'rules.yml'}",
        f"-datasource.url={url}",
        f"-remoteWrite.url={url}",
        f"-notifier.url={stack.enter_context(_nobody())}",
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-evaluationInterval={scale.peer_interval_s}s",
    ]
    with (folder / "vmalert.log").open("ab") as log:
        alerting = subprocess.Popen(command, stdout=log, stderr=log)
    stack.callback(_end, alerting)
    stack.enter_context(guarded([process, alerting]))
    _until(lambda: float(_listens(port)), 1.0, 300)
    groups = 3 * scale.objectives
    return [process, alerting], lambda: metric(port, "vmalert_iteration_total") / groups


def apply(peer: Peer, text: str) -> None:
    """Apply documents to Setpoint, in requests of a few megabytes."""
    documents = text.split("---\n")
    for first in range(0, len(documents), 500):
        part = "---\n".join(documents[first : first + 500])
        body = json.dumps({"files": [{"name": "bench.yaml", "text": part}]}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{peer.port}/api/resources", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=600).read()


def forget(peer: Peer) -> None:
    """Delete every objective."""
    service = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: bench}\nspec: {}\n"
    body = json.dumps({"files": [{"name": "bench.yaml", "text": service}], "prune": True}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{peer.port}/api/resources", body, {"Content-Type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=600).read()


def get(peer: Peer, path: str) -> Any:
    """The JSON at a page of Setpoint."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{peer.port}{path}", headers={"Accept": "application/json"}
    )
    return json.loads(urllib.request.urlopen(request, timeout=120).read())


def wait_counted(peer: Peer, names: list[str], timeout_s: float = 1200) -> None:
    """Wait until the history of these objectives is counted; a few of them stand for all."""
    started = time.monotonic()
    waiting = set(names[:: max(1, len(names) // 7)] + names[-1:])
    while waiting and time.monotonic() - started < timeout_s:
        time.sleep(2)
        waiting = {name for name in waiting if get(peer, f"/objectives/{name}")["backfilling"]}
    if waiting:
        print(f"  setpoint is not through with the history of {sorted(waiting)}", flush=True)


def _measure(
    everything: list[subprocess.Popen[bytes]], cycles_so_far: Callable[[], float], scale: Scale
) -> tuple[float, float, float]:
    """Processor seconds, cycles and seconds of at least `scale.cycles` cycles, after a first one."""
    patience_s = 6 * max(scale.peer_interval_s, _CYCLE_S)
    _until(cycles_so_far, 1.0, patience_s)
    begun, started, before = cycles_so_far(), time.monotonic(), sum(cpu_of(one) for one in everything)
    _until(cycles_so_far, begun + scale.cycles, scale.cycles * patience_s)
    # Setpoint's cycles are short: as long as its base was measured, at least.
    time.sleep(max(0.0, scale.base_s - (time.monotonic() - started)))
    used = sum(cpu_of(one) for one in everything) - before
    return used, max(cycles_so_far() - begun, 1e-9), time.monotonic() - started


def _until(cycles_so_far: Callable[[], float], wanted: float, timeout_s: float) -> None:
    started = time.monotonic()
    while cycles_so_far() < wanted and time.monotonic() - started < timeout_s:
        time.sleep(0.5)


def _listens(port: int) -> bool:
    try:
        metric(port, "process_cpu_seconds_total")
    except OSError:
        return False
    return True


def _used(processes: list[subprocess.Popen[bytes]], seconds: float) -> float:
    before = sum(cpu_of(process) for process in processes)
    time.sleep(seconds)
    return sum(cpu_of(process) for process in processes) - before


def metric(port: int, name: str) -> float:
    """The sum of a metric over its labels."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? ([0-9.e+]+)$", text, re.MULTILINE))


@contextmanager
def guarded(processes: list[subprocess.Popen[bytes]]) -> Iterator[None]:
    """End these processes when they hold more than the limit together."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(2):
            try:
                held = sum(memory_of(process) for process in processes)
            except (OSError, RuntimeError):
                continue
            if held > _MEMORY_LIMIT_MB:
                print(f"  ended: it holds {held:,.0f} MB", flush=True)
                for process in processes:
                    process.kill()
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _nobody() -> Iterator[str]:
    """The address of an Alertmanager that takes everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _line(name: str, cost: Cost) -> str:
    return (
        f"  {name:17} {1000 * cost.cycle_cpu_s:10,.1f} CPU-ms a cycle (over {cost.cycles:.1f} cycles; the rest of the "
        f"server {1000 * cost.idle_cpu_s:,.1f} for as long)  memory {cost.memory_mb:,.0f} MB "
        f"({cost.memory_before_mb:,.0f} before)  loaded in {cost.load_s:.0f} s, objectives in {cost.ready_s:.0f} s"
    )


def _ratios(costs: dict[str, Cost]) -> None:
    ours = costs.get("setpoint")
    for name, cost in costs.items():
        if ours and name != "setpoint" and ours.cycle_cpu_s > 0:
            print(
                f"  {name} / setpoint: CPU a cycle {cost.cycle_cpu_s / ours.cycle_cpu_s:,.1f}, memory "
                f"{cost.memory_mb / ours.memory_mb:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    if not shutil.which("vmalert") or os.cpu_count() is None:
        print("Debian's victoria-metrics is missing: that row is left out")
    main()
