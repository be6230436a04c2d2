"""The silences there are: posted, changed and ended as in Alertmanager, and kept through a restart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from setpoint.alert.model import Alert, Labels
from setpoint.alert.route.matcher import Matcher
from setpoint.alert.silence.model import Silence
from setpoint.clock import Clock
from setpoint.database import StateDatabase
from setpoint.errors import NotFound
from setpoint.timeline import Timeline

__all__ = ["SilenceBook"]


class SilenceBook:
    """Safe to use from several threads."""

    def __init__(self, database: StateDatabase, timeline: Timeline, clock: Clock) -> None:
        self._database = database
        self._timeline = timeline
        self._clock = clock
        self.version = 0

    def post(self, silence: Silence, *, actor: str | None = None) -> str:
        """Add a silence (empty id) or change one, and return its id; InvalidInput, NotFound, Unavailable."""
        raise NotFound("silences are not kept yet")

    def expire(self, silence_id: str, *, actor: str | None = None) -> None:
        """End a silence now. Raises NotFound, Unavailable."""
        raise NotFound(f"silence {silence_id} not found")

    def all(self) -> list[Silence]:
        """Every silence, expired ones that are kept included; newest change last."""
        return []

    def get(self, silence_id: str) -> Silence | None:
        """One silence."""
        return None

    def mutes(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """The ids of the silences that are active at an instant and match, sorted."""
        return ()

    def preview(self, matchers: Sequence[Matcher], alerts: Iterable[Alert]) -> list[Alert]:
        """Which of `alerts` a silence with these matchers would mute."""
        return [one for one in alerts if all(matcher.matches(one.labels) for matcher in matchers)]

    def next_change_ms(self, at_ms: int) -> int | None:
        """The first instant after `at_ms` at which any silence begins or ends to mute; None when none does."""
        return None

    def refresh(self) -> bool:
        """Read what another replica wrote; whether anything did."""
        return False
