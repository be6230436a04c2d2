"""The runner's line to the server: which faults should be in force, and the deploys that go on the timeline.

The server may be away for a while (it restarts, it is upgraded): then the last answer stands, and what is to
be told waits. Plain HTTP, as anybody could do it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

__all__ = ["ServerLink", "Told"]

_TIMEOUT_S = 2.0
_WAITING_MAX = 100


@dataclass(frozen=True, slots=True)
class Told:
    """A fault as the server tells it."""

    service: str
    fault: str
    parameters: Mapping[str, Any]


class ServerLink:
    """Polls the server and posts to it; never raises because the server is away."""

    def __init__(self, server_url: str, token: str, say: Callable[[str], None]) -> None:
        headers = {"X-Setpoint-Actor": "shop"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._client = httpx.Client(
            base_url=server_url,
            headers=headers,
            timeout=_TIMEOUT_S,
            trust_env=False,
            verify=server_url[:5] == "https",
        )
        self._say = say
        self._faults: tuple[Told, ...] = ()
        self._complaint = ""
        self._is_first = True
        self._waiting: deque[dict[str, Any]] = deque(maxlen=_WAITING_MAX)

    def poll(self) -> tuple[Told, ...]:
        """The faults that should be in force: the server's word, or its last one while it is away.

        The first answer is replaced by none: faults of an earlier run of the shop are healed, because a fault
        ends with the process that has it.
        """
        answer = self._send("GET", "/api/demo/faults")
        if answer is None:
            return self._faults
        found = _read(answer)
        if self._is_first and found:
            if self._send("DELETE", "/api/demo/faults") is None:
                return self._faults
            found = ()
        self._is_first = False
        self._faults = found
        return found

    def deploy(self, service: str, version: str, previous: str, key: str) -> None:
        """Put a deploy of `service` on the timeline, now or when the server is back; `key` makes it happen
        once."""
        self._waiting.append(
            {
                "kind": "deploy",
                "summary": f"{service} {version} deployed (was {previous})",
                "service": service,
                "data": {"version": version, "previous": previous},
                "key": key,
            }
        )
        self.deliver()

    def deliver(self) -> None:
        """Post what waits, in order, as far as the server takes it."""
        while self._waiting and self._send("POST", "/api/timeline", self._waiting[0]) is not None:
            self._waiting.popleft()

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer; None when the server is away or refuses, which is said once."""
        try:
            answer = self._client.request(method, path, json=body)
            answer.raise_for_status()
            found = answer.json() if answer.content else {}
        except httpx.HTTPStatusError as error:
            self._complain(f"the server answered {error.response.status_code} to {method} {path}")
            # What it calls wrong stays wrong; keeping it would only hold up what comes after it.
            return {} if method == "POST" and error.response.status_code in (400, 404, 422) else None
        except (httpx.HTTPError, ValueError) as error:
            self._complain(f"the server does not answer ({error or type(error).__name__}); the shop goes on")
            return None
        if self._complaint:
            self._complaint = ""
            self._say("the server answers again")
        return found

    def _complain(self, complaint: str) -> None:
        if not self._complaint:
            self._say(complaint)
        self._complaint = complaint


def _read(answer: Any) -> tuple[Told, ...]:
    return tuple(Told(one["service"], one["fault"], one["parameters"]) for one in answer["items"])
