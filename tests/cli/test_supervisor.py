"""The supervisor over real processes: crash, hang, refusal, the end, and that nobody is left behind."""

from __future__ import annotations

import json
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FAST: dict[str, Any] = {
    "health_interval_s": 0.05,
    "health_timeout_s": 0.3,
    "health_failures": 3,
    "pauses_s": [0.0, 0.01, 0.02],
}


class Running:
    """A supervisor in a process, its lines as they come, and the journal of its children."""

    def __init__(self, folder: Path, how: str, **timing: Any) -> None:
        self.journal = folder / "journal"
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(HERE / "drive_supervisor.py"),
                str(HERE / "stand_in.py"),
                json.dumps(FAST | timing),
            ],
            env={**os.environ, "STAND_IN": how, "STAND_IN_JOURNAL": str(self.journal)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._pump = threading.Thread(target=self._read, daemon=True)
        self._pump.start()
        self.url = self.line()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.strip())

    def line(self) -> str:
        """The next line of its output."""
        return self._lines.get(timeout=20)

    def starts(self) -> list[dict[str, Any]]:
        """What each child wrote when it started."""
        return (
            [json.loads(line) for line in self.journal.read_text().splitlines()]
            if self.journal.exists()
            else []
        )

    def answer(self) -> int:
        """The pid of the child that answers now."""
        with urllib.request.urlopen(self.url, timeout=10) as answer:
            return int(answer.read())

    def end(self) -> tuple[int, str]:
        """Wait for its end: the exit code and all of stderr."""
        assert self.process.stderr is not None
        said = self.process.stderr.read()
        return self.process.wait(20), said

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._pump.join(5)
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdout.close()
        self.process.stderr.close()


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    made: list[Running] = []

    def start(how: str, **timing: Any) -> Running:
        made.append(Running(tmp_path, how, **timing))
        return made[-1]

    yield start
    for running in made:
        running.close()


