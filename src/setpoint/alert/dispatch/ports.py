"""What the dispatcher needs of others, as they are seen from here; `app` hands them in, tests hand in simple ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from setpoint.alert.model import Alert, Labels
from setpoint.alert.notify.model import Notification
from setpoint.database import Transaction

__all__ = ["InhibitorPort", "NoInhibitor", "NoOutbox", "OutboxPort", "SilencesPort"]


class SilencesPort(Protocol):
    """`alert.silence.SilenceBook`; `version` grows with each change."""

    version: int

    def mutes(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """Ids of the silences that mute these labels at an instant."""
        ...

    def refresh(self) -> bool:
        """Read what another replica wrote."""
        ...


class InhibitorPort(Protocol):
    """`alert.route.inhibit.Inhibitor`."""

    def follow(self, alerts: Sequence[Alert]) -> Any:
        """Take alerts that changed."""
        ...

    def forget(self, alerts: Sequence[Alert]) -> Any:
        """These are gone."""
        ...

    def inhibited_by(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """Fingerprints of the alerts that mute these labels at an instant."""
        ...


class OutboxPort(Protocol):
    """`alert.notify.Outbox`."""

    on_delivered: Callable[[Transaction, Notification, int], None]

    def put(
        self, notifications: Sequence[Notification], *, guard: Callable[[Transaction], None] | None = None
    ) -> None:
        """Store notifications; `guard` is called in the transaction before, and may raise."""
        ...

    def waiting(self, receiver: str, integration: str, group_key: str) -> Notification | None:
        """The newest that was put and is not heard yet."""
        ...


class NoInhibitor:
    """Where there are no rules of inhibition."""

    def follow(self, alerts: Sequence[Alert]) -> None:
        """Nothing to learn."""

    def forget(self, alerts: Sequence[Alert]) -> None:
        """Nothing to forget."""

    def inhibited_by(self, labels: Labels, at_ms: int) -> tuple[str, ...]:
        """Nothing mutes."""
        return ()


class NoOutbox:
    """Keeps what it is given, and delivers nothing."""

    def __init__(self) -> None:
        self.on_delivered: Callable[[Transaction, Notification, int], None] = lambda *_: None
        self.kept: dict[tuple[str, str, str], Notification] = {}

    def put(
        self, notifications: Sequence[Notification], *, guard: Callable[[Transaction], None] | None = None
    ) -> None:
        """Keep them in memory."""
        for one in notifications:
            self.kept[one.receiver, one.integration, one.group_key] = one

    def waiting(self, receiver: str, integration: str, group_key: str) -> Notification | None:
        """The newest of a group."""
        return self.kept.get((receiver, integration, group_key))
