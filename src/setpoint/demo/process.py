"""One process of the shop, as the runner sees it: start it, ask whether it serves, end it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Process"]

_LOG_LIMIT_BYTES = 1 << 20


class Process:
    """A started process. It runs in a group of its own, so that Ctrl-C reaches the runner alone."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        *,
        version: str = "",
        tells_ready: bool = False,
    ) -> None:
        """Start `command`; what it prints is appended to `log`, which begins anew when it is over 1 MB.

        With `tells_ready`, `--ready-fd N` is added, and the process counts as ready once it wrote there.
        """
        self.name, self.version, self.log = name, version, log
        self.applied: object = None
        self.started_s = time.monotonic()
        self._ready_fd: int | None = None
        passed: tuple[int, ...] = ()
        if tells_ready:
            self._ready_fd, theirs = os.pipe()
            os.set_blocking(self._ready_fd, False)
            command, passed = [*command, "--ready-fd", str(theirs)], (theirs,)
        mode = "wb" if log.exists() and log.stat().st_size > _LOG_LIMIT_BYTES else "ab"
        with log.open(mode) as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=passed,
                process_group=0,
            )
        for descriptor in passed:
            os.close(descriptor)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """None while it runs, then its exit status (negative: the signal that ended it)."""
        return self._process.poll()

    @property
    def is_ready(self) -> bool:
        """True once the process said that it serves."""
        if self._ready_fd is None:
            return True
        try:
            told = os.read(self._ready_fd, 1)
        except BlockingIOError:
            return False
        if told:
            self._close_fd()
        return bool(told)

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self._process.terminate()

    def kill(self) -> None:
        """End it at once (SIGKILL) and wait until it is gone."""
        self._process.kill()
        self._process.wait()
        self._close_fd()

    def wait(self, timeout_s: float) -> bool:
        """True when it ended within `timeout_s` seconds."""
        try:
            self._process.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        self._close_fd()
        return True

    def _close_fd(self) -> None:
        if self._ready_fd is not None:
            os.close(self._ready_fd)
            self._ready_fd = None
