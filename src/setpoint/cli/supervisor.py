"""The small parent of the server: holds the listening sockets and no engine, and keeps a server process
running.

Used by `up` and `demo`. The embedded engine can end or freeze the whole process; only another process can
notice and act (decision 0008). One thread waits here for whatever comes first: the child is ready, the child
is dead, a signal, a deadline. A second one asks the ready child for its health.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO

from setpoint.cli.child import LINK_VARIABLE
from setpoint.cli.health import HealthWatch
from setpoint.clock import Clock, SystemClock
from setpoint.errors import StartupRefused

__all__ = ["Supervisor", "Timing"]


@dataclass(frozen=True, slots=True)
class Timing:
    """How patient the supervisor is; all in seconds but for the counts."""

    health_interval_s: float = 1.0
    health_timeout_s: float = 2.0
    health_failures: int = 3
    start_limit_s: float = 300.0
    """A server that is not ready by then counts as hung: it may be replaying much, but not for ever."""
    quick_s: float = 10.0
    """A life shorter than this counts as a quick death, which lengthens the pause before the next start."""
    pauses_s: tuple[float, ...] = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
    give_up_after: int = 5
    """So many quick deaths in a row, before the server was ever ready, end the supervisor too."""
    grace_s: float = 10.0
    """From SIGTERM to SIGKILL at the end."""


@dataclass(frozen=True, slots=True)
class _Death:
    code: int
    """As subprocess gives it: the exit code, or minus the signal."""
    lived_s: float
    was_ready: bool
    hung: str
    last_line: str

    @property
    def phrase(self) -> str:
        """What happened, as the supervisor and the timeline say it."""
        if self.hung:
            return self.hung
        return f"killed by {self.signal}" if self.signal else f"ended with code {self.code}"

    @property
    def signal(self) -> str | None:
        return signal.Signals(-self.code).name if self.code < 0 else None

    @property
    def exit_code(self) -> int:
        """For our own end; a death by signal is an internal error."""
        return self.code if self.code > 0 else 1


class Supervisor:
    """Runs `command` as a child, again and again, until it is told to stop.

    `listeners` maps environment variables to the sockets handed over in them. `on_ready(count)` is called in
    the main thread each time the child is ready (count 0 at first), `on_stop()` once before the child is
    asked to end. The child's stderr goes to `log`, or is passed through to ours.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        listeners: Mapping[str, socket.socket],
        url: str,
        *,
        on_ready: Callable[[int], None] = lambda count: None,
        on_stop: Callable[[], None] = lambda: None,
        log: Path | None = None,
        timing: Timing | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._command = [sys.executable, "-m", "setpoint.cli.child", *command]
        self._environment = dict(environment)
        self._listeners = dict(listeners)
        self._url = url
        self._on_ready, self._on_stop = on_ready, on_stop
        self._log = log
        self._timing = timing or Timing()
        self._clock = clock or SystemClock()
        self._stops = 0
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._restarts = 0
        self._was_ever_ready = False

    def run(self) -> int:
        """Keep the server running until SIGTERM, SIGINT, SIGHUP or `stop`; returns our exit code.

        Must be called in the main thread, because it takes the signals. 0 after a clean end, 1 when the
        server had to be killed. Raises nothing for a server that cannot start: it says why and returns the
        server's own code.
        """
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._on_signal) for number in numbers}
        try:
            return self._keep_running()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._waker.close()
            self._woken.close()

    def stop(self) -> None:
        """Ask for the end; may be called from any thread, and twice to end the server at once."""
        self._stops += 1
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.stop()

    def _keep_running(self) -> int:
        quick = 0
        environment = self._environment
        while True:
            try:
                child = _Child(self._command, environment, self._listeners, self._log)
            except OSError as error:
                if self._stop_without_child(error):
                    return 0
                continue
            try:
                death = self._mind(child)
            except BaseException:
                child.kill()
                raise
            if death is None:
                return self._end(child)
            quick = quick + 1 if death.lived_s < self._timing.quick_s else 0
            if self._should_give_up(death, quick):
                return death.exit_code
            pause_s = self._timing.pauses_s[min(max(quick - 1, 0), len(self._timing.pauses_s) - 1)]
            after = f" in {pause_s:g} s" if pause_s else ""
            _say(f"the server stopped ({death.phrase}); starting it again{after}")
            if self._pause(pause_s):
                self._on_stop()
                return 0
            self._restarts += 1
            environment = self._environment | {"SETPOINT_RESTART_REASON": self._reason(death)}

    def _stop_without_child(self, error: OSError) -> bool:
        """The machine has no process, memory or descriptor for a child: refused at the first start, waited for
        later. True when we are asked to stop meanwhile.
        """
        if not self._was_ever_ready:
            raise StartupRefused(
                f"the server's process cannot be started: {error.strerror}; free memory, processes or file "
                "descriptors (ulimit -a) and start again"
            ) from error
        pause_s = self._timing.pauses_s[-1]
        _say(f"the server's process cannot be started ({error.strerror}); trying again in {pause_s:g} s")
        if self._pause(pause_s):
            self._on_stop()
            return True
        return False

    def _mind(self, child: _Child) -> _Death | None:
        """Watch one child to its death; None when we are asked to stop first."""
        hung = ""
        watch: HealthWatch | None = None
        start_deadline = time.monotonic() + self._timing.start_limit_s
        try:
            with selectors.DefaultSelector() as waiting:
                waiting.register(child.link, selectors.EVENT_READ)
                waiting.register(child.ready, selectors.EVENT_READ)
                waiting.register(self._woken, selectors.EVENT_READ)
                while True:
                    left_s = (
                        None if watch is not None or hung else max(0.0, start_deadline - time.monotonic())
                    )
                    found = {key.fileobj for key, _ in waiting.select(left_s)}
                    if self._stops:
                        return None
                    if child.link in found:
                        break
                    if child.ready in found:
                        waiting.unregister(child.ready)
                        if child.read_ready():
                            watch = self._start_watch(child)
                            self._was_ever_ready = True
                            self._on_ready(self._restarts)
                    elif not found:
                        hung = f"not ready within {self._timing.start_limit_s:g} s"
                        child.kill_now()
        finally:
            if watch is not None:
                watch.stop()
        code = child.reap()
        hung = hung or (watch.verdict if watch is not None else "")
        return _Death(code, child.lived_s, watch is not None, hung, child.last_line)

    def _start_watch(self, child: _Child) -> HealthWatch:
        timing = self._timing
        watch = HealthWatch(
            self._url,
            timing.health_interval_s,
            timing.health_timeout_s,
            timing.health_failures,
            child.kill_now,
        )
        watch.start()
        return watch

    def _should_give_up(self, death: _Death, quick: int) -> bool:
        # After it was ready once, a refusal is most likely of the moment: a database that is down as well.
        if death.code == StartupRefused.exit_code and not self._was_ever_ready:
            _say("the server refused to start; see the line above" if self._log is None else death.last_line)
            return True
        if self._was_ever_ready or quick < self._timing.give_up_after:
            return False
        said = f"; its last line: {death.last_line}" if death.last_line else ""
        where = f" The rest is in {self._log}." if self._log is not None else ""
        _say(
            f"gave up: the server stopped {quick} times in a row before it was ready, "
            f"at last {death.phrase}{said}.{where}"
        )
        return True

    def _reason(self, death: _Death) -> str:
        cause = "hung" if death.hung else "killed" if death.signal else "exited"
        return json.dumps(
            {
                "reason": death.phrase,
                "cause": cause,
                "exit": death.code if death.code >= 0 else None,
                "signal": death.signal,
                "at_ms": self._clock.now_ms(),
                "count": self._restarts,
            }
        )

    def _pause(self, seconds: float) -> bool:
        """Wait; True when we are asked to stop meanwhile."""
        if not self._stops and seconds:
            self._woken.settimeout(seconds)
            with contextlib.suppress(TimeoutError):
                self._woken.recv(1)
        return self._stops > 0

    def _end(self, child: _Child) -> int:
        """Ask the child to end, and kill it when it does not, or when a second signal comes."""
        asked = self._stops
        self._on_stop()
        child.terminate()
        deadline = time.monotonic() + self._timing.grace_s
        with selectors.DefaultSelector() as waiting:
            waiting.register(child.link, selectors.EVENT_READ)
            self._woken.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                self._woken.recv(4096)
            waiting.register(self._woken, selectors.EVENT_READ)
            while self._stops == asked and (left_s := deadline - time.monotonic()) > 0:
                if child.link in {key.fileobj for key, _ in waiting.select(left_s)}:
                    child.reap()
                    return 0
        _say("the server did not end in time and was killed; what it had acknowledged is stored")
        child.kill()
        return 1


