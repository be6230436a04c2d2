"""Fetches bodies over HTTP for targets (`scraper`) and for `discover.http`, within time, bytes and patience.

A target is not trusted: it may hang, never end, inflate a thousandfold, send its body byte by byte or
redirect to itself. Each of these ends its own request and costs nobody else more than a few milliseconds.
Redirects keep credentials on the host that they were meant for. No proxy is taken from the environment.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from setpoint import __version__
from setpoint.errors import InvalidInput, TooLarge, Unavailable
from setpoint.telemetry.scrape.spec import HttpClient, Protocol
from setpoint.telemetry.scrape.tls import tls_context, tls_state
from setpoint.telemetry.scrape.units import show_duration

__all__ = ["USER_AGENT", "Answer", "Fetcher", "Room", "accept_header", "plain_error"]

USER_AGENT = f"Setpoint/{__version__}"

_REDIRECTS_MAX = 10
_IDLE_S = 300.0
_SMALL_CHUNKS_MAX, _SMALL_BYTES = 20_000, 16
"""A body of more chunks than this may not have chunks of less than so many bytes on average: each costs more
to take apart than it brings.
"""

_CHUNKS_AT_ONCE = 50
_STEP_BYTES = 1 << 16
_MEDIA = {
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
    "PrometheusText1.0.0": "text/plain;version=1.0.0;escaping=allow-utf-8",
    "OpenMetricsText0.0.1": "application/openmetrics-text;version=0.0.1",
    "OpenMetricsText1.0.0": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8",
}


def accept_header(protocols: Sequence[Protocol]) -> str:
    """The `Accept` header that asks for these formats, the first one most."""
    known = [_MEDIA[protocol] for protocol in protocols if protocol in _MEDIA]
    weighted = [f"{media};q=0.{len(_MEDIA) + 2 - place}" for place, media in enumerate(known)]
    return ",".join([*weighted, "*/*;q=0.1"])


class Room:
    """The bytes that bodies may take in memory at a time, all requests together. For one event loop."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Raises Unavailable when there is no room."""
        if self._taken_bytes + size_bytes > self._limit_bytes:
            raise Unavailable(
                f"the bodies of all targets together exceed {self._limit_bytes >> 20} MB; set body_size_limit"
            )
        self._taken_bytes += size_bytes

    def give(self, size_bytes: int) -> None:
        """Return what was taken."""
        self._taken_bytes -= size_bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """A body as it came over the wire; `inflated` is it without compression."""

    raw: bytes
    is_compressed: bool
    content_type: str

    def inflated(self, limit_bytes: int) -> bytes:
        """The body. Raises InvalidInput when it is damaged, TooLarge beyond `limit_bytes`."""
        if not self.is_compressed:
            return self.raw
        found = bytearray()
        stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
        try:
            for start in range(0, len(self.raw), _STEP_BYTES):
                found += stream.decompress(
                    self.raw[start : start + _STEP_BYTES], limit_bytes + 1 - len(found)
                )
                if len(found) > limit_bytes or stream.unconsumed_tail:
                    raise too_large(limit_bytes)
        except zlib.error as error:
            raise InvalidInput(f"the body is not valid gzip: {error}") from error
        if not stream.eof:
            raise InvalidInput("the gzip body is cut off")
        return bytes(found)


def too_large(limit_bytes: int) -> TooLarge:
    """The error for a body beyond its limit."""
    return TooLarge(f"body_size_limit exceeded: the body is larger than {limit_bytes:,} bytes")


