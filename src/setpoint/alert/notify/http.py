"""Posts over HTTP for channels: connections are kept, nothing takes longer than its deadline, and a receiver that
answers nonsense, endlessly or not at all is an answer like any other.

`http_config` is Alertmanager's: basic_auth, authorization, tls_config, proxy_url and follow_redirects; redirects are
followed only where it says so, and the environment names no proxy unless it says so. Python's own client is used
because a request takes 0.08 ms of a processor there, a third of what httpx takes. See decision 0039.
"""

from __future__ import annotations

import base64
import http.client
import io
import socket
import ssl
import threading
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

from setpoint import __version__
from setpoint.alert.notify.channel import Answer
from setpoint.alert.notify.credential import Misconfigured, read_file, secret_of
from setpoint.clock import stopwatch

__all__ = ["Poster", "Reply", "answer_of"]

_BODY_MOST = 16_384
_KEPT_MOST = 16
_KEPT_S = 30.0
_REDIRECTS_MOST = 5
_REDIRECTS = (301, 302, 307, 308)
_ADDRESS_FAULTS = (401, 403, 404, 405, 407, 410)
"""Statuses that say that the address or the credentials are wrong, not what was sent."""
_AGAIN = (408, 425)

Left = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a receiver answered; `text` is the beginning of its body."""

    status: int
    retry_after: str = ""
    location: str = ""
    text: str = ""


def answer_of(reply: Reply) -> Answer:
    """What a status means for delivery: see `channel.AnswerKind`."""
    status = reply.status
    if 200 <= status < 300:
        return Answer("delivered")
    error = f"answered {status}"
    if 300 <= status < 400:
        host = urlsplit(reply.location).netloc.rpartition("@")[2][:200]
        error += f" (a redirect to {host or 'another path'}); write the address that it leads to"
        return Answer("misconfigured", error)
    asked = reply.retry_after.strip()
    wait_s = float(asked) if asked.isascii() and asked.isdigit() and len(asked) <= 9 else 0.0
    if status == 429:
        return Answer("slow_down", error, wait_s)
    if status in _AGAIN or status >= 500 or status < 200:
        return Answer("retry", error, wait_s)
    if status in _ADDRESS_FAULTS:
        return Answer("misconfigured", f"{error}; look at the address and the credentials")
    said = " ".join(reply.text.split())[:200]
    return Answer("refused", f"{error}: {said}" if said else error)


@dataclass(slots=True)
class _Kept:
    connection: http.client.HTTPConnection
    age_s: Left = field(default_factory=stopwatch)


class Poster:
    """Posts to addresses under one `http_config`; safe to use from several threads."""

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self._config = config or {}
        self._guard = threading.Lock()
        self._kept: dict[tuple[str, ...], list[_Kept]] = {}
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False

    def post(self, url: str, body: bytes, headers: Mapping[str, str], deadline_s: float) -> Reply | Answer:
        """Send a body; gives the reply, or an Answer where there is none."""
        took = stopwatch()

        def left() -> float:
            return deadline_s - took()

        try:
            return self._follow(url, body, {**self._headers(), **headers}, left)
        except Misconfigured as error:
            return Answer("misconfigured", str(error))
        except ssl.SSLCertVerificationError as error:
            return Answer("misconfigured", f"its certificate is not trusted: {error.verify_message}")
        except TimeoutError:
            return Answer("retry", f"did not answer within {deadline_s:.3g} s")
        except (http.client.HTTPException, OSError, ValueError) as error:
            return Answer("retry", _sentence(error))

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._guard:
            kept, self._kept = self._kept, {}
            self._is_closed = True
        for one in kept.values():
            for each in one:
                each.connection.close()

    def _follow(self, url: str, body: bytes, headers: dict[str, str], left: Left) -> Reply:
        for _ in range(_REDIRECTS_MOST):
            reply = self._once(url, body, headers, left)
            if reply.status not in _REDIRECTS or self._config.get("follow_redirects") is not True:
                return reply
            target = urljoin(url, reply.location)
            if urlsplit(target).netloc != urlsplit(url).netloc:  # the credentials are for the first host only
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise Misconfigured(
            f"it redirects more than {_REDIRECTS_MOST} times; write the address that it leads to"
        )

    def _once(self, url: str, body: bytes, headers: Mapping[str, str], left: Left) -> Reply:
        parts = _split(url)
        proxy = self._proxy(parts)
        key = (parts.scheme, parts.netloc, proxy)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if proxy and parts.scheme == "http":
            target = f"http://{parts.netloc.rpartition('@')[2]}{target}"
        kept = self._reused(key)
        if kept is not None:
            try:
                return self._exchange(kept, key, target, body, headers, left)
            except (http.client.RemoteDisconnected, ConnectionError, ssl.SSLEOFError):
                pass  # it was closed while it was idle: a new one is made
        return self._exchange(self._connect(parts, proxy, left), key, target, body, headers, left)

    def _exchange(  # noqa: PLR0917 — what a request is made of
        self,
        connection: http.client.HTTPConnection,
        key: tuple[str, ...],
        target: str,
        body: bytes,
        headers: Mapping[str, str],
        left: Left,
    ) -> Reply:
        connection.response_class = partial(_Response, left=left)  # type: ignore[assignment]
        is_whole = False
        try:
            if connection.sock is not None:
                connection.sock.settimeout(_positive(left()))
            connection.request("POST", target, body, dict(headers))
            response = connection.getresponse()
            text = b""
            try:
                text = response.read(_BODY_MOST)
                is_whole = response.isclosed() and not response.will_close
            except (http.client.HTTPException, OSError):
                pass  # the status is what counts; a body that never ends says nothing more
            return Reply(
                response.status,
                response.getheader("Retry-After", ""),
                response.getheader("Location", ""),
                text.decode("utf-8", "replace"),
            )
        finally:
            if not (is_whole and self._keep(key, connection)):
                connection.close()

    def _reused(self, key: tuple[str, ...]) -> http.client.HTTPConnection | None:
        with self._guard:
            kept = self._kept.get(key, [])
            while kept:
                one = kept.pop()
                if one.age_s() < _KEPT_S:
                    return one.connection
                one.connection.close()
        return None

    def _keep(self, key: tuple[str, ...], connection: http.client.HTTPConnection) -> bool:
        with self._guard:
            kept = self._kept.setdefault(key, [])
            if len(kept) >= _KEPT_MOST or self._is_closed:
                return False
            kept.append(_Kept(connection))
            return True

    def _connect(self, parts: SplitResult, proxy: str, left: Left) -> http.client.HTTPConnection:
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        through = _split(proxy) if proxy else None
        at = (through.hostname or "", through.port or 80) if through else (host, port)
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            tls = self._config.get("tls_config") or {}
            connection = _SecureConnection(*at, timeout=_positive(left()), context=self._context())
            connection.server_name = str(tls.get("server_name") or host)
        else:
            connection = http.client.HTTPConnection(*at, timeout=_positive(left()))
        connection.response_class = partial(_Response, left=left)  # type: ignore[assignment]
        if through and parts.scheme == "https":
            connection.set_tunnel(host, port, _proxy_headers(through))
        connection.connect()
        assert isinstance(connection.sock, socket.socket)  # `connect` returned
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _proxy(self, parts: SplitResult) -> str:
        proxy = str(self._config.get("proxy_url") or "")
        host = parts.hostname or ""
        if proxy:
            exempt = [one.strip().lstrip(".") for one in str(self._config.get("no_proxy") or "").split(",")]
            is_exempt = any(one and (host == one or host.endswith(f".{one}")) for one in exempt)
            return "" if is_exempt else proxy
        if self._config.get("proxy_from_environment") is True and not urllib.request.proxy_bypass(host):
            return urllib.request.getproxies().get(parts.scheme, "")
        return ""

    def _headers(self) -> dict[str, str]:
        headers = {"User-Agent": f"Setpoint/{__version__}"}
        config = self._config
        if config.get("oauth2"):
            raise Misconfigured(
                "oauth2 is not supported; write authorization with a token, or credentials_file"
            )
        if config.get("basic_auth"):
            basic = config["basic_auth"]
            pair = f"{secret_of(basic, 'username')}:{secret_of(basic, 'password')}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif config.get("authorization"):
            bearer = config["authorization"]
            headers["Authorization"] = f"{bearer.get('type') or 'Bearer'} {secret_of(bearer, 'credentials')}"
        elif token := secret_of(config, "bearer_token"):
            headers["Authorization"] = f"Bearer {token}"
        for name, given in (config.get("http_headers") or {}).items():
            values = [*(given.get("values") or ()), *(given.get("secrets") or ())]
            values += [read_file(path) for path in given.get("files") or ()]
            headers[str(name)] = ", ".join(str(value) for value in values)
        return headers

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._config.get("tls_config") or {})
        return self._tls


def tls_context(config: Mapping[str, Any]) -> ssl.SSLContext:
    """The TLS of a `tls_config`: certificates are verified unless it says otherwise. Raises Misconfigured."""
    try:
        context = ssl.create_default_context(
            cafile=config.get("ca_file") or None, cadata=config.get("ca") or None
        )
        if config.get("cert_file"):
            context.load_cert_chain(config["cert_file"], config.get("key_file") or None)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"tls_config cannot be used: {_sentence(error)}") from error
    if config.get("insecure_skip_verify") is True:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


class _SecureConnection(http.client.HTTPSConnection):
    """TLS with a name of its own in the certificate, where `server_name` says so."""

    server_name = ""

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls = context

    def connect(self) -> None:
        http.client.HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.server_name)


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline, however slowly the bytes come."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, left: Left) -> None:
        self._raw, self._sock, self._left = raw, sock, left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(_positive(self._left()))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _TimedSocket:
    """What `HTTPResponse` needs of a socket."""

    def __init__(self, sock: socket.socket, left: Left) -> None:
        self._sock, self._left = sock, left

    def makefile(self, _mode: str) -> io.BufferedReader:
        raw = self._sock.makefile("rb", buffering=0)
        return io.BufferedReader(_Timed(raw, self._sock, self._left))


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, left: Left, **options: Any) -> None:
        super().__init__(_TimedSocket(sock, left), *args, **options)  # type: ignore[arg-type]


def _positive(seconds: float) -> float:
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _split(url: str) -> SplitResult:
    """The parts of an address. Raises Misconfigured, without the address, which may be a secret."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise Misconfigured(f"its address is no URL: {error}") from error
    is_clean = url.isascii() and url.isprintable() and " " not in url
    if parts.scheme not in ("http", "https") or not parts.hostname or not is_clean:
        raise Misconfigured(
            "its address is no URL; write one that begins with http:// or https:// and names a host"
        )
    return parts


def _proxy_headers(proxy: SplitResult) -> dict[str, str]:
    if proxy.username is None:
        return {}
    pair = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {pair}"}


def _sentence(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, socket.gaierror):
        return f"its host name cannot be resolved ({error.strerror})"
    if isinstance(error, http.client.RemoteDisconnected):
        return "closed the connection without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"its answer is no HTTP ({type(error).__name__})"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:300]
