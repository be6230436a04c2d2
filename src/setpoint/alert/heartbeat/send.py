"""Sends Setpoint's own heartbeats to outside monitors, unless the auditor has a reason not to: silence is the alarm.

Each server over one database sends for itself, with its own look at what they share.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from setpoint.alert.heartbeat.auditor import Auditor
from setpoint.alert.heartbeat.spec import HeartbeatSpec, Send
from setpoint.alert.notify.channel import Answer
from setpoint.alert.notify.http import Poster, answer_of
from setpoint.clock import Clock
from setpoint.errors import InvalidInput
from setpoint.resource.duration import duration_ms

__all__ = ["HeartbeatSender", "Sent"]

log = logging.getLogger(__name__)

_LOOK_S = 1.0
_DEADLINE_S = 10.0


@dataclass(slots=True)
class Sent:
    """How a heartbeat that is sent does: when it went out last, what went wrong, and why it is withheld."""

    next_ms: int = 0
    last_ms: int | None = None
    error: str = ""
    withheld: tuple[str, ...] = ()
    is_sending: bool = False


class HeartbeatSender:
    """See above; `run` belongs to one thread, the rest to any."""

    def __init__(
        self,
        clock: Clock,
        auditor: Auditor,
        specs: Callable[[], dict[str, HeartbeatSpec]],
        *,
        read_secret: Callable[[str], str],
    ) -> None:
        self._clock, self._auditor, self._specs = clock, auditor, specs
        self._read_secret = read_secret
        self._poster = Poster()
        self._sent: dict[str, Sent] = {}

    def status(self, name: str) -> Sent:
        """How one does."""
        return self._sent.get(name, Sent())

    def step(self) -> list[threading.Thread]:
        """Send what is due, each in a thread of its own, so that a monitor that hangs delays no other."""
        now_ms = self._clock.now_ms()
        specs = {name: one.send for name, one in self._specs().items() if one.send is not None}
        self._sent = {name: self._sent.get(name, Sent()) for name in specs}
        started = []
        for name, spec in specs.items():
            status, every_ms = self._sent[name], duration_ms(spec.every)
            if status.is_sending or 0 < status.next_ms - now_ms <= every_ms:
                continue
            status.next_ms = now_ms + every_ms
            reasons = tuple(self._auditor.reasons(duration_ms(spec.overdue_after)))
            if reasons and not status.withheld:
                log.warning("the heartbeat %s is withheld: %s", name, "; ".join(reasons))
            elif status.withheld and not reasons:
                log.info("the heartbeat %s is sent again", name)
            status.withheld = reasons
            if reasons:
                continue
            status.is_sending = True
            thread = threading.Thread(target=self._send, args=(name, spec, status), daemon=True)
            started.append(thread)
            thread.start()
        return started

    def run(self, stop: threading.Event) -> None:
        """Send until `stop` is set; the body of the sender's thread."""
        while not stop.is_set():
            try:
                self.step()
            except Exception:  # the loop must outlive any fault
                log.exception("a look at heartbeats to send failed; the next one tries again")
            self._clock.wait(stop, _LOOK_S)
        self._poster.close()

    def _send(self, name: str, spec: Send, status: Sent) -> None:
        try:
            answer = self._posted(name, spec)
            if answer.ok:
                status.last_ms = self._clock.now_ms()
            elif answer.error != status.error:
                log.warning("the heartbeat %s was not taken: %s", name, answer.error)
            status.error = answer.error
        finally:
            status.is_sending = False

    def _posted(self, name: str, spec: Send) -> Answer:
        try:
            url = spec.url or self._read_secret(spec.url_file or "")
        except InvalidInput as error:
            return Answer("misconfigured", error.message)
        body = json.dumps({"heartbeat": name, "status": "ok", "at_ms": self._clock.now_ms()}).encode()
        reply = self._poster.post(url, body, {"Content-Type": "application/json"}, _DEADLINE_S)
        return reply if isinstance(reply, Answer) else answer_of(reply)
