"""The faults that a service can have inside: errors, latency, a leak, a slow query, or those of a bad
release.

The runner posts the whole state to `/_fault`; handlers pass `disturb` before they work.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

__all__ = ["LEAK_LIMIT_BYTES", "FaultSwitch", "InjectedError"]

LEAK_LIMIT_BYTES = 300 << 20
_LEAK_STEP_S = 0.5
_CHUNK_BYTES = 1 << 20  # from 128 KiB on, the C library gives freed memory back to the system at once

_CAUSES = (
    "connection pool exhausted after waiting 250 ms",
    "response of the pricing rules could not be parsed",
    "lock on the session could not be taken",
)


class InjectedError(Exception):
    """What a handler raises when the switch says that this request fails."""


class FaultSwitch:
    """The state of one service's faults; used from the event loop only."""

    def __init__(self, version: str) -> None:
        self._version = version
        self._state: Mapping[str, Mapping[str, Any]] = {}
        self._leaked: list[bytearray] = []
        self._leak_debt_bytes = 0.0

    def apply(self, state: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the state: {fault: parameters}, an empty one heals. Ending a leak frees what it held."""
        self._state = {name: dict(parameters) for name, parameters in state.items()}
        if "leak" not in self._state:
            self._leaked.clear()
            self._leak_debt_bytes = 0.0

    @property
    def state(self) -> Mapping[str, Mapping[str, Any]]:
        """What was applied last."""
        return self._state

    @property
    def leaked_bytes(self) -> int:
        """What the leak holds now."""
        return sum(len(chunk) for chunk in self._leaked)

    @property
    def slow_query_rows(self) -> int:
        """How many rows a slow query walks through; 0 when queries are as they should be."""
        return int(self._state.get("slow-query", {}).get("rows", 0))

    async def disturb(self) -> None:
        """Wait and fail as the faults in force say. Raises InjectedError."""
        latency, release = self._state.get("latency"), self._state.get("version", {})
        if latency and random.random() < latency.get("ratio", 1.0):
            await asyncio.sleep(latency["latency_ms"] / 1000)
        if added_ms := release.get("latency_ms"):
            await asyncio.sleep(added_ms / 1000)
        if random.random() < self._state.get("errors", {}).get("error_ratio", 0.0):
            raise InjectedError(random.choice(_CAUSES))
        if random.random() < release.get("error_ratio", 0.0):
            raise InjectedError(f"release {self._version} reads a field that the caller does not send")

    async def leak(self) -> None:
        """Run as long as the service: grow while a leak is in force, up to `LEAK_LIMIT_BYTES`."""
        while True:
            await asyncio.sleep(_LEAK_STEP_S)
            if "leak" not in self._state:
                continue
            per_s = self._state["leak"]["mb_per_minute"] * (1 << 20) / 60
            self._leak_debt_bytes += per_s * _LEAK_STEP_S
            while self._leak_debt_bytes >= _CHUNK_BYTES:
                self._leak_debt_bytes -= _CHUNK_BYTES
                if self.leaked_bytes + _CHUNK_BYTES <= LEAK_LIMIT_BYTES:
                    self._leaked.append(bytearray(b"\x01") * _CHUNK_BYTES)  # written, so that it is resident
