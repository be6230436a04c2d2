"""Asks one data source over HTTP, and trusts nothing that it answers.

`Source` calls `PrometheusClient.samples` from its own threads; the request itself runs on one event loop that all
sources share (`IoLoop`), because only there the deadline holds for all of it: a server that sends one byte a second
is cut off like one that sends none. Bodies are bounded after decompression, redirects are never followed (they
would carry headers with secrets elsewhere), no proxy is taken from the environment.
"""

from __future__ import annotations

import asyncio
import base64
import threading
import zlib
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeout
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from setpoint.clock import Clock
from setpoint.errors import InvalidInput, TooLarge, Unavailable
from setpoint.telemetry.datasource.answer import Answer, VectorAnswer, read_answer, read_vector, said_by
from setpoint.telemetry.datasource.spec import ConnectionDetails
from setpoint.telemetry.scrape.fetch import USER_AGENT, plain_error
from setpoint.telemetry.scrape.spec import TlsConfig
from setpoint.telemetry.scrape.tls import tls_context, tls_state
from setpoint.telemetry.scrape.units import show_duration

__all__ = ["IoLoop", "PrometheusClient", "QueryRefused", "SourceDown"]

_T = TypeVar("_T")
_GRACE_S = 5.0
_ERROR_BODY_BYTES = 1 << 16
_SECRET_BYTES = 8192
_RETRY_AFTER_S = 5.0
_HINTS = {
    401: "; check basicAuth or bearerTokenFile",
    403: "; check the credentials and the tenant",
    404: "; check url: /api/v1/query is looked for below it",
    405: "; check url: /api/v1/query is looked for below it",
}


class SourceDown(Unavailable):
    """The data source did not answer as it should."""


class QueryRefused(InvalidInput):
    """The data source refused this query, but may answer others."""


class IoLoop:
    """One event loop in a thread of its own, started when it is first needed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def run(self, work: Coroutine[Any, Any, _T], timeout_s: float) -> _T:
        """The result of `work`, for which it should need no longer than `timeout_s`. Raises SourceDown after that."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self._running())
        except SourceDown:
            work.close()
            raise
        try:
            return future.result(timeout_s + _GRACE_S)
        except FutureTimeout:
            future.cancel()
            raise SourceDown("the request did not end in time") from None
        except CancelledError:
            raise SourceDown("the server is stopping") from None

    def close(self) -> None:
        """End the thread."""
        with self._lock:
            self._closed = True
            loop, thread = self._loop, self._thread
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_GRACE_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._closed:
                raise SourceDown("the server is stopping")
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=(self._loop,), name="datasource-io", daemon=True
                )
                self._thread.start()
            return self._loop

    @staticmethod
    def _serve(loop: asyncio.AbstractEventLoop) -> None:
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(_cancel_others())
            loop.close()


