"""Posts events to PagerDuty, or to what speaks its API under another address."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from setpoint.alert.notify.channel import About, Answer, IntegrationLike
from setpoint.alert.notify.credential import Misconfigured, secret_of
from setpoint.alert.notify.http import Poster, answer_of
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.pagerduty.payload import encoded, event_v1, event_v2
from setpoint.alert.notify.seen import data_of
from setpoint.alert.notify.webhook.transport import span_s

__all__ = ["PagerDuty", "make"]

_V2: Final = "https://events.pagerduty.com/v2/enqueue"
_V1: Final = "https://events.pagerduty.com/generic/2010-04-15/create_event.json"
_PER_MINUTE = 110.0
"""PagerDuty takes about 120 events a minute for a key."""


def make(integration: IntegrationLike) -> PagerDuty:
    """The channel of a `pagerduty_configs` entry."""
    return PagerDuty(integration.settings)


class PagerDuty:
    """`settings` are Alertmanager's."""

    can_bundle = False
    per_minute = _PER_MINUTE

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        names = ("routing_key", "routing_key_file", "service_key", "service_key_file", "url")
        text = "\0".join(str(settings.get(name) or "") for name in names)
        self.contacts = (f"pagerduty:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}",)
        self._poster = Poster(settings.get("http_config"))

    def send(self, notification: Notification, about: About) -> Answer:
        """One event."""
        if notification.message is not None:
            return Answer("refused", "PagerDuty takes alerts only; name a receiver with e-mail or a webhook")
        data = data_of(notification, about)

        def tell(template: str) -> str:
            return about.texts.tell(template, data).text

        try:
            routing_key = tell(secret_of(self._settings, "routing_key"))
            service_key = "" if routing_key else tell(secret_of(self._settings, "service_key"))
        except Misconfigured as error:
            return Answer("misconfigured", str(error))
        if routing_key:
            url = str(self._settings.get("url") or _V2)
            event = event_v2(notification, self._settings, tell, routing_key)
        elif service_key:
            own = str(self._settings.get("url") or "")
            url = own if own and own != _V2 else _V1
            event = event_v1(notification, self._settings, tell, service_key)
        else:
            return Answer("misconfigured", "routing_key is empty; write the integration key of the service")
        headers = {"Content-Type": "application/json", "Idempotency-Key": about.key}
        deadline_s = min(span_s(self._settings.get("timeout")) or about.deadline_s, 60.0)
        reply = self._poster.post(url, encoded(event), headers, deadline_s)
        if not isinstance(reply, Answer) and not routing_key and reply.status == 403:
            return Answer("slow_down", "answered 403: too many events for this key", 30.0)
        return reply if isinstance(reply, Answer) else answer_of(reply)

    def close(self) -> None:
        """Close connections that are kept."""
        self._poster.close()
