"""Says why somebody might not be told: what Setpoint's own heartbeat is withheld for.

Each check is a function that gives a sentence, or nothing; `app` hands them in. One that fails is a reason itself: an
auditor that cannot look must not say that all is well.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from setpoint.alert.notify.outbox import Outbox
from setpoint.errors import SetpointError
from setpoint.resource.duration import shown_duration

__all__ = ["Auditor", "Check"]

log = logging.getLogger(__name__)

Check = Callable[[], str]


class Auditor:
    """Safe to use from several threads."""

    def __init__(self, outbox: Outbox, checks: Mapping[str, Check] | None = None) -> None:
        self._outbox = outbox
        self.checks: dict[str, Check] = dict(checks or {})
        """By a name for the log; `app` adds to them."""

    def reasons(self, overdue_after_ms: int) -> list[str]:
        """Why somebody might not be told, in sentences; empty when all is well."""
        found = [self._ask("delivery", lambda: self._overdue(overdue_after_ms))]
        found += [self._ask(name, check) for name, check in self.checks.items()]
        return [one for one in found if one]

    def _overdue(self, after_ms: int) -> str:
        waiting_ms = self._outbox.overdue_ms()
        if waiting_ms <= after_ms:
            return ""
        told = shown_duration(waiting_ms // 1000 * 1000)
        ill = [f"{one.receiver} ({one.error})" for one in self._outbox.statuses() if one.error]
        named = f": {', '.join(ill[:3])}" if ill else ""
        return f"a notification has been waiting for {told}{named}"

    @staticmethod
    def _ask(name: str, check: Check) -> str:
        try:
            return check()
        except SetpointError as error:
            return f"{name} cannot be looked at: {error.message}"
        except Exception as error:  # a fault of ours is a reason to alarm, not to be silent
            log.exception("the auditor's look at %s failed", name)
            return f"{name} cannot be looked at: a fault in Setpoint ({type(error).__name__})"
