"""What counting history waits for, and how long: told once, not at each attempt. `own` and `fetched` wait with it."""

from __future__ import annotations

import logging

from setpoint.errors import SetpointError, Unavailable

__all__ = ["LOOK_S", "Waiting"]

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often is looked whether there is something to count."""

_LONGEST_S = 60.0


class Waiting:
    """The last reason to wait, until it is over."""

    def __init__(self, place: str = "") -> None:
        """`place` is told beside the reason, such as " for data source prom"."""
        self._place = place
        self._reason = ""

    def pause_s(self, error: SetpointError) -> float:
        """Wait because of `error`: seconds until the next attempt, as many as it asks for within limits."""
        if self._reason != error.message:
            log.warning("history of objectives waits%s: %s", self._place, error.message)
        self._reason = error.message
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else 0.0
        return min(_LONGEST_S, max(LOOK_S, asked_s))

    def over(self) -> None:
        """It succeeded: the same reason is told again."""
        self._reason = ""
