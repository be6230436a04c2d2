"""Whom the outbox delivers to: the integrations of the routing in force, and the notification targets of objectives.

`app` calls `follow_routing` and `follow_targets` when either changes; each time the outbox hears of both together.
Template files are read when the routing changes.
"""

from __future__ import annotations

import glob
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from setpoint.alert.from_objective import Target
from setpoint.alert.notify.model import TARGET, Notification, name_of_target
from setpoint.alert.notify.outbox import Outbox
from setpoint.alert.notify.text import Texts
from setpoint.alert.route.model import Integration, Routing

__all__ = [
    "Receivers",
    "TargetStatus",
    "is_wanted",
    "read_texts",
    "successor",
    "target_statuses",
]

log = logging.getLogger(__name__)

_BYTES_MOST = 1 << 20
_FILES_MOST = 200

Key = tuple[str, str]


class Receivers:
    """See above; safe to use from several threads."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._guard = threading.Lock()
        self._of_routing: dict[Key, Integration] = {}
        self._of_targets: dict[Key, Integration] = {}
        self._texts: Texts | None = None
        self._is_routed = False
        self._is_targeted = False

    def follow_routing(self, routing: Routing) -> None:
        """Deliver to the receivers of this routing, with its templates."""
        texts = read_texts(routing.templates)
        with self._guard:
            self._texts = texts
            self._of_routing = {
                (receiver.name, integration.key): integration
                for receiver in routing.receivers.values()
                for integration in receiver.integrations
            }
            self._is_routed = True
            self._tell()

    def follow_targets(self, targets: Mapping[str, Target]) -> None:
        """Deliver to these webhooks of objectives and policies, by their keys."""
        with self._guard:
            self._of_targets = {}
            for key, target in targets.items():
                settings = {"url": target.url, "secretFile": target.secret}
                integration = Integration("webhook", 0, send_resolved=True, settings=settings)
                self._of_targets[TARGET + key, integration.key] = integration
            self._is_targeted = True
            self._tell()

    def _tell(self) -> None:
        """Before both are known, what waits for the other would be taken for a thing of the past."""
        if self._is_routed and self._is_targeted:
            self._outbox.follow({**self._of_routing, **self._of_targets}, self._texts)


def read_texts(templates: Sequence[str]) -> Texts:
    """The templates of these files (paths and globs); one that cannot be read is left out, and the log says so."""
    found: dict[str, str] = {}
    for pattern in templates:
        paths = sorted(glob.glob(pattern, recursive=True)) or ([] if glob.has_magic(pattern) else [pattern])
        for path in paths[:_FILES_MOST]:
            try:
                with Path(path).open("rb") as file:
                    found[path] = file.read(_BYTES_MOST).decode()
            except (OSError, ValueError) as error:
                log.warning("the template file %s is left out: %s", path, error)
    texts = Texts(found)
    for fault in texts.faults:
        log.warning("a template is left out: %s", fault)
    return texts


def is_wanted(notification: Notification) -> bool:
    """False for the end of alerts whose policy does not tell its targets of ends: they no longer name the target."""
    if not notification.receiver.startswith(TARGET) or notification.firing:
        return True
    key = notification.receiver.removeprefix(TARGET)
    name = name_of_target(notification.receiver)
    named = {one for alert in notification.alerts for one in alert.targets}
    return key in named or any(one.rpartition(" ")[0] == name for one in named)


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """How a webhook of objectives is doing: requests that failed since the last that did not, why, and when it is tried
    again.
    """

    name: str
    failures: int
    error: str
    delivered_ms: int | None
    next_ms: int | None


def target_statuses(outbox: Outbox) -> list[TargetStatus]:
    """How every webhook of objectives and policies is doing, by name. Raises Unavailable."""
    return [
        TargetStatus(name_of_target(one.receiver), one.failures, one.error, one.delivered_ms, one.next_ms)
        for one in outbox.statuses()
        if one.receiver.startswith(TARGET)
    ]


def successor(gone: Key, present: Sequence[Key]) -> Key | None:
    """The target of the same name whose address was corrected, if that is the only one."""
    name = name_of_target(gone[0])
    same = [one for one in present if name and name_of_target(one[0]) == name]
    return same[0] if len(same) == 1 else None