class PrometheusClient:
    """The HTTP API of one server, as `details` say. Its methods may be called from several threads."""

    def __init__(self, details: ConnectionDetails, secrets: Path, loop: IoLoop, clock: Clock) -> None:
        """`secrets` is the folder of the files that `details` name."""
        self._details, self._secrets, self._loop, self._clock = details, secrets, loop, clock
        self._limit_bytes = details.response_limit_mb << 20
        tls = details.tls
        self._tls = TlsConfig(
            ca_file=tls.ca_file,
            cert_file=tls.cert_file,
            key_file=tls.key_file,
            server_name=tls.server_name,
            insecure_skip_verify=tls.insecure_skip_verify,
        )
        self._tls_state: list[tuple[int, int] | None] | None = None
        self._client: httpx.AsyncClient | None = None
        self._method = "POST"

    def samples(self, selector: str, start_ms: int, end_ms: int) -> Answer:
        """The samples of `selector` (its text) with start_ms < t <= end_ms.

        Raises SourceDown when the server cannot answer now, QueryRefused when it will not answer this query,
        TooLarge when the answer is larger than the limit; each with what the server said.
        """
        body = self._answer_to(f"{selector}[{_range(end_ms - start_ms)}]", end_ms)
        return read_answer(body, start_ms, end_ms)

    def vector(self, query: str, at_ms: int) -> VectorAnswer:
        """The answer to an instant query: a vector, or a scalar. Raises as `samples`."""
        return read_vector(self._answer_to(query, at_ms))

    def _answer_to(self, query: str, at_ms: int) -> bytes:
        form = {
            "query": query,
            "time": f"{at_ms // 1000}.{at_ms % 1000:03d}",
            "timeout": show_duration(self._details.timeout_ms),
            "partial_response": "false",  # Thanos: an error rather than the half of the samples
        }
        return self._loop.run(self._ask(form), self._details.timeout_ms / 1000)

    def close(self) -> None:
        """Close the connections that are open."""
        client, self._client = self._client, None
        if client is not None:
            self._loop.run(client.aclose(), _GRACE_S)

    # ---- on the event loop -------------------------------------------------------------------------------

    async def _ask(self, form: Mapping[str, str]) -> bytes:
        try:
            async with asyncio.timeout(self._details.timeout_ms / 1000):
                return await self._ask_again(form)
        except TimeoutError:
            waited = show_duration(self._details.timeout_ms)
            raise SourceDown(f"no complete answer within {waited}") from None
        except httpx.ConnectError as error:
            raise SourceDown(f"cannot connect: {plain_error(error)}") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ExceptionGroup) as error:
            raise SourceDown(f"the request failed: {plain_error(error)}") from error

    async def _ask_again(self, form: Mapping[str, str]) -> bytes:
        """A connection that was kept open may be closed by the time it is used: that is no fault yet."""
        client, headers = await self._connected(), self._headers()
        try:
            return await self._request(client, headers, form)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError):
            return await self._request(client, headers, form)

    async def _request(
        self, client: httpx.AsyncClient, headers: Mapping[str, str], form: Mapping[str, str]
    ) -> bytes:
        url = f"{self._details.url}/api/v1/query"
        extensions = {"sni_hostname": name} if (name := self._tls.server_name) else None
        given: dict[str, Any] = {"data": form} if self._method == "POST" else {"params": form}
        async with client.stream(
            self._method, url, headers=headers, extensions=extensions, **given
        ) as response:
            if response.status_code == 405 and self._method == "POST":
                self._method = "GET"  # a proxy that lets only reads through
            elif response.status_code == 200:
                return await self._read(response, self._limit_bytes)
            else:
                raise await self._refusal(response)
        return await self._request(client, headers, form)

    async def _refusal(self, response: httpx.Response) -> InvalidInput | TooLarge | SourceDown:
        status = response.status_code
        told = f"HTTP status {status} {response.reason_phrase}".strip()
        if 300 <= status < 400:
            target = urlsplit(response.headers.get("location", ""))
            place = f"{target.scheme}://{target.hostname}{target.path}" if target.hostname else target.path
            return SourceDown(
                f"it redirects ({told}) to {place[:200]}, which is not followed; write where it is as url"
            )
        try:
            said = said_by(await self._read(response, _ERROR_BODY_BYTES))
        except (TooLarge, SourceDown):
            said = ""
        sentence = told + (f": {said}" if said else "") + _HINTS.get(status, "")
        if status in (400, 422):
            return QueryRefused(sentence)
        return SourceDown(sentence, self._retry_after_s(response) if status in (429, 503) else 0.0)

    def _retry_after_s(self, response: httpx.Response) -> float:
        text = response.headers.get("retry-after", "").strip()
        if not text:
            return 0.0
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            return parsedate_to_datetime(text).timestamp() - self._clock.now_ms() / 1000
        except (ValueError, OverflowError):
            return _RETRY_AFTER_S

    async def _read(self, response: httpx.Response, limit_bytes: int) -> bytes:
        """The body without compression. Raises TooLarge beyond `limit_bytes`, SourceDown when it is damaged."""
        coding = response.headers.get("content-encoding", "identity").lower()
        if coding not in ("gzip", "x-gzip", "identity", ""):
            raise SourceDown(f"its answer is encoded as '{coding[:40]}', which was not asked for")
        inflate = zlib.decompressobj(zlib.MAX_WBITS | 16) if "gzip" in coding else None
        found = bytearray()
        try:
            async for chunk in response.aiter_raw():
                found += inflate.decompress(chunk, limit_bytes + 1 - len(found)) if inflate else chunk
                if len(found) > limit_bytes or (inflate and inflate.unconsumed_tail):
                    raise TooLarge(f"its answer is larger than {limit_bytes >> 20} MB (responseLimitMb)")
        except zlib.error as error:
            raise SourceDown(f"its answer is not valid gzip: {error}") from error
        if inflate is not None and not inflate.eof:
            raise SourceDown("its answer is cut off")
        return bytes(found)

    # ---- who we are --------------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        details = self._details
        found = {"User-Agent": USER_AGENT, "Accept-Encoding": "gzip", "Accept": "application/json"}
        found |= details.headers
        found |= {name: self._secret(file) for name, file in details.header_files.items()}
        if details.tenant:
            found["X-Scope-OrgID"] = details.tenant
        if details.bearer_token_file is not None:
            found["Authorization"] = f"Bearer {self._secret(details.bearer_token_file)}"
        if (basic := details.basic_auth) is not None:
            pair = f"{basic.username}:{self._secret(basic.password_file)}"
            found["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return found

    def _secret(self, name: str) -> str:
        """What stands in a file of the secrets folder; read each time, so that it can be changed."""
        path = self._secrets / name
        try:
            with path.open("rb") as file:
                text = file.read(_SECRET_BYTES).decode("ascii").strip()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise SourceDown(f"the secret file {path} cannot be read: {reason}") from error
        except UnicodeDecodeError:
            text = ""
        if not text or not text.isprintable():
            raise SourceDown(f"the secret file {path} must hold one line of ASCII text")
        return text

    async def _connected(self) -> httpx.AsyncClient:
        state = tls_state(self._tls, self._secrets)
        if self._client is not None and state == self._tls_state:
            return self._client
        former = self._client
        try:
            verify = tls_context(self._tls, self._secrets)
        except InvalidInput as error:
            raise SourceDown(f"tls: {error.message}") from error
        self._client, self._tls_state = (
            httpx.AsyncClient(
                verify=verify,
                trust_env=False,
                follow_redirects=False,
                timeout=None,
                limits=httpx.Limits(max_connections=None, keepalive_expiry=60.0),
            ),
            state,
        )
        if former is not None:
            await former.aclose()
        return self._client


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _range(length_ms: int) -> str:
    return f"{length_ms // 1000}s" if length_ms % 1000 == 0 else f"{length_ms}ms"
