"""What happens again and again, told once and then as a number: sign-ins that fail, changes that are refused.

`Directory.tend` tells what is due. So a guesser fills neither the timeline nor the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from setpoint.clock import Clock
from setpoint.timeline import Timeline

__all__ = ["Bundles"]

_WINDOW_MS = 600_000
_OPEN_MAX = 500


@dataclass(slots=True)
class _Bundle:
    kind: str
    summary: str
    actor: str
    data: Mapping[str, Any]
    since_ms: int
    more: int = 0


class Bundles:
    """Events of the last ten minutes by what they are about. Thread-safe."""

    def __init__(self, timeline: Timeline, clock: Clock) -> None:
        self._timeline = timeline
        self._clock = clock
        self._guard = threading.Lock()
        self._open: dict[tuple[str, str], _Bundle] = {}

    def note(self, kind: str, about: str, summary: str, actor: str, data: Mapping[str, Any]) -> None:
        """Tell it when it is the first of its kind about this, else count it. Raises Unavailable."""
        with self._guard:
            key = (kind, about)
            if key not in self._open and len(self._open) >= _OPEN_MAX:
                key = (kind, "")
            known = self._open.get(key)
            if known is not None:
                known.more += 1
                return
            self._open[key] = _Bundle(kind, summary, actor, data, self._clock.now_ms())
        self._timeline.append(kind, summary, actor=actor, data=data)

    def tell_due(self) -> None:
        """Tell how often what was told before happened again. Raises Unavailable."""
        now_ms = self._clock.now_ms()
        with self._guard:
            # A clock that was set back makes everything due, or it would never be.
            due = [key for key, one in self._open.items() if not 0 <= now_ms - one.since_ms < _WINDOW_MS]
            ended = [self._open.pop(key) for key in due]
        for one in ended:
            if one.more:
                times = "once more" if one.more == 1 else f"{one.more:,} more times"
                data = {**one.data, "more": one.more, "since_ms": one.since_ms}
                self._timeline.append(one.kind, f"{one.summary}, {times}", actor=one.actor, data=data)