class Fetcher:
    """Makes requests as an `HttpClient` configures them; keeps connections open. For one event loop."""

    def __init__(self, spec: HttpClient, folder: Path, room: Room) -> None:
        self._spec, self._folder, self._room = spec, folder, room
        self._secrets: dict[Path, tuple[tuple[int, int], str]] = {}
        self._tls_state = tls_state(spec.tls_config, folder)
        self._client = self._connect()
        self._former: list[httpx.AsyncClient] = []
        self._in_use: list[httpx.AsyncClient] = []

    @asynccontextmanager
    async def get(
        self, url: str, headers: Mapping[str, str], timeout_ms: int, limit_bytes: int
    ) -> AsyncIterator[Answer]:
        """The body at `url`, which takes room until the block ends. Raises Unavailable, InvalidInput or
        TooLarge with a sentence that says what went wrong.
        """
        answer = await self._get_in_time(url, headers, timeout_ms, limit_bytes)
        try:
            yield answer
        finally:
            self._room.give(len(answer.raw))

    async def _get_in_time(
        self, url: str, headers: Mapping[str, str], timeout_ms: int, limit_bytes: int
    ) -> Answer:
        client = self._client
        self._in_use.append(client)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await self._get_again(client, url, headers, limit_bytes)
        except TimeoutError:
            raise Unavailable(f"no complete answer within {show_duration(timeout_ms)}") from None
        except httpx.TooManyRedirects:
            raise Unavailable(f"it redirects more than {_REDIRECTS_MAX} times") from None
        except httpx.ConnectError as error:
            raise Unavailable(f"cannot connect: {plain_error(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
            raise Unavailable(f"the request failed: {plain_error(error)}") from error
        finally:
            self._in_use.remove(client)

    async def refresh(self) -> None:
        """Use certificates that have changed on disk; connections are made anew then."""
        state = tls_state(self._spec.tls_config, self._folder)
        if state != self._tls_state:
            client = self._connect()
            self._tls_state = state
            self._former.append(self._client)
            self._client = client
        for former in [one for one in self._former if one not in self._in_use]:
            self._former.remove(former)
            await former.aclose()

    async def close(self) -> None:
        """Close every connection."""
        for one in (self._client, *self._former):
            await one.aclose()

    async def _get_again(
        self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limit_bytes: int
    ) -> Answer:
        """A connection that was kept open may be closed by the time it is used: that is no fault yet."""
        try:
            return await self._get(client, url, headers, limit_bytes)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return await self._get(client, url, headers, limit_bytes)

    async def _get(
        self, client: httpx.AsyncClient, url: str, headers: Mapping[str, str], limit_bytes: int
    ) -> Answer:
        sent = {"User-Agent": USER_AGENT, **headers, **self._authorization()}
        extensions = {"sni_hostname": name} if (name := self._spec.tls_config.server_name) else None
        async with client.stream("GET", url, headers=sent, extensions=extensions) as response:
            if response.status_code != 200:
                reason = f"{response.status_code} {response.reason_phrase}".strip()
                raise Unavailable(f"the target answered HTTP status {reason}")
            length = response.headers.get("content-length", "")
            if length.isdigit() and int(length) > limit_bytes:
                raise too_large(limit_bytes)
            raw = await self._read(response, limit_bytes)
            return Answer(
                raw,
                response.headers.get("content-encoding", "").lower() == "gzip",
                response.headers.get("content-type", ""),
            )

    async def _read(self, response: httpx.Response, limit_bytes: int) -> bytes:
        found, chunks = bytearray(), 0
        try:
            async for chunk in response.aiter_raw():
                self._room.take(len(chunk))
                found += chunk
                chunks += 1
                if len(found) > limit_bytes:
                    raise too_large(limit_bytes)
                if chunks > _SMALL_CHUNKS_MAX and len(found) < chunks * _SMALL_BYTES:
                    raise InvalidInput(f"the body comes in pieces of less than {_SMALL_BYTES} bytes")
                if chunks % _CHUNKS_AT_ONCE == 0:
                    await asyncio.sleep(0)  # what is read already does not wait by itself
        except BaseException:
            self._room.give(len(found))
            raise
        return bytes(found)

    # ---- who we are --------------------------------------------------------------------------------------

    def _authorization(self) -> dict[str, str]:
        spec = self._spec
        if (basic := spec.basic_auth) is not None:
            password = self._secret(basic.password.get_secret_value(), basic.password_file)
            pair = base64.b64encode(f"{basic.username}:{password}".encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        kind, given, file = "Bearer", spec.bearer_token.get_secret_value(), spec.bearer_token_file
        if (one := spec.authorization) is not None:
            kind, given, file = one.type.strip(), one.credentials.get_secret_value(), one.credentials_file
        credentials = self._secret(given, file)
        return {"Authorization": f"{kind} {credentials}"} if credentials else {}

    def _secret(self, given: str, name: str | None) -> str:
        """The secret, from its file where it has one; read again when that changes. Raises Unavailable."""
        if name is None:
            return given
        path = self._folder / name
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            known = self._secrets.get(path)
            if known is None or known[0] != stamp:
                known = self._secrets[path] = (stamp, path.read_text("utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise Unavailable(f"the file {path} cannot be read: {reason.lower()}") from error
        return known[1]

    def _connect(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            verify=tls_context(self._spec.tls_config, self._folder),
            trust_env=False,
            follow_redirects=self._spec.follow_redirects,
            max_redirects=_REDIRECTS_MAX,
            timeout=None,
            limits=httpx.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=_IDLE_S
            ),
        )


def plain_error(error: BaseException) -> str:
    """What went wrong, on one line: what the system said, which lies below what libraries make of it."""
    while isinstance(error, BaseExceptionGroup):  # anyio: each address of a name is a task of its own
        error = error.exceptions[0]
    said = error
    below: BaseException | None = error
    while below is not None:
        if isinstance(below, OSError) and below.errno:
            said = below
        below = below.__cause__ or below.__context__
    if isinstance(said, OSError) and said.errno and not isinstance(said, (ssl.SSLError, socket.gaierror)):
        return os.strerror(said.errno).lower()
    told = (said.strerror or "").lower() if isinstance(said, socket.gaierror) else str(said)
    return " ".join(told.split())[:300] or type(said).__name__
