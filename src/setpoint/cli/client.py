"""HTTP to the Setpoint server, from every command that needs one.

Built on `http.client`, which is on disk already and starts in milliseconds. A read is repeated for a few
seconds while the server restarts; a change is sent once, because the caller cannot know how far the first one
came.
"""

from __future__ import annotations

import getpass
import http.client
import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from setpoint.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    Problem,
    SetpointError,
    TooLarge,
    Unavailable,
)

__all__ = ["Client", "NotReachable", "segment"]

_TIMEOUT_S = 60.0
_ATTEMPTS = 5
_KINDS: dict[int, type[SetpointError]] = {
    400: InvalidInput,
    401: Forbidden,
    403: Forbidden,
    404: NotFound,
    405: NotFound,
    409: Conflict,
    413: TooLarge,
    422: InvalidInput,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


class NotReachable(Unavailable):
    """Nothing answers at the server's address; start a server with: setpoint up"""


class Client:
    """A connection to one server. Raises the errors of `setpoint.errors`, made from the server's answer."""

    def __init__(self, server: str, token: str = "", timeout_s: float = _TIMEOUT_S) -> None:
        parts = urlsplit(server if "://" in server else f"http://{server}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise InvalidInput(f"'{server}' is not a server's address\nwrite --server http://HOST:PORT")
        self.address = f"{parts.scheme}://{parts.netloc}"
        self._host, self._port, self._is_tls = parts.hostname, port, parts.scheme == "https"
        self._prefix = parts.path.rstrip("/")
        self._token = token
        self._cookie = ""
        self._is_signing_in = False
        self._timeout_s = timeout_s

    def get(self, path: str, **parameters: Any) -> Any:
        """The JSON at `path`; repeats while the server restarts. Leaves out parameters that are None."""
        path = _with(path, parameters)
        try:
            return self._call("GET", path)
        except NotReachable:
            raise
        except Unavailable:
            return self._get_again(path)

    def text(self, path: str, **parameters: Any) -> str:
        """What stands at `path` when it is not JSON, such as Markdown; leaves out parameters that are None."""
        status, body = self._send("GET", _with(path, parameters))
        if status >= 400:
            self._read(status, body)
        return body.decode()

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send `body` as JSON, once."""
        return self._call("POST", path, json.dumps(body).encode())

    def sign_in(self, name: str, password: str) -> None:
        """Be this user from now on. Raises Forbidden."""
        self._is_signing_in = True
        self._call("POST", "/login", json.dumps({"name": name, "password": password}).encode())

    def sign_out(self) -> None:
        """End what `sign_in` began."""
        self._call("POST", "/logout", b"{}")

    def delete(self, path: str) -> Any:
        """Delete what is at `path`, once."""
        return self._call("DELETE", path)

    def _get_again(self, path: str) -> Any:
        import stamina
        import stamina.instrumentation

        stamina.instrumentation.set_on_retry_hooks(
            []
        )  # a person waits for an answer, not for a log of attempts
        for attempt in stamina.retry_context(
            on=_is_passing, attempts=_ATTEMPTS, timeout=10.0, wait_initial=0.2
        ):
            with attempt:
                return self._call("GET", path)
        raise AssertionError("stamina raises the last error")

    def _call(self, method: str, path: str, body: bytes | None = None) -> Any:
        return self._read(*self._send(method, path, body))

    def _send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=self._timeout_s)
        try:
            try:
                connection.connect()
            except OSError as error:
                raise NotReachable(
                    f"no server answers at {self.address} ({error.strerror or error})\n"
                    "start one with 'setpoint up' or 'setpoint demo', or say where it is with --server"
                ) from error
            connection.request(method, self._prefix + path, body, self._headers(body))
            answer = connection.getresponse()
            self._cookie = (answer.getheader("Set-Cookie") or self._cookie).partition(";")[0]
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(
                f"the server at {self.address} broke off without an answer ({error or type(error)})\n"
                "it may be restarting: try again in a few seconds"
            ) from error
        finally:
            connection.close()

    def _headers(self, body: bytes | None) -> dict[str, str]:
        headers = {"Accept": "application/json", "X-Setpoint-Actor": _login_name()}
        if body is not None:
            headers["Content-Type"] = "application/json"
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        if self._cookie:
            headers["Cookie"] = self._cookie
        return headers

    def _read(self, status: int, body: bytes) -> Any:
        try:
            content = json.loads(body) if body else None
        except ValueError as error:
            if status < 400:
                raise SetpointError(
                    f"{self.address} did not answer in JSON, so it is not a Setpoint server\n"
                    "say where Setpoint is with --server"
                ) from error
            content = None
        if status >= 400:
            raise self._error(status, content)
        return content

    def _error(self, status: int, content: Any) -> SetpointError:
        error = content.get("error") if isinstance(content, dict) else None
        if isinstance(error, str):  # Prometheus's form, from /api/v1
            error = {"message": error}
        details = error if isinstance(error, dict) else {}
        message = str(
            details.get("message") or f"the server at {self.address} answered {status} without a reason"
        )
        if status == 401 and not self._token and not self._is_signing_in and "SETPOINT_TOKEN" not in message:
            message += "\ngive a token with SETPOINT_TOKEN or --token"
        found = [_problem(problem) for problem in details.get("problems") or []]
        kind = _KINDS.get(status, SetpointError)
        if issubclass(kind, InvalidInput):
            return kind("\n".join(_said_once(message, found)), tuple(found))
        return kind("\n".join(_said_once(message, found)))


def _with(path: str, parameters: Mapping[str, Any]) -> str:
    given = [(name, value) for name, value in parameters.items() if value is not None]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _is_passing(error: Exception) -> bool:
    return isinstance(error, Unavailable)


def _problem(given: Any) -> Problem:
    if not isinstance(given, dict):
        return Problem(str(given))
    return Problem(str(given.get("message", "")), given.get("file"), given.get("line"), given.get("path"))


def _said_once(message: str, problems: list[Problem]) -> list[str]:
    """The message and the problems that it does not quote already."""
    lines = [text for problem in problems if (text := str(problem)) not in message]
    return [message, *lines]


def segment(name: str) -> str:
    """`name` as one segment of a path."""
    return quote(name, safe="")


def _login_name() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may run as a user without a name
        name = f"uid-{os.getuid()}"
    return name.encode("ascii", "replace").decode()
