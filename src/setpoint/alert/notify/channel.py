"""What a channel is: it takes a notification to a receiver, and says what became of it.

`channel_for` makes the channel of an integration (its folder is imported then, not before); the outbox's lanes call
`send`, each in threads of its own, so a channel may wait for its receiver, but never longer than the deadline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.text import Texts

__all__ = ["About", "Answer", "AnswerKind", "Channel", "IntegrationLike"]

AnswerKind = Literal["delivered", "retry", "slow_down", "refused", "misconfigured"]
"""`retry`: the network, or a receiver that is ill. `slow_down`: it wants fewer. `refused`: it will not take this
content. `misconfigured`: the address, a secret or a file is wrong; the content is not to blame.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an attempt. `retry_after_s` is what the receiver asked for (0: nothing). `reached` are those of a
    channel's contacts that have it now, where one notification goes to several.
    """

    kind: AnswerKind
    error: str = ""
    retry_after_s: float = 0.0
    reached: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the receiver has it."""
        return self.kind == "delivered"


def _no_secret(name: str) -> str:
    raise ValueError(f"no secrets folder is known for {name}")


@dataclass(frozen=True, slots=True)
class About:
    """What a channel needs to know beside the notification.

    `key` names the content over all attempts (for headers, Message-ID and the like); `attempt` counts from 1;
    `already` are the contacts that have it from earlier attempts. `read_secret` gives what stands in a file of the
    secrets folder and raises InvalidInput.
    """

    external_url: str
    key: str
    attempt: int
    now_ms: int
    deadline_s: float = 10.0
    already: frozenset[str] = frozenset()
    texts: Texts = field(default_factory=Texts)
    read_secret: Callable[[str], str] = _no_secret


class IntegrationLike(Protocol):
    """What a channel is made from: `route.model.Integration`."""

    @property
    def kind(self) -> str: ...
    @property
    def settings(self) -> Mapping[str, Any]: ...


class Channel(Protocol):
    """See above. `contacts` are whom its rate limits count for; `can_bundle`: several notifications may become one
    message.
    """

    @property
    def contacts(self) -> tuple[str, ...]: ...

    @property
    def can_bundle(self) -> bool: ...

    @property
    def per_minute(self) -> float:
        """How many messages a contact takes in a minute; 0: no limit."""
        ...

    def send(self, notification: Notification, about: About) -> Answer:
        """Send it; never raises for what a receiver, a network or a file does."""
        ...

    def close(self) -> None:
        """Close connections that are kept."""
        ...
