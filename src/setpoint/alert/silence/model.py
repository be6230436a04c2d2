"""What a silence is, and what it is at an instant. `SilenceBook` keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from setpoint.alert.model import Labels
from setpoint.alert.route.matcher import Matcher, matches_all
from setpoint.resource.recurrence import Recurrence, next_spans, spans_of

__all__ = ["Recurrence", "Silence", "SilenceState"]

SilenceState = Literal["pending", "active", "expired"]

_MINUTE_MS = 60_000
_HORIZONS_MINUTES = (8 * 1440, 400 * 1440)
_FARTHEST_MINUTES = 10 * 366 * 1440


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that all `matchers` match do not notify from `starts_ms` to before `ends_ms` (Unix milliseconds); with a
    `recurrence`, only within its occurrences between the two. An empty `id` is one that was not posted yet.
    """

    id: str
    matchers: tuple[Matcher, ...]
    starts_ms: int
    ends_ms: int
    created_by: str
    comment: str
    updated_ms: int = 0
    recurrence: Recurrence | None = None

    def matches(self, labels: Labels) -> bool:
        """Whether labels are what it is about, at whatever time."""
        return matches_all(self.matchers, labels)

    def state(self, at_ms: int) -> SilenceState:
        """What it is at an instant. A recurring one is pending between its occurrences, and expired after the last."""
        if at_ms >= self.ends_ms:
            return "expired"
        if at_ms < self.starts_ms:
            return "pending"
        if self.recurrence is None or self._occurrence(at_ms) is not None:
            return "active"
        return "pending" if self._next_start(at_ms) is not None else "expired"

    def is_active(self, at_ms: int) -> bool:
        """Whether it mutes at an instant."""
        if not self.starts_ms <= at_ms < self.ends_ms:
            return False
        return self.recurrence is None or self._occurrence(at_ms) is not None

    def next_change_ms(self, at_ms: int) -> int | None:
        """The first instant after `at_ms` at which it begins or ends to mute; None when it never does again."""
        if at_ms < self.starts_ms and (self.recurrence is None or self.is_active(self.starts_ms)):
            return self.starts_ms
        if at_ms >= self.ends_ms:
            return None
        if self.recurrence is None:
            return self.ends_ms
        current = self._occurrence(at_ms) if at_ms >= self.starts_ms else None
        found = current[1] if current is not None else self._next_start(max(at_ms, self.starts_ms))
        return None if found is None else min(found, self.ends_ms)

    def _occurrence(self, at_ms: int) -> tuple[int, int] | None:
        """The occurrence of the recurrence that holds an instant, in Unix milliseconds."""
        assert self.recurrence is not None
        minute = at_ms // _MINUTE_MS
        for first, end in spans_of(self.recurrence, minute, minute + 1):
            return first * _MINUTE_MS, end * _MINUTE_MS
        return None

    def _next_start(self, at_ms: int) -> int | None:
        """When the next occurrence begins that begins before the silence ends."""
        assert self.recurrence is not None
        after = at_ms // _MINUTE_MS
        last = -(-self.ends_ms // _MINUTE_MS) - after
        # Most come soon: what is far ahead need not be computed for them.
        for horizon in (*(one for one in _HORIZONS_MINUTES if one < last), min(last, _FARTHEST_MINUTES)):
            for first, _ in next_spans(self.recurrence, after, 1, max(1, horizon)):
                return first * _MINUTE_MS if first * _MINUTE_MS < self.ends_ms else None
        return None