def is_there(pid: int) -> bool:
    """True while a process of that id runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while is_there(pid):
        assert time.monotonic() < deadline, f"process {pid} was left behind"
        time.sleep(0.01)


def test_sigterm_ends_server_and_supervisor(run: Callable[..., Running]) -> None:
    running = run("serve")
    assert running.line() == "ready 0"
    child = running.answer()
    running.process.terminate()
    assert running.line() == "stopping"
    assert running.end() == (0, "")
    assert not is_there(child)


def test_ctrl_c_is_a_clean_end_too(run: Callable[..., Running]) -> None:
    running = run("serve")
    assert running.line() == "ready 0"
    running.process.send_signal(signal.SIGINT)
    assert running.end() == (0, "")


def test_a_killed_server_comes_back_and_is_told_why(run: Callable[..., Running]) -> None:
    running = run("serve")
    assert running.line() == "ready 0"
    first = running.answer()
    before_ms = time.time_ns() // 1_000_000
    os.kill(first, signal.SIGKILL)
    second = running.answer()  # waits in the backlog; it is never refused
    assert running.line() == "ready 1"
    assert second != first
    told = running.starts()[1]["reason"]
    assert before_ms <= told.pop("at_ms") <= time.time_ns() // 1_000_000
    assert told == {
        "reason": "killed by SIGKILL",
        "cause": "killed",
        "exit": None,
        "signal": "SIGKILL",
        "count": 1,
    }
    running.process.terminate()
    code, said = running.end()
    assert code == 0
    assert "setpoint: the server stopped (killed by SIGKILL); starting it again" in said


def test_no_connection_is_refused_while_the_server_is_killed_again_and_again(
    run: Callable[..., Running],
) -> None:
    running = run("serve")
    assert running.line() == "ready 0"
    refused: list[BaseException] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            try:
                running.answer()
            except ConnectionRefusedError as error:
                refused.append(error)
            except urllib.error.URLError as error:
                if isinstance(error.reason, ConnectionRefusedError):
                    refused.append(error)
            except (OSError, ValueError):
                pass  # the request under way when the server died breaks off; that is not a refusal

    asking = threading.Thread(target=ask)
    asking.start()
    for count in range(1, 5):
        os.kill(running.starts()[-1]["pid"], signal.SIGKILL)
        assert running.line() == f"ready {count}"
    stop.set()
    asking.join()
    assert refused == []


@pytest.mark.parametrize("how", ["stopped", "sick"])
def test_a_hung_server_is_killed_and_started_again(run: Callable[..., Running], how: str) -> None:
    running = run("sick" if how == "sick" else "serve")
    assert running.line() == "ready 0"
    first = running.starts()[0]["pid"]
    if how == "stopped":
        os.kill(first, signal.SIGSTOP)
    assert running.line() == "ready 1"
    assert not is_there(first)
    told = running.starts()[1]["reason"]
    assert told["cause"] == "hung"
    assert "health checks" in told["reason"]
    assert running.answer() == running.starts()[-1]["pid"]


def test_a_server_that_never_gets_ready_is_killed(run: Callable[..., Running]) -> None:
    running = run("sleep", start_limit_s=0.5, give_up_after=2)
    code, said = running.end()
    assert code == 1
    assert "not ready within 0.5 s" in said
    assert len(running.starts()) == 2


def test_gives_up_after_quick_deaths_with_the_last_error_and_its_code(run: Callable[..., Running]) -> None:
    running = run("crash")
    code, said = running.end()
    assert code == 1
    assert len(running.starts()) == 5
    assert "gave up: the server stopped 5 times in a row" in said
    assert "its last line: the stand-in fell over" in said
    for start in running.starts():
        assert not is_there(start["pid"])


@pytest.mark.parametrize(("how", "code"), [("crash-later", 3), ("refuse-later", 7)])
def test_does_not_give_up_on_a_server_that_was_ready_once(
    run: Callable[..., Running], how: str, code: int
) -> None:
    running = run(how)
    assert running.line() == "ready 0"
    os.kill(running.answer(), signal.SIGKILL)
    deadline = time.monotonic() + 20
    while len(running.starts()) < 9:
        assert time.monotonic() < deadline
        assert running.process.poll() is None
        time.sleep(0.05)
    assert running.starts()[-1]["reason"]["reason"] == f"ended with code {code}"
    running.process.terminate()
    assert running.end()[0] == 0


def test_waits_for_a_machine_that_has_no_room_for_a_child(run: Callable[..., Running]) -> None:
    running = run("serve")
    assert running.line() == "ready 0"
    first = running.answer()
    limit = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, (3, limit[1]))  # no new descriptor
    os.kill(first, signal.SIGKILL)
    time.sleep(0.3)
    assert running.process.poll() is None
    assert len(running.starts()) == 1
    resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE, limit)
    assert running.line() == "ready 1"
    assert running.answer() != first
    running.process.terminate()
    code, said = running.end()
    assert code == 0
    assert "the server's process cannot be started (Too many open files); trying again" in said


def test_a_refusal_is_not_retried(run: Callable[..., Running]) -> None:
    running = run("refuse")
    code, said = running.end()
    assert code == 7
    assert "the data folder is not ours" in said
    assert len(running.starts()) == 1


def test_a_server_that_ignores_sigterm_is_killed(run: Callable[..., Running]) -> None:
    running = run("stubborn", grace_s=0.3)
    assert running.line() == "ready 0"
    child = running.answer()
    running.process.terminate()
    code, said = running.end()
    assert code == 1
    assert "was killed" in said
    assert not is_there(child)


def test_a_second_ctrl_c_ends_a_stubborn_server_at_once(run: Callable[..., Running]) -> None:
    running = run("stubborn", grace_s=50)
    assert running.line() == "ready 0"
    child = running.answer()
    running.process.send_signal(signal.SIGINT)
    assert running.line() == "stopping"
    running.process.send_signal(signal.SIGINT)
    assert running.end()[0] == 1
    assert not is_there(child)


def test_sigterm_during_a_pause_ends_at_once(run: Callable[..., Running]) -> None:
    running = run("crash", pauses_s=[60.0])
    assert running.process.stderr is not None
    while "again in 60 s" not in running.process.stderr.readline():
        pass
    running.process.terminate()
    assert running.end()[0] == 0


@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
def test_the_server_dies_with_a_killed_supervisor(run: Callable[..., Running], stopped: bool) -> None:
    running = run("serve", health_timeout_s=60)
    assert running.line() == "ready 0"
    child = running.answer()
    if stopped:
        os.kill(child, signal.SIGSTOP)
    running.process.kill()
    wait_gone(child)


def test_a_grandchild_that_holds_stderr_does_not_hold_the_end(run: Callable[..., Running]) -> None:
    running = run("grandchild")
    assert running.line() == "ready 0"
    started = time.monotonic()
    running.process.terminate()
    assert running.process.wait(20) == 0
    assert time.monotonic() - started < 2.5
