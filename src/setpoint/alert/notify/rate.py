"""How many messages a contact takes: a token bucket for each address, shared by all integrations that write to it."""

from __future__ import annotations

import threading

__all__ = ["Buckets"]

_BURST_MINUTES = 0.5
_ROOM_MOST = 10_000
_CLOSE = 1e-6


class Buckets:
    """The buckets of all contacts. A bucket holds what a contact takes in half a minute, and fills with time.
    Thread-safe; instants are Unix milliseconds, and a clock that is set back only delays the filling.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._tokens: dict[str, tuple[float, int]] = {}

    def available(self, contacts: tuple[str, ...], per_minute: float, now_ms: int) -> int:
        """How many messages may go to all of these contacts now."""
        if per_minute <= 0:
            return _ROOM_MOST
        with self._guard:
            return int(
                _CLOSE + min((self._of(one, per_minute, now_ms) for one in contacts), default=_ROOM_MOST)
            )

    def take(self, contacts: tuple[str, ...], per_minute: float, now_ms: int) -> bool:
        """Take a token of each contact; False, and none is taken, when one has none."""
        if per_minute <= 0:
            return True
        with self._guard:
            left = {one: self._of(one, per_minute, now_ms) for one in contacts}
            if any(tokens < 1 - _CLOSE for tokens in left.values()):
                return False
            for one, tokens in left.items():
                self._tokens[one] = max(0.0, tokens - 1), now_ms
            return True

    def ready_ms(self, contacts: tuple[str, ...], per_minute: float, now_ms: int) -> int:
        """When the next message may go to all of these contacts."""
        with self._guard:
            least = min((self._of(one, per_minute, now_ms) for one in contacts), default=1.0)
        return now_ms if least >= 1 - _CLOSE else now_ms + max(1, round((1 - least) * 60_000 / per_minute))

    def _of(self, contact: str, per_minute: float, now_ms: int) -> float:
        full = max(1.0, per_minute * _BURST_MINUTES)
        tokens, at_ms = self._tokens.get(contact, (full, now_ms))
        tokens = min(full, tokens + max(0, now_ms - at_ms) * per_minute / 60_000)
        self._tokens[contact] = tokens, now_ms
        return tokens
