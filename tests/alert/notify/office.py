"""An outbox over a database on a clock of its own, notifications to put into it, and a receiver on loopback that
answers as it is told, also in ways that no server should.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from setpoint.alert.model import Alert
from setpoint.alert.notify.model import Notification, Reason
from setpoint.alert.notify.outbox import Outbox
from setpoint.alert.route.model import Integration
from setpoint.clock import Clock, VirtualClock
from setpoint.database import StateDatabase, Transaction
from setpoint.errors import InvalidInput
from setpoint.timeline import Timeline

NOW_MS = 1_800_000_000_000
EXTERNAL = "http://127.0.0.1:7070"

__all__ = ["EXTERNAL", "NOW_MS", "Office", "Request", "Sink", "alert", "notification"]


def alert(name: str, *, ends_ms: int | None = None, **labels: str) -> Alert:
    """An alert by its name."""
    return Alert(
        {"alertname": name, "service": "shop", **labels},
        NOW_MS - 60_000,
        NOW_MS,
        ends_ms,
        {"summary": f"{name} burns"},
        f"{EXTERNAL}/alerts/{name}",
    )


def notification(
    *alerts: Alert | str,
    group: str = "{}",
    receiver: str = "ops",
    integration: str = "webhook[0]",
    reason: Reason = "first",
    at_ms: int = NOW_MS,
) -> Notification:
    """A notification of some alerts; those with an end before `at_ms` are resolved."""
    told = tuple(alert(one) if isinstance(one, str) else one for one in alerts)
    ended = [one.fingerprint for one in told if one.is_resolved(at_ms)]
    return Notification(
        receiver,
        integration,
        group,
        {"alertname": told[0].name} if told else {},
        told,
        tuple(one.fingerprint for one in told if one.fingerprint not in ended),
        tuple(ended),
        reason,
        at_ms,
    )


def secret(name: str) -> str:
    """The secrets folder."""
    if name != "hook.key":
        raise InvalidInput(f"the secret file {name} cannot be read: no such file")
    return "s3cret"


class Office:
    """An outbox with what it needs; `told` is what it says was delivered."""

    open: ClassVar[list[Office]] = []

    def __init__(self, database: StateDatabase, clock: Clock | None = None, **options: Any) -> None:
        self.clock = clock or VirtualClock(NOW_MS)
        self.timeline = Timeline(database, self.clock)
        self.outbox = Outbox(
            database,
            self.timeline,
            self.clock,
            external_url=EXTERNAL,
            read_secret=secret,
            **options,
        )
        Office.open.append(self)
        self.told: list[Notification] = []
        self.outbox.on_delivered = self._hear

    def _hear(self, transaction: Transaction, notification: Notification, at_ms: int) -> None:
        del transaction, at_ms
        self.told.append(notification)

    def follow(self, **urls: str | Mapping[str, Any]) -> None:
        """Webhooks by the name of their receiver: an address, or settings."""
        self.outbox.follow(
            {
                (name, "webhook[0]"): Integration(
                    "webhook", 0, True, {"url": one} if isinstance(one, str) else one
                )
                for name, one in urls.items()
            }
        )

    def step(self, after_s: float = 0.0) -> None:
        """Deliver what is due then."""
        assert isinstance(self.clock, VirtualClock)
        self.clock.advance(after_s)
        self.outbox.drain()

    def events(self, kind: str) -> list[Any]:
        """Events of the timeline, the oldest first."""
        return list(reversed(self.timeline.query(kinds=[kind], limit=1000)))


class Request:
    """One that was received."""

    def __init__(self, line: str, headers: dict[str, str], body: bytes) -> None:
        self.line, self.headers, self.body = line, headers, body

    @property
    def payload(self) -> Any:
        """Its JSON."""
        return json.loads(self.body)

    @property
    def names(self) -> list[str]:
        """The alerts in it."""
        return [one["labels"]["alertname"] for one in self.payload["alerts"]]


class Sink:
    """Answers 200, or what `decide` says: a status, `hang`, or bytes that are sent as they are (a list: piece by piece,
    until the other side has had enough). Connections are kept.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.received: list[Request] = []
        self.answers: list[int | str | bytes | Sequence[bytes]] = []
        self.headers: dict[str, str] = {}
        self.decide: Callable[[Request], int | str | bytes | Sequence[bytes] | None] = lambda _: None
        self.connections = 0
        self.released = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def names(self) -> list[str]:
        """The alerts of all requests."""
        return [name for one in self.received for name in one.names]

    def close(self) -> None:
        """Nobody answers any more."""
        self.released.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()

    def drop(self) -> None:
        """Close the connections that are open."""
        for one in self._open:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._open.clear()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as file:
                while self._answer(connection, file):
                    pass
        except OSError:
            return

    def _answer(self, connection: socket.socket, file: Any) -> bool:
        line = file.readline().decode().strip()
        headers: dict[str, str] = {}
        while (raw := file.readline()).strip():
            name, _, value = raw.decode().partition(":")
            headers[name] = value.strip()
        size = int(headers.get("Content-Length", 0))
        body = file.read(size)
        if not line or not raw or len(body) < size:
            return False  # who sent it was killed in the middle, or has nothing more to say
        request = Request(line, headers, body)
        self.received.append(request)
        answer = self.decide(request)
        if answer is None:
            answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            self.released.wait(60)
            return False
        if isinstance(answer, int):
            more = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            connection.sendall(f"HTTP/1.1 {answer} Said\r\n{more}Content-Length: 0\r\n\r\n".encode())
            return True
        if isinstance(answer, bytes):
            connection.sendall(answer)
            return False
        for piece in answer:
            connection.sendall(str(piece).encode() if isinstance(piece, str) else piece)
            if self.released.wait(0.05):
                break
        return False
