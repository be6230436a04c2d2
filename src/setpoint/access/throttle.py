"""How often somebody may guess: each failure of an address, and of a name, doubles the wait before the next try.

`web.signin` asks before it looks at a password. In memory, bounded, and forgotten a while after the last failure. A
name waits half a minute at most, so that who guesses cannot keep its owner out; an address waits up to a quarter of an
hour.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from setpoint.clock import Clock

__all__ = ["Throttle"]

_FREE = 5
_WAIT_MS_MAX = {"address": 900_000, "name": 30_000}
_HERE = frozenset({"127.0.0.1", "::1"})
_FORGOTTEN_MS = 1_800_000
_KNOWN_MAX = 10_000


class Throttle:
    """The failures of addresses and names. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def wait_s(self, address: str, name: str) -> float:
        """How long this address must wait before it may try this name; 0 when it may now."""
        now_ms = self._clock.now_ms()
        with self._guard:
            return max(self._wait_ms(key, now_ms) for key in _keys(address, name)) / 1000

    def failed(self, address: str, name: str) -> None:
        """Count a try that failed."""
        now_ms = self._clock.now_ms()
        with self._guard:
            for key in _keys(address, name):
                count, at_ms = self._failures.pop(key, (0, now_ms))
                is_old = not 0 <= now_ms - at_ms < _FORGOTTEN_MS
                self._failures[key] = (1 if is_old else count + 1), now_ms
            while len(self._failures) > _KNOWN_MAX:
                self._failures.popitem(last=False)

    def succeeded(self, address: str, name: str) -> None:
        """The try that was counted last did not fail. The name's failures are forgotten; those of the address stay, or
        a guesser's own account would reset them.
        """
        with self._guard:
            self._failures.pop(("name", name), None)
            count, at_ms = self._failures.get(("address", address), (0, 0))
            if count:
                self._failures["address", address] = count - 1, at_ms

    def _wait_ms(self, key: tuple[str, str], now_ms: int) -> int:
        count, at_ms = self._failures.get(key, (0, 0))
        if count < _FREE or not now_ms - at_ms >= 0:
            return 0
        # Behind a proxy on this machine that names nobody, everybody comes from here.
        most_ms = _WAIT_MS_MAX["name" if key[1] in _HERE else key[0]]
        wait_ms = min(1000 << min(count - _FREE, 20), most_ms)
        return max(0, at_ms + wait_ms - now_ms)


def _keys(address: str, name: str) -> list[tuple[str, str]]:
    return [("address", address), *([("name", name)] if name else [])]
