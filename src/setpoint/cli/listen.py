"""The listening sockets, which belong to the supervisor and outlive every server process (decision 0008).

A port in use is known before anything is opened, and a sender that connects while the server restarts waits
in the backlog. Called by `up` and `demo`.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from setpoint.errors import StartupRefused
from setpoint.settings import Address, Settings

__all__ = ["Listeners", "open_listeners"]

_BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listeners:
    """What is bound; `otlp_http` is None when it is off or taken, `warnings` are for a person."""

    main: socket.socket
    otlp_http: socket.socket | None
    warnings: tuple[str, ...]

    @property
    def address(self) -> str:
        """`HOST:PORT` of the main socket, with the port that the system chose when 0 was asked for."""
        host, port = self.main.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def url(self) -> str:
        """The address for a browser on this machine."""
        host, port = self.main.getsockname()[:2]
        local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"http://[{local}]:{port}" if ":" in local else f"http://{local}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self.main.close()
        if self.otlp_http is not None:
            self.otlp_http.close()


def open_listeners(settings: Settings) -> Listeners:
    """Bind the HTTP addresses and try the gRPC one, which the server binds itself.

    Raises StartupRefused, naming the address and the flag, when one cannot be had. The second OTLP/HTTP
    address is the exception: taken and not asked for, Setpoint goes on without it.
    """
    listening = _bind(settings.listen_address, "--listen")
    warnings: list[str] = []
    otlp_http = None
    try:
        if settings.otlp_http:
            try:
                otlp_http = _bind(Address(settings.otlp_http), "--otlp-http")
            except StartupRefused:
                if "otlp_http" in settings.model_fields_set:
                    raise
                warnings.append(
                    f"{settings.otlp_http} is in use, so OTLP/HTTP is served on {settings.listen} only; "
                    "choose another second address with --otlp-http, or none with --otlp-http ''"
                )
        if settings.otlp_grpc:
            _bind(Address(settings.otlp_grpc), "--otlp-grpc").close()
    except StartupRefused:
        listening.close()
        if otlp_http is not None:
            otlp_http.close()
        raise
    return Listeners(listening, otlp_http, tuple(warnings))


def _bind(address: Address, flag: str) -> socket.socket:
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise StartupRefused(
            f"the host of {address} is unknown ({error.strerror})\n"
            f"give an address of this machine with {flag} HOST:PORT"
        ) from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(place)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise StartupRefused(f"{_why(address, error)}\n{_what_to_do(address, flag, error)}") from error
    return listening


def _why(address: Address, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{address} is in use by another process"
    return f"{address} cannot be listened on: {error.strerror}"


def _what_to_do(address: Address, flag: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        off = "" if flag == "--listen" else f", or none with {flag} ''"
        other = Address(f"{address.rpartition(':')[0]}:{(address.port + 1000) % 65536}")
        who = f"ss -ltnp 'sport = :{address.port}'"
        return f"end it ({who} names it), or choose another with {flag} {other}{off}"
    if error.errno == errno.EACCES:
        return f"ports below 1024 need a privilege: choose another with {flag} HOST:PORT"
    return f"give an address of this machine with {flag} HOST:PORT"
