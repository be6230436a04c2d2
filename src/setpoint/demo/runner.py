"""Starts the shop's processes, minds them, and makes them as broken as the server says. Called by `setpoint
demo`.

Twice a second it compares what should be (the faults that `FaultBoard` holds) with what is, and does the
difference: starts what is missing, kills what should be dead, exchanges versions, posts faults to the
services. So it does not matter what happened in between: a crash, a server that was away, a fault changed
twice. Everything is started from the thread that calls `run`, because Linux ties a child to the thread that
made it (`child`).
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from setpoint.demo.fault import GOOD_VERSION, SERVICES
from setpoint.demo.link import ServerLink, Told
from setpoint.demo.process import Process
from setpoint.errors import StartupRefused

__all__ = ["ShopRunner", "Wanted", "run", "wanted"]

_TICK_S = 0.5
_END_S = 3.0
_FIRST_PORT = 8080
_PORTS = 200
_QUICK_DEATH_S = 5.0
_RESTART_MAX_S = 10.0
_PEERS = {"storefront": ("catalog", "checkout"), "checkout": ("inventory", "payment")}


@dataclass(frozen=True, slots=True)
class Wanted:
    """How a service should be: its version, whether it runs, and the faults inside it ({fault:
    parameters})."""

    version: str
    is_dead: bool
    inside: Mapping[str, Mapping[str, Any]]


def wanted(service: str, faults: Sequence[Told]) -> Wanted:
    """What `faults` mean for `service`."""
    own = {told.fault: told.parameters for told in faults if told.service == service}
    version = str(own["version"].get("version", GOOD_VERSION)) if "version" in own else GOOD_VERSION
    inside = {fault: dict(parameters) for fault, parameters in own.items() if fault != "dead"}
    return Wanted(version, "dead" in own, inside)


@dataclass(slots=True)
class _Slot:
    """The processes of one service: who serves, who comes to replace it, who is leaving."""

    service: str
    current: Process | None = None
    coming: Process | None = None
    leaving: list[tuple[Process, float]] = field(
        default_factory=list
    )  # with the instant of the kill, monotonic
    version: str = GOOD_VERSION  # the last one that served
    quick_deaths: int = 0
    start_after_s: float = 0.0

    def all(self) -> list[Process]:
        return [
            one for one in (self.current, self.coming, *(old for old, _ in self.leaving)) if one is not None
        ]


class ShopRunner:
    """The shop: five services and their customers. Make it, then `run` it."""

    def __init__(
        self,
        server_url: str,
        data_dir: Path,
        token: str = "",
        *,
        say: Callable[[str], None] = lambda _line: None,
        rate: float = 12.0,
        rush_requests: int = 10_000,
    ) -> None:
        """Choose the ports; nothing is started yet.

        `server_url` takes OTLP and is polled for faults; the shop's files go to `data_dir`/shop; `say` gets
        lines for the person at the terminal. `rate` is the customers' mean in requests per second (0 for no
        customers), `rush_requests` the size of the opening rush. Raises StartupRefused when there is no free
        port or no folder.
        """
        self._server_url = server_url.rstrip("/")
        self._folder = data_dir.absolute() / "shop"
        self._token, self._say = token, say
        self._rate, self._rush_requests = rate, rush_requests
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupRefused(
                f"the shop cannot write to {self._folder}: {error}; choose another --data"
            ) from error
        self._reserved = _reserve_ports(len(SERVICES))
        ports = dict(zip(SERVICES, (held.getsockname()[1] for held in self._reserved), strict=True))
        self.urls: Mapping[str, str] = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        self._ports = ports
        self._slots = {name: _Slot(name) for name in SERVICES}
        self._customers: Process | None = None
        self._has_opened = self._is_open = False
        # The services' admin routes are on loopback and plain HTTP.
        self._admin = httpx.Client(timeout=1.0, trust_env=False, verify=False)

    def run(self, stop: threading.Event) -> None:
        """Keep the shop as it should be until `stop` is set, then end every process."""
        link = ServerLink(self._server_url, self._token, self._say)
        try:
            while not stop.is_set():
                faults = link.poll()
                link.deliver()
                for slot in self._slots.values():
                    self._mind(slot, wanted(slot.service, faults), link)
                self._mind_customers()
                self._tell_when_open()
                stop.wait(_TICK_S)
        finally:
            self._end()
            link.close()

    @property
    def pids(self) -> Mapping[str, int]:
        """The ids of the processes that serve now, by service, and of `load`."""
        found = {name: slot.current.pid for name, slot in self._slots.items() if slot.current is not None}
        if self._customers is not None:
            found["load"] = self._customers.pid
        return found

    def _mind(self, slot: _Slot, should: Wanted, link: ServerLink) -> None:
        self._reap(slot)
        if should.is_dead:
            if slot.all():
                self._kill(slot)
                self._say(f"{slot.service} is killed")
            return
        if slot.current is None:
            slot.current, slot.coming = slot.coming, None
        if slot.current is None:
            if time.monotonic() >= slot.start_after_s:
                slot.current = self._start(slot.service, should)
                self._served_by(slot, should.version, link)
            return
        if slot.current.version == should.version:
            if slot.coming is not None:
                slot.coming.kill()
                slot.coming = None
            self._apply(slot.current, should)
        elif slot.coming is None or slot.coming.version != should.version:
            if slot.coming is not None:
                slot.coming.kill()
            slot.coming = self._start(slot.service, should)
        elif slot.coming.is_ready:
            slot.current.terminate()
            slot.leaving.append((slot.current, time.monotonic() + _END_S))
            slot.current, slot.coming = slot.coming, None
            self._served_by(slot, should.version, link)

    def _served_by(self, slot: _Slot, version: str, link: ServerLink) -> None:
        if slot.version == version or slot.current is None:
            return
        self._say(f"{slot.service} {version} is deployed (was {slot.version})")
        link.deploy(slot.service, version, slot.version, key=f"shop-{slot.current.pid}-{time.time_ns()}")
        slot.version = version

    def _reap(self, slot: _Slot) -> None:
        now = time.monotonic()
        for old, kill_at in list(slot.leaving):
            if old.status is None and now >= kill_at:
                old.kill()
            if old.status is not None:
                old.wait(0)
                slot.leaving.remove((old, kill_at))
        if slot.coming is not None and slot.coming.status is not None:
            slot.coming = None  # it is started again while it is wanted
        if slot.current is not None and slot.current.status is not None:
            lived_s = now - slot.current.started_s
            slot.quick_deaths = slot.quick_deaths + 1 if lived_s < _QUICK_DEATH_S else 0
            slot.start_after_s = now + min(_RESTART_MAX_S, 0.25 * 2 ** min(slot.quick_deaths, 10))
            self._say(
                f"{slot.service} ended with status {slot.current.status}; starting it again "
                f"(what it said: {slot.current.log})"
            )
            slot.current.wait(0)
            slot.current = None

    def _kill(self, slot: _Slot) -> None:
        for process in slot.all():
            process.kill()
        slot.current = slot.coming = None
        slot.leaving.clear()
        slot.quick_deaths, slot.start_after_s = 0, 0.0

    def _apply(self, process: Process, should: Wanted) -> None:
        if process.applied == should.inside:
            return
        try:
            self._admin.post(self.urls[process.name] + "/_fault", json=should.inside).raise_for_status()
        except httpx.HTTPError:
            return  # it has not come up yet, or it is ending; the next look tries again
        process.applied = should.inside

    def _start(self, service: str, should: Wanted) -> Process:
        command = [sys.executable, "-m", "setpoint.demo.shop", service, "--port", str(self._ports[service])]
        command += ["--otlp", self._server_url, "--version", should.version, "--data", str(self._folder)]
        command += ["--parent", str(os.getpid()), "--faults", json.dumps(should.inside)]
        for peer in _PEERS.get(service, ()):
            command += ["--peer", f"{peer}={self.urls[peer]}"]
        environment = dict(os.environ)
        if self._token:  # not an argument: those can be read by everybody on the machine
            environment["OTEL_EXPORTER_OTLP_HEADERS"] = "authorization=" + quote(f"Bearer {self._token}")
        log = self._folder / f"{service}.log"
        process = Process(service, command, environment, log, version=should.version, tells_ready=True)
        process.applied = should.inside
        return process

    def _mind_customers(self) -> None:
        if self._customers is not None and self._customers.status is not None:
            self._say(f"the customers ended with status {self._customers.status}; sending new ones")
            self._customers = None
        if self._customers is not None or self._rate <= 0:
            return
        command = [
            sys.executable,
            "-m",
            "setpoint.demo.load",
            "--parent",
            str(os.getpid()),
            "--rate",
            str(self._rate),
        ]
        command += ["--rush-requests", str(0 if self._has_opened else self._rush_requests)]
        for name, url in self.urls.items():
            command += ["--service", f"{name}={url}"]
        self._customers = Process("load", command, os.environ, self._folder / "load.log")
        self._has_opened = True

    def _tell_when_open(self) -> None:
        serving = [slot.current for slot in self._slots.values() if slot.current is not None]
        if not self._is_open and len(serving) == len(SERVICES) and all(one.is_ready for one in serving):
            self._is_open = True
            self._say(f"the shop is open: {self.urls['storefront']}")

    def _end(self) -> None:
        if self._customers is not None:
            self._customers.kill()
        left = [process for slot in self._slots.values() for process in slot.all()]
        for process in left:
            process.terminate()
        deadline_s = time.monotonic() + _END_S
        for process in left:
            if not process.wait(deadline_s - time.monotonic()):
                process.kill()
        for held in self._reserved:
            held.close()
        self._admin.close()


def _reserve_ports(count: int) -> list[socket.socket]:
    """`count` sockets bound to free loopback ports from `_FIRST_PORT` on.

    They do not listen: they keep others away (another shop too) for as long as the runner lives, also while a
    service is dead. SO_REUSEPORT, set once the port is ours alone, lets the services bind it beside.
    """
    held: list[socket.socket] = []
    for port in range(_FIRST_PORT, _FIRST_PORT + _PORTS):
        candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            candidate.close()
            continue
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.append(candidate)
        if len(held) == count:
            return held
    for candidate in held:
        candidate.close()
    raise StartupRefused(
        f"the shop needs {count} free ports from {_FIRST_PORT} to {_FIRST_PORT + _PORTS - 1}"
    )


def run(
    server_url: str,
    data_dir: Path,
    stop: threading.Event,
    say: Callable[[str], None],
    token: str = "",
) -> None:
    """Run the shop against the server at `server_url` until `stop` is set; returns when every process has
    ended."""
    ShopRunner(server_url, data_dir, token, say=say).run(stop)