class _Child:
    """One server process and the three descriptors that join it to us."""

    def __init__(
        self,
        command: list[str],
        environment: Mapping[str, str],
        listeners: Mapping[str, socket.socket],
        log: Path | None,
    ) -> None:
        self.link, theirs = socket.socketpair()
        self.ready, ready_end = os.pipe()
        variables = {name: str(listening.fileno()) for name, listening in listeners.items()}
        variables |= {LINK_VARIABLE: str(theirs.fileno()), "SETPOINT_READY_FD": str(ready_end)}
        self._started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                command,
                env={**environment, **variables},
                pass_fds=[int(number) for number in variables.values()],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                # Ctrl-C in a terminal reaches a whole group; the child shall hear of the end from us alone.
                process_group=0,
            )
        except OSError:
            self.link.close()
            os.close(self.ready)
            raise
        finally:
            theirs.close()
            os.close(ready_end)
        assert self._process.stderr is not None
        self._lines: deque[str] = deque(maxlen=20)
        self._reader = threading.Thread(target=self._pass_on, args=(self._process.stderr, log), daemon=True)
        self._reader.start()

    @property
    def lived_s(self) -> float:
        """Seconds from its start to now."""
        return time.monotonic() - self._started

    @property
    def last_line(self) -> str:
        """The last thing that it said on stderr."""
        return next((line for line in reversed(self._lines) if line), "")

    def read_ready(self) -> bool:
        """True when it says so; False when it closed the pipe without a word."""
        return os.read(self.ready, 64) != b""

    def terminate(self) -> None:
        self._process.terminate()

    def kill_now(self) -> None:
        """Kill without waiting; safe from any thread, also after the end."""
        self._process.kill()

    def kill(self) -> None:
        self._process.kill()
        self.reap()

    def reap(self) -> int:
        """Wait for the end that has begun, and close everything; returns the code as subprocess gives it."""
        code = self._process.wait()
        self._reader.join(1.0)  # a grandchild may hold stderr open; its words are not worth waiting for
        self.link.close()
        os.close(self.ready)
        return code

    def _pass_on(self, stderr: IO[bytes], log: Path | None) -> None:
        with stderr, contextlib.ExitStack() as stack:
            out = stack.enter_context(log.open("ab", buffering=0)) if log is not None else None
            for line in stderr:
                self._lines.append(line.decode(errors="replace").strip())
                if out is not None:
                    out.write(line)
                else:
                    os.write(2, line)


def _say(message: str) -> None:
    sys.stderr.write(f"setpoint: {message}\n")
    sys.stderr.flush()
