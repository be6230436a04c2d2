"""Evaluates the rules of files and resources in the server, each group at its interval.

`app` makes one `RuleManager`, hands it the resources and runs it in a thread. What fires goes to the alert book.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from setpoint.alert.model import Alert
from setpoint.alert.rules.status import AlertView, FileFault, GroupStatus, RuleWhy
from setpoint.clock import Clock
from setpoint.resource import Document

__all__ = ["RuleManager", "Send"]

Send = Callable[[Sequence[Alert]], None]
"""Takes alerts that fire or have ended; they are stored when it returns. Raises Unavailable."""


class RuleManager:
    """All groups of rules. Thread-safe."""

    def __init__(self, clock: Clock, send: Send) -> None:
        self._clock, self._send = clock, send

    def follow(self, documents: Iterable[Document]) -> None:
        """Keep exactly the groups of these PrometheusRules (all that exist), beside those of files."""

    def read_files(self) -> None:
        """Read the rule files that changed."""

    def begin(self) -> None:
        """Take up the alerts of the time before the start; to be called before alerts are dispatched."""

    def groups(self) -> list[GroupStatus]:
        """Every group, in the order of files and of groups in them."""
        return []

    def faults(self) -> list[FileFault]:
        """Rule files that cannot be used as they are."""
        return []

    def alerts(self) -> list[AlertView]:
        """Every pending and firing alert."""
        return []

    def why(self, group: str, rule: str, file: str | None = None) -> list[RuleWhy]:
        """Why the rules of this name in the groups of this name (in `file`, if given) fire or do not.

        Raises NotFound.
        """
        return []

    def run(self, stop: threading.Event) -> None:
        """Evaluate until `stop` is set; the body of the manager's thread."""
        stop.wait()
