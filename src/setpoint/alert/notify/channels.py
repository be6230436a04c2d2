"""The channel of an integration, by its kind. A channel's folder is imported when it is first needed: Apprise alone
costs a quarter of a second and 36 MB.
"""

from __future__ import annotations

from importlib import import_module
from typing import Final

from setpoint.alert.notify.channel import About, Answer, Channel, IntegrationLike
from setpoint.alert.notify.model import Notification

__all__ = ["SENDABLE", "channel_for"]

_FOLDERS: Final = {"webhook": "webhook", "email": "email", "pagerduty": "pagerduty"}
_BY_APPRISE: Final = (
    "apprise", "discord", "mattermost", "msteams", "msteamsv2", "opsgenie", "pushover", "rocketchat", "slack", "sns",
    "telegram", "victorops", "webex",
)  # fmt: skip

SENDABLE: Final = frozenset((*_FOLDERS, *_BY_APPRISE))
"""The kinds of integrations that can be sent to."""


def channel_for(integration: IntegrationLike) -> Channel:
    """The channel of an integration. Imports its folder."""
    kind = integration.kind
    if kind not in SENDABLE:
        return _Unknown(kind)
    module = import_module(f"setpoint.alert.notify.{_FOLDERS.get(kind, 'apprise')}")
    channel: Channel = module.make(integration)
    return channel


class _Unknown:
    """Stands for a kind that Setpoint cannot send to: nothing is lost, and the status says why nothing goes out."""

    can_bundle = False
    per_minute = 0.0

    def __init__(self, kind: str) -> None:
        self.contacts: tuple[str, ...] = ()
        self._kind = kind

    def send(self, notification: Notification, about: About) -> Answer:
        """Say that it cannot be sent."""
        return Answer("misconfigured", f"Setpoint cannot send to {self._kind}_configs; use another channel")

    def close(self) -> None:
        """Nothing is open."""
