"""The runner as a process of its own: whatever ends it, it leaves none behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from setpoint.clock import SystemClock
from setpoint.database import StateDatabase
from setpoint.demo.fault import FaultBoard
from setpoint.demo.runner import ShopRunner
from setpoint.errors import StartupRefused
from setpoint.timeline import Timeline
from tests.demo.receiver import Receiver, eventually

_SCRIPT = """
import signal, sys, threading
from pathlib import Path
from setpoint.demo.runner import run
stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
run(sys.argv[1], Path(sys.argv[2]), stop, lambda line: print(line, flush=True))
"""


@pytest.fixture
def receiver(sqlite_database: StateDatabase) -> Iterator[Receiver]:
    timeline = Timeline(sqlite_database, SystemClock())
    receiver = Receiver(timeline, FaultBoard(timeline, SystemClock()))
    yield receiver
    receiver.close()


def children(pid: int) -> list[int]:
    return [
        int(found.name) for found in Path("/proc").iterdir() if found.name.isdigit() and _parent(found) == pid
    ]


def _parent(process: Path) -> int:
    try:
        state, parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[:2]
    except OSError:  # it ended while we looked
        return -1
    return -1 if state == "Z" else int(parent)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_is_left_behind(receiver: Receiver, tmp_path: Path, end: signal.Signals) -> None:
    command = [sys.executable, "-c", _SCRIPT, receiver.url, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as runner:
        assert runner.stdout is not None
        assert "the shop is open: http://127.0.0.1:" in runner.stdout.readline()
        eventually(lambda: len(children(runner.pid)) == 6)  # five services and the customers
        eventually(lambda: sum(1 for _ in receiver.points("http.server.request.duration")) > 20)
        started = children(runner.pid)

        os.kill(runner.pid, end)

        assert runner.wait(10) == (0 if end is signal.SIGTERM else -signal.SIGKILL)
    eventually(lambda: not [pid for pid in started if _parent(Path(f"/proc/{pid}")) > 0], 5)


def test_the_customers_reach_every_service(receiver: Receiver, tmp_path: Path) -> None:
    runner, stop = ShopRunner(receiver.url, tmp_path, rate=40, rush_requests=200), threading.Event()
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        eventually(
            lambda: (
                len({made["service.name"] for made, _, _ in receiver.points("http.server.request.duration")})
                == 5
            )
        )
        eventually(lambda: list(receiver.points("shop.orders.placed")))
        bad = [
            at
            for _, at, _ in receiver.points("http.server.request.duration")
            if at["http.response.status_code"] >= 500
        ]
        assert not bad, "a healthy shop answers no 5xx"
    finally:
        stop.set()
        thread.join()


def test_two_shops_share_no_port(receiver: Receiver, tmp_path: Path) -> None:
    one, other = (ShopRunner(receiver.url, tmp_path / name) for name in ("one", "other"))
    assert not set(one.urls.values()) & set(other.urls.values())
    stopped = threading.Event()
    stopped.set()
    one.run(stopped)  # gives the ports back
    other.run(stopped)


def test_a_folder_that_cannot_be_written_is_refused(receiver: Receiver, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupRefused, match="choose another --data"):
        ShopRunner(receiver.url, tmp_path / "file")
