"""What does an idle Setpoint cost, how fast does it start, and how fast is it back after `kill -9`?

Run with `python -m bench.footprint`. Beside it, where they are installed, Prometheus and VictoriaMetrics start on
an empty folder in the same run, so that the figures can be quoted as ratios.
"""

from __future__ import annotations

import os
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.server import cpu_s, descendants, free_port, machine, memory_mb, running

RUNS = 5
IDLE_S = 60


def main() -> None:
    print(f"machine: {machine()}")
    with tempfile.TemporaryDirectory() as folder:
        setpoint_start, back = [], []
        for run in range(RUNS):
            with running(["up"], Path(folder) / f"run{run}") as server:
                setpoint_start.append(server.wait_ready())
                engine = server.engine
                os.kill(engine, signal.SIGKILL)
                killed = time.monotonic()
                while not (server.is_ready() and server.engine != engine):
                    time.sleep(0.02)
                back.append(time.monotonic() - killed)
        with running(["up"], Path(folder) / "idle") as server:
            server.wait_ready()
            time.sleep(10)
            processes = descendants(server.process.pid)
            before = sum(cpu_s(process) for process in processes)
            time.sleep(IDLE_S)
            cpu_share = (sum(cpu_s(process) for process in processes) - before) / IDLE_S
            memory = {process: memory_mb(process) for process in processes}
        print(
            f"idle memory: {sum(memory.values()):.0f} MB (PSS of {len(memory)} processes, {IDLE_S + 10} s after start)"
        )
        print(f"idle processor: {cpu_share:.2%} of one core over {IDLE_S} s")
        print(f"start to ready: median {statistics.median(setpoint_start):.2f} s of {_list(setpoint_start)}")
        print(f"kill -9 to serving: median {statistics.median(back):.2f} s of {_list(back)}")
        for peer, arguments, ready_path in _peers(Path(folder)):
            _measure_peer(
                peer, arguments, ready_path, memory_setpoint=sum(memory.values()), cpu_setpoint=cpu_share
            )


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in sorted(values))


def _peers(folder: Path) -> list[tuple[str, list[str], str]]:
    """Peers that are installed: (name, command without its port, ready address)."""
    peers = []
    if shutil.which("prometheus"):
        config = folder / "prometheus.yml"
        config.write_text("global: {scrape_interval: 15s}\n")
        port = free_port()
        command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"]
        peers.append(
            (
                "prometheus",
                [*command, f"--web.listen-address=127.0.0.1:{port}"],
                f"http://127.0.0.1:{port}/-/ready",
            )
        )
    if shutil.which("victoria-metrics"):
        port = free_port()
        command = [
            "victoria-metrics",
            f"-storageDataPath={folder / 'victoria'}",
            f"-httpListenAddr=127.0.0.1:{port}",
        ]
        peers.append(("victoria-metrics", command, f"http://127.0.0.1:{port}/health"))
    return peers


def _measure_peer(
    name: str, command: list[str], ready: str, *, memory_setpoint: float, cpu_setpoint: float
) -> None:
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not _answers(ready):
            if process.poll() is not None or time.monotonic() - started > 30:
                raise RuntimeError(f"{name} did not start")
            time.sleep(0.02)
        start_s = time.monotonic() - started
        time.sleep(10)
        before = cpu_s(process.pid)
        time.sleep(IDLE_S)
        share = (cpu_s(process.pid) - before) / IDLE_S
        memory = memory_mb(process.pid)
    finally:
        process.terminate()
        process.wait(20)
    print(
        f"{name}: {memory:.0f} MB (setpoint / {name} = {memory_setpoint / memory:.1f}), {share:.2%} of one core, "
        f"ready in {start_s:.2f} s"
    )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


if __name__ == "__main__":
    main()
