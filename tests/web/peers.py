"""Real programs beside a server of the tests: each on a free port, ended with its block; waiting that is patient."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from setpoint.app import App
from setpoint.app.alerting import alerting_loops
from tests.conftest import require

__all__ = ["alertmanager", "dispatching", "eventually", "program"]

DEADLINE_S = 90.0
Found = TypeVar("Found")


def eventually(ask: Callable[[], Found], expected: Callable[[Found], bool]) -> Found:
    """What `ask` gives once it is as expected; fails with what it gave last."""
    deadline = time.monotonic() + DEADLINE_S
    while not expected(found := ask()):
        assert time.monotonic() < deadline, f"still not as expected: {found}"
        time.sleep(0.1)
    return found


def free_port() -> int:
    """A port that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(
    folder: Path, command: Callable[[str], Sequence[str]], ready: str = "/-/ready", package: str = ""
) -> Iterator[str]:
    """The URL of a program that runs until the block ends; `command` takes the address that it shall listen on. Another
    port is tried when the first was taken meanwhile.
    """
    name = command("")[0]
    require(name, shutil.which(name) is not None, package or name)
    for attempt in range(5):
        address = f"127.0.0.1:{free_port()}"
        log = folder / f"{name}-{attempt}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(command(address), stdout=file, stderr=file, cwd=folder)
        try:
            if _is_up(process, f"http://{address}{ready}"):
                yield f"http://{address}"
                return
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    raise AssertionError(log.read_text())


def _is_up(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


@contextmanager
def alertmanager(folder: Path, config: str) -> Iterator[str]:
    """Debian's Alertmanager with a configuration, alone in its cluster."""
    folder.mkdir(exist_ok=True)
    (folder / "alertmanager.yml").write_text(config)

    def command(address: str) -> list[str]:
        return [
            "prometheus-alertmanager",
            f"--config.file={folder / 'alertmanager.yml'}",
            f"--storage.path={folder / 'storage'}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]

    with program(folder, command) as url:
        yield url


@contextmanager
def dispatching(parts: App) -> Iterator[None]:
    """The loops that alerts go through, for as long as the block."""
    stop = threading.Event()
    threads = [threading.Thread(target=run, daemon=True) for run in alerting_loops(parts, stop).values()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        parts.dispatcher.wake()
        for thread in threads:
            thread.join(30)
