"""Which routing is in force: the file of the setting `alertmanager_config`, else the resource `AlertRouting`, else a
default that tells nobody.

The file is read again when it changes. One that is broken keeps what was in force and is told of: on the timeline, on
the page, in `/api/status`; at the start there is nothing to keep, and the start is refused. Who uses the routing hears
of a change by `on_change`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from setpoint.alert.route.model import Receiver, Route, Routing
from setpoint.alert.route.read import read_routing
from setpoint.alert.route.spec import AlertRouting, routing_of
from setpoint.clock import Clock
from setpoint.errors import InvalidInput, Problem, SetpointError, StartupRefused
from setpoint.resource import Document
from setpoint.timeline import SUMMARY_MAX, Timeline

__all__ = ["DEFAULT", "RoutingSource", "RoutingStatus"]

log = logging.getLogger(__name__)

_LOOK_S = 2.0
_BYTES_MOST = 8 << 20

DEFAULT = Routing(
    route=Route(receiver="nobody"),
    receivers={"nobody": Receiver("nobody")},
    text="route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n",
)
"""What is in force where nothing was configured: one receiver without a channel."""


@dataclass(frozen=True, slots=True)
class RoutingStatus:
    """Where the routing in force comes from, since when (Unix milliseconds), and what is wrong with what should be in
    force instead; `warnings` are about what is.
    """

    origin: Literal["file", "resource", "default"]
    name: str
    since_ms: int
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `/api/status` and the page."""
        return {
            "origin": self.origin,
            "name": self.name,
            "since_ms": self.since_ms,
            "problems": [str(one) for one in self.problems],
            "warnings": [str(one) for one in self.warnings],
        }


class RoutingSource:
    """Safe to use from several threads."""

    def __init__(
        self,
        path: Path | None,
        timeline: Timeline,
        clock: Clock,
        *,
        sendable: Collection[str] | None = None,
        secrets: Path | None = None,
    ) -> None:
        """Read the file, if there is one. `sendable` are the kinds of channels that can be sent to, `secrets` is the
        folder of the files that a resource names. Raises StartupRefused when the file cannot be used.
        """
        self._path = path
        self._timeline = timeline
        self._clock = clock
        self._sendable = sendable
        self._secrets = secrets
        self._lock = threading.Lock()
        self._subscribers: list[Callable[[Routing], None]] = []
        self._routing = DEFAULT
        self._status = RoutingStatus("default", "", clock.now_ms())
        self._content: str | None = None
        self._stamp: tuple[int, int, int] | None = None
        self._body: object = None
        self._unused = ""
        if path is not None:
            try:
                self._stamp = _stamp(path)
                self._content = _content(path)
                routing = read_routing(str(path), self._content, sendable=sendable)
            except InvalidInput as error:
                raise StartupRefused(
                    f"{error.message}\nalertmanager_config cannot be used: correct it, or start without it"
                ) from error
            self._take(routing, "file", str(path))

    @property
    def current(self) -> Routing:
        """What is in force."""
        return self._routing

    @property
    def status(self) -> RoutingStatus:
        """Where it comes from, and what is wrong."""
        status = self._status
        if not self._unused:
            return status
        told = (
            f"the AlertRouting {self._unused} is not in force: the setting alertmanager_config goes before it"
        )
        return replace(status, warnings=(*status.warnings, Problem(told)))

    def subscribe(self, hear: Callable[[Routing], None]) -> None:
        """Call `hear` with what is in force now, and with every change."""
        with self._lock:
            self._subscribers.append(hear)
            hear(self._routing)

    def follow(self, documents: Iterable[Document]) -> None:
        """Take over the resource `AlertRouting`, unless a file is set."""
        found = next((one for one in documents if isinstance(one.spec, AlertRouting)), None)
        if self._path is not None:
            self._unused = found.name if found is not None else ""
            return
        if found is None:
            if self._body is not None:
                self._body = None
                self._take(DEFAULT, "default", "")
        elif found.body["spec"] != self._body:
            try:
                routing = routing_of(found, self._sendable, self._secrets)
            except InvalidInput as error:
                self._refuse(error)
                return
            self._body = found.body["spec"]
            self._take(routing, "resource", found.name)

    def look(self) -> bool:
        """Read the file again if it changed; whether another routing is in force then."""
        if self._path is None:
            return False
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return False
            content = _content(self._path)
        except InvalidInput as error:
            self._stamp = None  # it may come back as it was
            self._refuse(error)
            return False
        self._stamp = stamp
        if content == self._content:
            self._is_right_again()
            return False
        try:
            routing = read_routing(str(self._path), content, sendable=self._sendable)
        except InvalidInput as error:
            self._refuse(error)
            return False
        self._content = content
        self._take(routing, "file", str(self._path))
        self._tell("routing.changed", f"{_counted(routing)} in force, from {self._path.name}")
        return True

    def run(self, stop: threading.Event) -> None:
        """Look until `stop` is set; the body of the routing's thread."""
        while not stop.is_set():
            try:
                self.look()
            except SetpointError as error:
                log.warning("the routing was not looked at: %s", error.message)
            self._clock.wait(stop, _LOOK_S)

    def _take(self, routing: Routing, origin: Literal["file", "resource", "default"], name: str) -> None:
        with self._lock:
            self._routing = routing
            self._status = RoutingStatus(origin, name, self._clock.now_ms(), warnings=routing.warnings)
            for hear in self._subscribers:
                hear(routing)
        for warning in routing.warnings:
            log.warning("%s", warning)

    def _is_right_again(self) -> None:
        status = self._status
        if status.problems:
            self._status = replace(status, problems=())
            self._tell("routing.changed", f"{status.name} can be read again; it holds what is in force")

    def _refuse(self, error: InvalidInput) -> None:
        """Keep what is in force, and say so once for each fault."""
        status = self._status
        problems = error.problems or (Problem(error.message, str(self._path or "") or None),)
        if problems == status.problems:
            return
        self._status = replace(status, problems=problems)
        log.error("the routing of alerts is not taken over, what was in force stays: %s", error.message)
        first = str(problems[0])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        self._tell(
            "routing.refused",
            f"the routing of alerts is wrong, what was in force stays: {first}{more}",
            problems=[str(one)[:1000] for one in problems[:20]],
        )

    def _tell(self, kind: str, summary: str, **data: Any) -> None:
        try:
            self._timeline.append(kind, summary[:SUMMARY_MAX], data=data)
        except SetpointError as error:
            log.warning("an event is not on the timeline: %s: %s", summary, error.message)


def _counted(routing: Routing) -> str:
    routes = len(list(routing.route.walk()))
    return f"routing of alerts: {routes} routes and {len(routing.receivers)} receivers are"


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _content(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(_BYTES_MOST + 1)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(content) > _BYTES_MOST:
        told = f"the file has more than {_BYTES_MOST >> 20} MB; that is no routing"
        raise InvalidInput(problems=(Problem(told, str(path)),))
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InvalidInput(
            problems=(Problem("this is no UTF-8; save the file as UTF-8", str(path), line),)
        ) from error


def _unreadable(path: Path, error: OSError) -> InvalidInput:
    reason = (error.strerror or str(error)).lower()
    return InvalidInput(problems=(Problem(f"cannot be read: {reason}", str(path)),))
